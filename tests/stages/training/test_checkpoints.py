"""Checkpoints: complete or not there, rotated, damage passed over."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from graftlm.core.errors import BundleError
from graftlm.stages.training.checkpoints import FACTS, MANIFEST, TENSORS, Checkpoints


def snapshot(value: float = 0.0):
    return {"tensors": {"w": torch.full((3,), value), "t": torch.arange(6).view(2, 3).T}, "facts": {"step": value}}


@pytest.fixture
def store(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", keep=1)


def save(store, *steps, best=()):
    for step in steps:
        store.save(step, snapshot(step), fingerprint="f", best=step in best)


def test_what_is_saved_is_loaded(store):
    save(store, 5)
    found = store.load(5)
    assert torch.equal(found["tensors"]["t"], torch.arange(6).view(2, 3).T)
    assert found["facts"] == {"step": 5, "fingerprint": "f", "best_step": None}


def test_before_the_first_there_is_none(store):
    assert store.steps() == []
    assert store.newest() is None
    assert store.best_step() is None


def test_the_newest_and_the_best_stay(store):
    save(store, 1, 2, 3, 4, best=(2,))
    assert store.steps() == [2, 4]
    assert store.best_step() == 2
    save(store, 5, best=(5,))
    assert store.steps() == [5]


def test_more_of_the_newest_stay_when_asked(tmp_path):
    store = Checkpoints(tmp_path, keep=3)
    save(store, *range(1, 7), best=(1,))
    assert store.steps() == [1, 4, 5, 6]


def test_a_folder_without_a_manifest_does_not_count(store):
    save(store, 1, 2, best=(1,))
    (store.folder / "step-00000002" / MANIFEST).unlink()
    assert store.steps() == [1]
    assert store.newest() == 1


@pytest.mark.parametrize("file", [TENSORS, FACTS, MANIFEST])
@pytest.mark.parametrize("way", ["flip", "cut", "remove", "empty"])
def test_a_damaged_newest_one_is_passed_over_and_named(store, caplog, file, way):
    save(store, 1, 2, best=(1,))
    path = store.folder / "step-00000002" / file
    held = path.read_bytes()
    if way == "flip":
        path.write_bytes(held[:-5] + bytes([held[-5] ^ 0x20]) + held[-4:])
    elif way == "remove":
        path.unlink()
    else:
        path.write_bytes(held[: len(held) // 2] if way == "cut" else b"")
    with caplog.at_level(logging.WARNING, "graftlm"):
        assert store.newest() == 1
    if (file, way) != (MANIFEST, "remove"):
        assert "damaged" in caplog.text
        assert "passed over" in caplog.text
    # what the run saves from here on is its newest, though its step is lower than that of the damaged one
    save(store, 1)
    assert store.steps() == [1]
    assert store.load(1)["facts"]["step"] == 1


def test_loading_a_damaged_one_names_the_file(store):
    save(store, 3)
    path = store.folder / "step-00000003" / TENSORS
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"file '.*tensors.safetensors' is damaged"):
        store.load(3)


def test_a_manifest_that_is_no_manifest_is_damage(store):
    save(store, 3)
    (store.folder / "step-00000003" / MANIFEST).write_text(json.dumps({"x": 1}), encoding="utf-8")
    with pytest.raises(BundleError, match="damaged or missing"):
        store.verify(3)


def test_the_same_step_again_takes_the_place_of_the_old_one(store):
    save(store, 3, best=(3,))
    store.save(3, snapshot(9), fingerprint="f", best=False)
    assert store.load(3)["facts"]["step"] == 9
    assert store.best_step() == 3


def test_a_write_that_fails_leaves_the_old_ones(store, monkeypatch):
    save(store, 1)
    with pytest.raises(TypeError):
        store.save(2, {"tensors": {"w": torch.ones(1)}, "facts": {"x": object()}}, fingerprint="f", best=False)
    assert store.steps() == [1]
    assert [path.name for path in store.folder.iterdir()] == ["step-00000001"]


def test_leftovers_of_a_killed_write_go_with_the_next(store):
    save(store, 1)
    (store.folder / ".step-00000002.abc.tmp").mkdir()
    save(store, 3)
    assert [path.name for path in store.folder.iterdir()] == ["step-00000003"]


def test_clear_removes_all(store):
    save(store, 1)
    store.clear()
    assert not store.folder.exists()


def test_no_pickle_is_written(store):
    save(store, 1)
    assert {path.suffix for path in (store.folder / "step-00000001").iterdir()} == {".safetensors", ".json"}
