"""A checkpoint that cannot be written: told, and what was there is as it was."""

from __future__ import annotations

import hashlib
import resource
import signal

import pytest
import torch

from graftlm.core.errors import UserError
from graftlm.stages.training.checkpoints import Checkpoints


def state(value, size=200_000):
    return {"tensors": {"weights.a": torch.full((size,), float(value))}, "facts": {"step": 1}}


def contents(folder):
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_that_may_not_grow_leave_the_older_checkpoint_intact(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints", keep=1)
    store.save(1, state(1), fingerprint="x", best=False)
    before = contents(tmp_path)
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match="The checkpoint at step 2 cannot be written.*go on with --resume"):
            store.save(2, state(2), fingerprint="x", best=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == before
    assert store.newest() == 1
    assert torch.equal(store.load(1)["tensors"]["weights.a"], state(1)["tensors"]["weights.a"])


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "checkpoints").write_text("a file stands here", encoding="utf-8")
    with pytest.raises(UserError, match="The checkpoint at step 1 cannot be written"):
        Checkpoints(tmp_path / "checkpoints", keep=1).save(1, state(1), fingerprint="x", best=True)
