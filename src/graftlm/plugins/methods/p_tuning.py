"""P-tuning: learned vectors before the words, given by a small network while training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.model import Model
from graftlm.contracts.prompts import PromptMethod, base_of, facts

if TYPE_CHECKING:
    from graftlm.nn.prompts import VirtualTokens


class PTuning(PromptMethod):
    """Virtual tokens MLP(e_1), ..., MLP(e_T) before the embeddings of a text; e, the MLP and the head train.

    The MLP has two hidden layers and ties the tokens to each other, which steadies their training. At the end the
    vectors that it gives are kept, and it is not.
    """

    source: ClassVar[str] = "Liu et al. 2021, arXiv:2103.10385, section 3 (MLP in place of the LSTM); PEFT"
    when: ClassVar[str] = "Where `prompt` trains unsteadily; `prefix` and `lora` learn more."
    rate: float = Field(5.0, gt=0, le=10_000)
    """Learning rate of the virtual tokens and their network, as a multiple of the run's."""
    hidden: int = Field(128, ge=1, le=16_384)
    """Width of the network's hidden layers."""

    def make(self, model: Model) -> VirtualTokens:
        """Draw the network from the global generator."""
        from graftlm.core.optional import need
        from graftlm.nn.prompts import VirtualTokens

        peft: Any = need("peft", "peft", f"The method '{self.name()}'")
        width = base_of(model).get_input_embeddings().weight.shape[1]
        own = {**facts("P_TUNING", model, self.tokens), "token_dim": width, "encoder_hidden_size": self.hidden}
        plain = {key: value for key, value in own.items() if key != "peft_type"}
        return VirtualTokens(peft.PromptEncoder(peft.PromptEncoderConfig(**plain)), own)
