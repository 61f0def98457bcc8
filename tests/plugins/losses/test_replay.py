"""Replay: which rows are drawn, and the old loss written out with the old head on the new encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from graftlm.core import registry

OPTIONS = {"text": str(Path(__file__))}
"""What the conformance suite makes the loss with: any file of text will do."""


def test_old_rows_are_a_share_of_the_batch_and_a_function_of_the_step(ground):
    made = ground()
    state = registry.make("loss", {"use": "replay", "run": "runs/a"}).prepare(made.ground)
    drawn = [state.draw(step, 0, 4) for step in range(40)]
    assert drawn == [state.draw(step, 0, 4) for step in range(40)]
    assert all(len(set(rows)) == 4 for rows in drawn)
    assert {row for rows in drawn for row in rows} == set(range(15))
    assert state.draw(0, 0, 99) == list(range(15))
    assert not state.state_dict()
    assert not list(state.parameters())


@pytest.mark.parametrize("backbone", ["tiny", {"use": "tiny", "pooling": "native"}])
def test_of_a_run_it_is_the_old_tasks_loss_with_the_old_head(ground, moved, look_at, backbone):
    made = ground(backbone)
    loss = registry.make("loss", {"use": "replay", "run": "runs/a", "ratio": 0.5})
    old = made.earlier.model.module
    body = {n: t.clone() for n, t in old.state_dict().items()}
    state = loss.prepare(made.ground)
    moved(made)
    found = loss(look_at(made, state))
    rows = state.draw(0, 0, 3)
    whole = {**made.model.module.state_dict(), **{n: t for n, t in body.items() if not n.startswith(made.model.base)}}
    fresh = ground(backbone).model.module  # the old head, and the weights in training below it
    fresh.load_state_dict(whole)
    batch = made.data.packed.batch(rows, made.model.tokenizer.pad_token_id)
    targets = torch.tensor([made.data.targets[row] for row in rows])
    expected = torch.nn.functional.cross_entropy(fresh(**batch).logits, targets)
    torch.testing.assert_close(found.detach(), expected.detach(), atol=1e-6, rtol=1e-5)
    made.model.module.zero_grad()
    found.backward()
    assert made.model.module.get_parameter(f"{made.model.base}.encoder.layer.0.output.dense.weight").grad.any()
    assert made.model.module.get_submodule(made.model.head).weight.grad is None


def test_of_text_without_a_head_the_vectors_are_held(ground, moved, look_at, tmp_path):
    path = tmp_path / "general.txt"
    path.write_text("\n".join(f"line {n} of some general text" for n in range(20)), encoding="utf-8")
    made = ground()
    loss = registry.make("loss", {"use": "replay", "text": str(path)})
    state = loss.prepare(made.ground)
    assert loss(look_at(made, state)).item() == pytest.approx(0, abs=1e-6)
    moved(made)
    assert loss(look_at(made, state)).item() > 1e-3


def test_of_text_with_a_head_it_is_the_masked_language_models_loss(ground, look_at, tmp_path, monkeypatch):
    path = tmp_path / "general.txt"
    path.write_text("\n".join(f"line {n} of some general text" for n in range(20)), encoding="utf-8")
    made = ground()
    monkeypatch.setattr(made.base.config, "architectures", ["BertForMaskedLM"])
    loss = registry.make("loss", {"use": "replay", "text": str(path), "ratio": 1.0})
    found = loss(look_at(made, loss.prepare(made.ground)))
    # a random head knows nothing: near ln of the vocabulary
    assert found.item() == pytest.approx(torch.tensor(float(made.base.config.vocab_size)).log().item(), rel=0.1)
    found.backward()
    assert made.model.module.encoder.encoder.layer[0].output.dense.weight.grad.any()


def test_it_must_be_told_what_to_replay():
    assert "run" in registry.make("loss", "replay").refuses(None, None)
    with pytest.raises(ValidationError, match="not both"):
        registry.make("loss", {"use": "replay", "run": "a", "text": "b"})
