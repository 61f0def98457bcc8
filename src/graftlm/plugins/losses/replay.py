"""Rows of an earlier run, or general text, are trained on beside the new rows (replay)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from graftlm.contracts import fisher
from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look, Loss, base_moves
from graftlm.contracts.model import Model
from graftlm.contracts.values import Outputs
from graftlm.core import log

if TYPE_CHECKING:
    from torch import Tensor, nn


class Replay(Loss):
    """The old loss on ratio * B rows beside each batch of B, drawn from up to `rows` that are kept.

    Of an earlier run: its own task's loss, with its head, which does not move, on the encoder in training. Of general
    text: the masked language model's loss where the base has such a head, else 1 - cos of the base's vectors and those
    in training. A step costs 1 + ratio passes. Old rows never enter validation.
    """

    source: ClassVar[str] = "Robins 1995, Connection Science 7(2); Chaudhry et al. 2019, arXiv:1902.10486, section 3"
    when: ClassVar[str] = (
        "The rows of the earlier run may still be used: mostly the surest way; `ewc` and `lwf` do without them."
    )
    wants_start: ClassVar[bool] = True
    other_text: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"hidden_states"})
    strength: float = Field(1.0, ge=0)
    """Weight of this term in the sum."""
    run: str | None = None
    """Folder of an earlier run, where this one's base comes from."""
    text: str | None = None
    """File of general text, one piece a line."""
    ratio: float = Field(0.25, gt=0, le=4)
    """Old rows for each new one; 0.1 to 1 are usual."""
    rows: int = Field(2000, ge=1, le=10_000_000)
    """Old rows that are kept."""

    @model_validator(mode="after")
    def _one_place(self) -> Replay:
        if self.run is not None and self.text is not None:
            raise ValueError("give a run or a text, not both")
        return self

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse where nothing is named."""
        if self.run is None and self.text is None:
            return "it needs what is replayed: run (the folder of an earlier run) or text (a file of general text)"
        return None

    def clashes(self, methods: Any) -> str | None:
        """Refuse methods that add parts which the old model does not have."""
        return base_moves([method for method in methods if method.layout == "keeps"])

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Tokenise the old rows, and put the old head on the encoder in training."""
        from graftlm.nn.old_rows import OldRows
        from graftlm.nn.teachers import Aside, pretrained, with_base

        live, tokenizer = ground.model.module.get_submodule(ground.model.base), ground.model.tokenizer
        if self.run is not None:
            earlier = ground.earlier(self.run)
            fisher.check_same_start(ground, earlier, self.run)
            examples = earlier.examples(self.rows, ground.seed)
            inputs = earlier.task.encode_training(examples, tokenizer, earlier.limit)
            targets = earlier.task.targets(examples, inputs, earlier.space)
            old = with_base(earlier.model.module, earlier.model.base, live)
            state = OldRows(Aside(live=old), [one.features for one in inputs], targets, tokenizer, ground.seed)
            state.task = earlier.task
            return state
        limit = ground.model.card.limit
        lines = fisher.general_text(self.text or "", self.rows, ground.seed)
        texts = [dict(tokenizer(line, truncation=True, max_length=limit)) for line in lines]
        if fisher.has_masked_head(ground):
            masked = fisher.masked_model(ground)
            models = Aside(live=with_base(masked, str(masked.base_model_prefix), live))
        else:
            models = Aside(pretrained(ground.model.module, ground.model.head, ground.start))
            log.note("replay: the base has no masked language model's head; its vectors of the text are held")
        return OldRows(models, texts, [None] * len(texts), tokenizer, ground.seed)

    def __call__(self, look: Look) -> Tensor:
        """Return the mean over the old rows that were drawn."""
        state, first = look.state, int(look.batch.rows[0])
        rows = state.draw(look.step, first, max(1, round(self.ratio * len(look.batch))))
        inputs = state.inputs(rows, look.outputs.logits.device)
        found: Tensor
        if state.task is not None:
            targets = state.task.stack([state.targets[row] for row in rows])
            device = inputs["input_ids"].device
            if isinstance(targets, dict):
                targets = {name: tensor.to(device) for name, tensor in targets.items()}
            else:
                targets = targets.to(device)
            outputs: Outputs = state.answers(look, inputs)
            found = state.task.loss(outputs, targets) / max(1, state.task.count(targets))
        elif state.models.live is not None:
            found = state.masked(look, inputs, fisher.MASKED, first)
        else:
            found = state.apart(look, inputs)
        return found
