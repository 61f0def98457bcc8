"""The old head's answers, or the base's vectors, must stay what they were on the new rows (LwF)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts import fisher
from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look, Loss

if TYPE_CHECKING:
    from torch import Tensor, nn


class Lwf(Loss):
    """T^2 * KL(p0^T || p^T) of an earlier run's answers, or the mean of 1 - cos(f0, f) of the base's vectors.

    p0 is what the earlier run's model answers to the new rows, p what its head says of the encoder in training, both at
    temperature T, padding left out. Without a run, f0 and f are the vectors of the base and of the encoder in training.
    The old head does not move, so that it can be judged with the new encoder afterwards. A step costs one more forward
    pass, without gradient; an earlier run that is not pooled a second pass in full.
    """

    source: ClassVar[str] = "Li and Hoiem 2017, arXiv:1606.09282, section 3, equations 2 and 3"
    when: ClassVar[str] = "The old task's rows are gone, its model is not; `replay` where the rows are there."
    wants_start: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"hidden_states"})
    strength: float = Field(1.0, ge=0)
    """Weight of this term in the sum."""
    run: str | None = None
    """Folder of an earlier run, where this one's base comes from: its head is the old one."""
    temperature: float = Field(2.0, gt=0, le=100)
    """T: higher looks more at the answers that are not the first."""

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Keep the base, or open the earlier run."""
        import copy

        from graftlm.core.errors import UserError
        from graftlm.nn.teachers import Aside, pretrained, with_base

        if self.run is None:
            return Aside(pretrained(ground.model.module, ground.model.head, ground.start))
        earlier = ground.earlier(self.run)
        fisher.check_same_start(ground, earlier, self.run)
        if not earlier.task.chooses:
            raise UserError(f"lwf: the task '{earlier.task.name()}' of '{self.run}' does not choose a class.")
        old = earlier.model
        live = None
        pooled = old.style == ground.model.style == "pooled"
        if not pooled or old.module.pooling != ground.model.module.pooling:  # its head reads another vector
            live = with_base(copy.deepcopy(old.module), old.base, ground.model.module.get_submodule(ground.model.base))
        return Aside(old.module, live=live)

    def __call__(self, look: Look) -> Tensor:
        """Return the mean over the batch's rows."""
        from torch.nn.functional import cosine_similarity, kl_div

        from graftlm.nn.importance import vector

        state, mask = look.state, look.batch.inputs["attention_mask"]
        base = state.answer(look)
        if self.run is None:
            return (1 - cosine_similarity(vector(base, mask), vector(look.outputs, mask), dim=-1)).mean()
        live = state.live
        if live is None:
            now = state.models[0].head(vector(look.outputs, mask))
        else:
            now = look.run(live, look.batch.inputs).logits
        one, two = (_answers(x.float(), mask).div(self.temperature).log_softmax(-1) for x in (now, base.logits))
        return self.temperature**2 * kl_div(one, two, reduction="batchmean", log_target=True)


def _answers(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the logits (N, C) of what is answered: each sequence, each token, or each border among the tokens."""
    if logits.dim() == 3 and logits.shape[1] == mask.shape[1]:  # (B, L, C): a class for each token
        return logits[mask.bool()]
    if logits.dim() == 3 and logits.shape[2] == mask.shape[1]:  # (B, 2, L): a token for each border
        logits = logits.masked_fill(~mask.bool().unsqueeze(1), -1e4)
    return logits.flatten(0, -2)
