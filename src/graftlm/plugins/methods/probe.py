"""Frozen backbone, linear head solved in closed form: seconds instead of minutes."""

from __future__ import annotations

from typing import ClassVar

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model


class Probe(Method):
    """Logistic regression on frozen features, its strength chosen by cross-validation; no gradient step."""

    source: ClassVar[str] = "Alain and Bengio 2016, arXiv:1610.01644"
    when: ClassVar[str] = "First thing to try: often as good as fine-tuning on short texts, and never forgets."
    freezes: ClassVar[bool] = True

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse company: nothing else would train."""
        if setting.methods != (self.name(),):
            return "it solves the head at once and trains nothing, so no other method can be beside it"
        if setting.losses:
            return "it solves the head at once, so losses would do nothing"
        if model.head is None:
            return "the task has no linear head"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Freeze everything and put the solution into the head."""
        model.module.requires_grad_(False)
        start_head(model, setting)
        return Adaptation(solved=True)
