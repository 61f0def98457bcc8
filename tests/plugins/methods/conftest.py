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
    plain = {"methods": (), "losses": (), "steps": 8, "probe": lambda: made.features.probe(made.rows)}
    made.setting = Setting(
        task=made.task, space=made.space, optimizer=registry.make("optimizer", "adamw"), rows=count, seed=0,
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


@pytest.fixture
def task_gradient() -> Any:
    """Return the function that gives a setup's plain gradient on its first rows, by name, in eval mode."""
    return plain_gradient


def plain_gradient(made: Any, count: int = 6, embeds: Any = None) -> tuple[dict[str, Any], Any]:
    """Return the gradient of the mean cross-entropy on the first rows, and that of the word embeddings' outputs.

    Written with `inputs_embeds` and torch alone: no hook, no loop. `embeds` (B, L, H) takes the place of the outputs.
    """
    import torch

    module = made.model.module.eval()
    batch = batch_of(made, count)
    inputs = dict(batch.inputs)
    ids = inputs.pop("input_ids")
    encoder = module.get_submodule(made.model.base)
    given = encoder.get_input_embeddings()(ids)
    if embeds is not None:
        given = given + embeds
    given.retain_grad()
    states = encoder(inputs_embeds=given, **inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1).float()
    logits = module.head((states * mask).sum(1) / mask.sum(1))
    module.zero_grad()
    torch.nn.functional.cross_entropy(logits, batch.targets).backward()
    found = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    at = given.grad * mask
    module.zero_grad()
    return found, at


def batch_of(made: Any, count: int = 6) -> Any:
    """Return a batch of a setup's first rows."""
    from graftlm.contracts.values import Batch

    rows = list(range(count))
    inputs = made.data.packed.batch(rows, made.model.tokenizer.pad_token_id)
    return Batch(inputs, made.task.stack([made.data.targets[row] for row in rows]), rows)


@pytest.fixture
def inner_of() -> Any:
    """Return the function that makes the inner gradient of a setup: a mean cross-entropy in eval mode."""
    import torch

    def make(made: Any) -> Any:
        module = made.model.module.eval()

        def inner(batches: Any) -> float:
            total = sum(len(batch) for batch in batches)
            mean = 0.0
            for batch in batches:
                loss = torch.nn.functional.cross_entropy(module(**batch.inputs).logits, batch.targets, reduction="sum")
                (loss / total).backward()
                mean += float(loss.detach()) / total
            return mean

        return inner

    return make


@pytest.fixture
def halves() -> Any:
    """Return the function that gives a setup's first six rows as two micro-batches."""
    from graftlm.contracts.values import Batch

    def cut(made: Any) -> Any:
        out = []
        for rows in (list(range(4)), list(range(4, 6))):
            inputs = made.data.packed.batch(rows, made.model.tokenizer.pad_token_id)
            out.append(Batch(inputs, made.task.stack([made.data.targets[row] for row in rows]), rows))
        return out

    return cut


@pytest.fixture
def gradient_of() -> Any:
    """Return the function that runs a wrapped gradient and gives the loss and the gradients by name."""

    def run(made: Any, inner: Any, batches: Any) -> Any:
        made.model.module.zero_grad()
        loss = inner(batches)
        return loss, {n: p.grad.clone() for n, p in made.model.module.named_parameters() if p.grad is not None}

    return run
