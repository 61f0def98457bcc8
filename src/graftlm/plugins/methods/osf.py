"""Train only what lies outside the strongest directions of each weight matrix (OSF)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.method import Adaptation, Setting, Update
from graftlm.contracts.model import Model


class Osf(AdapterMethod):
    """W = U_high S_high V_high + U S V: the strongest singular directions are frozen, U, S and V of the rest train.

    U stays orthogonal to U_high and V to V_high: gradients are projected, and, since Adam's scaling leads out of the
    subspace again, so are U and V after each update. At the end W is put together again.
    """

    source: ClassVar[str] = "Nayak et al. 2025, arXiv:2504.07097, section 3; PEFT's OSFConfig"
    when: ClassVar[str] = "A chain of runs in which the base's strongest directions must stay; `o_lora` keeps LoRA's."
    only_merged: ClassVar[str] = "the base's own matrices move, and no adapter holds what becomes of them"
    share: float = Field(0.5, gt=0, lt=1)
    """Share of the singular directions that stay as they are."""
    rate: float = Field(1.0, gt=0, le=1000)
    """Learning rate of the rest, as a multiple of the run's."""

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        return peft.OSFConfig(effective_rank=self.share, target_modules=shared["target_modules"])

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse also layers that keep their weights the other way round."""
        from graftlm.nn import adapters

        reason = super().refuses(model, setting)
        if reason is None and adapters.transposed(model.module, self.layers(model)):
            return f"the layers of '{model.card.name}' keep their weights as (in, out), which PEFT's OSF does not take"
        return reason

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Split the matrices, and keep the rest orthogonal."""
        import torch
        from peft.tuners.osf import OSFLayer

        plain = super().apply(model, setting)
        layers: list[Any] = [part for part in model.module.modules() if isinstance(part, OSFLayer)]

        def project(update: Update) -> None:
            with torch.no_grad():
                for layer in layers:
                    rest = layer.osf_svd_params["default"]
                    u, v = rest["U_low"], rest["V_low"]
                    if "default" in layer._osf_U_high:
                        high = layer._osf_U_high["default"]
                        u.sub_(high @ (high.T @ u))
                    else:  # a square factor: what is orthogonal to the frozen part is where the rest began
                        low = layer._osf_U_low_init["default"]
                        u.copy_(low @ (low.T @ u))
                    if "default" in layer._osf_V_high:
                        high = layer._osf_V_high["default"]
                        v.sub_((v @ high.T) @ high)
                    else:
                        low = layer._osf_V_low_init["default"]
                        v.copy_((v @ low.T) @ low)

        return replace(plain, after_update=project)
