"""The embedded model, assembled, bundled and opened: by this package and by Sentence Transformers alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graftlm.bundle import load, open_bundle, write
from graftlm.contracts.values import Example, Space
from graftlm.core import registry
from graftlm.prediction import Predictor
from graftlm.stages.training.assembling import assemble

pytestmark = pytest.mark.model

TEXTS = [
    "I lost my card and want a new one", "exchange rate?", "", "我的卡不见了", "w " * 400,
    "Why was I charged a fee for a transfer within the country, and when will it be paid back to my account?",
]  # fmt: skip
LABELS = ("lost card", "汇率", "fee")


@pytest.mark.parametrize("pooling", ["auto", "native"])
def test_plain_libraries_agree(tmp_path: Path, pooling: str) -> None:
    backbone = registry.make("backbone", {"use": "minilm", "pooling": pooling})
    task, space = registry.make("task", "classification"), Space(LABELS, 3)
    model = assemble(backbone.open(), backbone, task, space, seed=0)
    with torch.no_grad():
        model.module.get_submodule(model.head).weight.mul_(20)
    write(tmp_path / "b", model, task, space, max_length=64)
    examples = [Example(str(n), {"text": text}) for n, text in enumerate(TEXTS)]
    live = Predictor(model, task, space, limit=64, precision="fp32")
    expected = np.stack(live.pieces(live.encode(examples)))
    bundle = open_bundle(tmp_path / "b")
    again = Predictor(load(bundle, precision="fp32", device="cpu"), task, space, limit=64, precision="fp32")
    np.testing.assert_array_equal(np.stack(again.pieces(again.encode(examples))), expected)
    if pooling == "auto":
        from sentence_transformers import SentenceTransformer

        plain = SentenceTransformer(str(tmp_path / "b"), device="cpu", local_files_only=True).encode(TEXTS)
    else:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "b")
        inputs = tokenizer(TEXTS, truncation=True, max_length=64, padding=True, return_tensors="pt")
        opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "b").eval()
        assert opened.config.id2label == dict(enumerate(LABELS))
        with torch.inference_mode():
            plain = opened(**inputs).logits.numpy()
    np.testing.assert_allclose(plain, expected, atol=1e-5)
    rounded = Predictor(model, task, space, limit=64, precision="bf16")
    np.testing.assert_allclose(np.stack(rounded.pieces(rounded.encode(examples))), expected, atol=0.15)
