"""Weights that mattered before are held near their pretrained values (EWC)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from graftlm.contracts import fisher
from graftlm.contracts.anchored import AnchoredLoss
from graftlm.contracts.ground import Ground

if TYPE_CHECKING:
    from torch import nn


class Ewc(AnchoredLoss):
    """1/2 * sum over i of F_i * (w_i - w0_i)^2, with F_i = E_x E_(y ~ p(.|x)) [(d ln p(y|x) / dw_i)^2] at w0.

    The gradient of each row is squared by itself. F comes from an earlier run's task and training rows (`run`), from
    the base's masked language model on general text (`text`), or, without either, from the base's own vectors of the
    training rows: p is then a normal distribution around the vector, and F says what the vectors hang on. w0 are the
    weights that the run starts from; the head has none.
    """

    source: ClassVar[str] = "Kirkpatrick et al. 2017, arXiv:1612.00796, equation 3"
    when: ClassVar[str] = (
        "The base must keep what a given task or text needs of it; `l2_sp` holds all weights alike and costs less."
    )
    strength: float = Field(100.0, ge=0)
    """lambda, chosen on validation rows. Sane in the gradient: 10 to 1000 (above, see `step`); decoupled: 100 to
    1000000, where more always holds more."""
    run: str | None = None
    """Folder of an earlier run, where this one's base comes from."""
    text: str | None = None
    """File of general text, one piece a line, for a base with a masked language model's head."""
    rows: int = Field(256, ge=1, le=1_000_000)
    """Rows that F is averaged over."""
    labels: Literal["model", "data"] = "model"
    """y: drawn from the model's own answers (the Fisher matrix), or the truth (the empirical one)."""

    @model_validator(mode="after")
    def _one_place(self) -> Ewc:
        if self.run is not None and self.text is not None:
            raise ValueError("give a run or a text, not both")
        return self

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Compute F before the first step."""
        from graftlm.nn.importance import carried
        from graftlm.nn.kept import anchors

        model = ground.model
        first = anchors(model.module, model.base, model.head, ground.start)
        if self.run is not None:
            earlier = ground.earlier(self.run)
            fisher.check_same_start(ground, earlier, self.run)
            found = fisher.of_run(earlier, self.rows, self.labels, ground.seed)
            weights = carried(found, earlier.model.base, model.module, model.base, first)
        elif self.text is not None:
            found, prefix = fisher.of_text(ground, self.text, self.rows, self.labels)
            weights = carried(found, prefix, model.module, model.base, first)
        else:
            weights = fisher.of_vectors(ground, first, self.rows)
        return self.held(first, weights)
