"""Prompt tuning: learned vectors before the words of each text, the base frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from graftlm.contracts.model import Model
from graftlm.contracts.prompts import PromptMethod, base_of, facts

if TYPE_CHECKING:
    from graftlm.nn.prompts import VirtualTokens


class Prompt(PromptMethod):
    """[p_1; ...; p_T; E(x_1); ...; E(x_n)] goes through the frozen base; p and the head train.

    T times the width of a word embedding is all that is learned beside the head.
    """

    source: ClassVar[str] = "Lester et al. 2021, arXiv:2104.08691, section 2; PEFT's format"
    when: ClassVar[str] = (
        "Large bases and the smallest bundles; on small ones `lora` learns more, and `prefix` reaches every block."
    )
    start: Literal["words", "random"] = "words"
    """Where the vectors start: word embeddings drawn from the vocabulary, or normal random numbers of their size."""

    def make(self, model: Model) -> VirtualTokens:
        """Draw the vectors from the global generator."""
        import torch

        from graftlm.nn.prompts import VirtualTokens

        words = base_of(model).get_input_embeddings().weight.detach()
        if self.start == "words":
            vectors = words[torch.randperm(len(words))[: self.tokens]]
            vectors = vectors.repeat(-(-self.tokens // len(vectors)), 1)[: self.tokens].clone()
        else:
            vectors = torch.randn(self.tokens, words.shape[1]) * words.std()
        encoder = torch.nn.Embedding.from_pretrained(vectors.float(), freeze=False)
        return VirtualTokens(encoder, {**facts("PROMPT_TUNING", model, self.tokens), "token_dim": words.shape[1]})
