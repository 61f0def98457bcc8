"""Small settings for methods: a random model, rows, and the probe's solution on its features."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from graftlm.contracts.method import Setting
from graftlm.core import registry

_spec = importlib.util.spec_from_file_location(
    "training_setups", Path(__file__).parents[2] / "stages" / "training" / "conftest.py"
)
_setups = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_setups)


def prepared(backbone: Any = "tiny", *, dropout: float | None = None, count: int = 15, **facts: Any) -> Any:
    """Return a setup with the setting that a method looks at, and the features of its rows."""
    from graftlm.stages.training.features import Features

    made = _setups.Setup(backbone, count, dropout=dropout)
    made.features = Features(
        made.model, made.task, made.space, limit=made.base.card.limit, device="cpu", precision="fp32", seed=0
    )
    plain = {"methods": (), "losses": (), "probe": lambda: made.features.probe(made.rows)}
    made.setting = Setting(
        task=made.task, space=made.space, optimizer=registry.make("optimizer", "adamw"), rows=count, steps=8, seed=0,
        **{**plain, **facts},
    )  # fmt: skip
    return made


@pytest.fixture
def prepare() -> Any:
    """Return the function that prepares a setting."""
    return prepared


BACKBONES = {
    "pooled": "tiny",
    "native": {"use": "tiny", "pooling": "native"},
    "bert": {"use": "scratch", "architecture": "bert", "layers": 3, "width": 32, "max_length": 64},
    "modernbert": {"use": "scratch", "architecture": "modernbert", "layers": 3, "width": 32, "max_length": 64},
    "gpt2": {"use": "scratch", "architecture": "gpt2", "layers": 3, "width": 32, "max_length": 64},
}


@pytest.fixture(params=BACKBONES)
def backbone(request: pytest.FixtureRequest) -> Any:
    """Return each kind of model in turn."""
    return BACKBONES[request.param]


@pytest.fixture
def logits_of() -> Any:
    """Return the function that answers all rows of a setup in eval mode."""
    import torch

    def answer(made: Any) -> Any:
        made.model.module.eval()
        batch = made.data.packed.batch(list(range(len(made.rows))), made.model.tokenizer.pad_token_id)
        with torch.no_grad():
            return made.model.module(**batch).logits

    return answer
