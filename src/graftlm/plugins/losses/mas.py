"""Weights that the outputs hang on are held near their pretrained values (MAS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts import fisher
from graftlm.contracts.anchored import AnchoredLoss
from graftlm.contracts.ground import Ground

if TYPE_CHECKING:
    from torch import Tensor, nn


class Mas(AnchoredLoss):
    """The sum over i of O_i * (w_i - w0_i)^2, with O_i the mean over rows of |d ||f(x)||^2 / dw_i|.

    f are the logits of an earlier run on its own training rows, or, without a run, the base's vectors of the rows that
    are trained on. No labels are looked at. Rows count one by one and without dropout; the reference takes the size of
    a batch's mean gradient, in which rows cancel out.
    """

    source: ClassVar[str] = "Aljundi et al. 2018, arXiv:1711.09601, section 4.1, equations 2 to 4"
    when: ClassVar[str] = "As `ewc`, where the old rows have no labels."
    strength: float = Field(1.0, ge=0)
    """lambda: weight of this term in the sum."""
    run: str | None = None
    """Folder of an earlier run, where this one's base comes from."""
    rows: int = Field(256, ge=1, le=1_000_000)
    """Rows that O is averaged over."""

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Compute O before the first step."""
        from graftlm.nn.importance import carried, importance, vector
        from graftlm.nn.kept import anchors, resting

        model = ground.model
        first = anchors(model.module, model.base, model.head, ground.start)
        if self.run is None:

            def sizes() -> Iterator[Tensor]:
                for batch in ground.batches(self.rows, 1):
                    out = model.module(**batch.inputs, output_hidden_states=True)
                    yield vector(out, batch.inputs["attention_mask"]).square().sum()

            with resting(model.module):
                found = importance({n: model.module.get_parameter(n) for n in first}, sizes(), squared=False)
            return self.held(first, {name: 2 * each for name, each in found.items()})
        earlier = ground.earlier(self.run)
        fisher.check_same_start(ground, earlier, self.run)
        module = earlier.model.module
        parameters = {name: p.requires_grad_() for name, p in module.named_parameters()}
        values = (
            module(**inputs).logits.float().square().sum()
            for inputs, _ in fisher.earlier_rows(earlier, self.rows, ground.seed)
        )
        found = carried(
            importance(parameters, values, squared=False), earlier.model.base, model.module, model.base, first
        )
        return self.held(first, {name: 2 * each for name, each in found.items()})  # the penalty has one half in it
