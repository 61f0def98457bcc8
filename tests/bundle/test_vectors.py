"""A model without a head: its bundle is a plain Sentence Transformers model, and answers for nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from graftlm.bundle import load, manifest, open_bundle, write
from graftlm.contracts.model import Model
from graftlm.contracts.values import Example, Space
from graftlm.core import registry
from graftlm.core.errors import BundleError
from graftlm.nn.pooled import PooledModel
from graftlm.prediction import Predictor, embed


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """Return a model without a head, and the folder of its bundle."""
    source = tiny.model("pooled", ["a", "b"])
    module = PooledModel(source.module.encoder, "mean", None, 32)
    model = Model(module, source.tokenizer, source.card, "pooled", "encoder", None, "AutoModel")
    folder = tmp_path_factory.mktemp("vectors") / "bundle"
    write(
        folder, model, registry.make("task", "similarity"), Space(), max_length=tiny.LIMIT, roles=["text", "text_pair"]
    )
    return model, folder


def test_the_bundle_is_a_sentence_transformers_model_with_equal_vectors(made, tiny):
    from sentence_transformers import SentenceTransformer

    model, folder = made
    texts = [text or "w1" for text in tiny.texts(40)]
    live = embed(model, texts, limit=tiny.LIMIT, precision="fp32", device="cpu")
    opened = open_bundle(folder)
    assert opened.embeds
    again = load(opened, precision="fp32", device="cpu")
    assert again.head is None
    np.testing.assert_array_equal(embed(again, texts, limit=tiny.LIMIT, precision="fp32", device="cpu"), live)
    plain = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert [type(part).__name__ for part in plain] == ["Transformer", "Pooling", "Normalize"]
    np.testing.assert_allclose(plain.encode(texts), live, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(live, axis=1), 1.0, atol=1e-6)
    assert "SentenceTransformer('.')" in (folder / "README.md").read_text(encoding="utf-8")
    assert not (folder / "2_Dense").exists()


def test_answers_are_the_cosines_of_the_plain_library(made, tiny):
    from sentence_transformers import SentenceTransformer

    _, folder = made
    texts = [text or "w1" for text in tiny.texts(20)]
    opened = open_bundle(folder)
    model = load(opened, precision="fp32", device="cpu")
    predictor = Predictor(model, opened.task(), opened.space(), limit=opened.max_length, precision="fp32")
    pairs = zip(texts, texts[::-1], strict=True)
    examples = [Example(str(n), {"text": a, "text_pair": b}) for n, (a, b) in enumerate(pairs)]
    plain = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    expected = plain.similarity_pairwise(plain.encode(texts), plain.encode(texts[::-1])).numpy()
    np.testing.assert_allclose([answer.value for answer in predictor.answers(examples)], expected, atol=1e-6)


def test_a_text_that_stands_twice_is_encoded_once_and_answers_alike(made, tiny):
    model, _ = made
    ids = torch.tensor([[2, 9, 3, 0], [2, 8, 7, 3], [2, 9, 3, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    seen: list[int] = []
    hook = model.module.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    model.module.eval()
    once = PooledModel(model.module.encoder, "mean", None, 32, once=True).eval()
    with torch.inference_mode():
        torch.testing.assert_close(once(**inputs).logits, model.module(**inputs).logits)
    hook.remove()
    assert seen == [2, 3]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "graft.json",
            lambda v: v["tasks"]["similarity"]["space"].update(labels=["a", "b"], size=2),
            "no labels where",
        ),
        ("graft.json", lambda v: v["module"].update(head="head"), "2_Dense"),
        ("modules.json", lambda v: v[2].update(type="sentence_transformers.models.Dense"), "of the type Normalize"),
        ("modules.json", lambda v: v[2].update(type="my.code.Normalize"), "of the type Normalize"),
        ("modules.json", lambda v: v.pop(), "three modules"),
    ],
)
def test_what_is_no_model_of_vectors_is_refused(made, tmp_path: Path, name, change, message):
    folder = tmp_path / "bundle"
    shutil.copytree(made[1], folder)
    path = folder / name
    tree = json.loads(path.read_text(encoding="utf-8"))
    if name != "graft.json":
        change(tree)
        path.write_text(json.dumps(tree), encoding="utf-8")
        tree = json.loads((folder / "graft.json").read_text(encoding="utf-8"))
        tree["files"][name] = manifest.entry(path)
    else:
        change(tree)
    tree.pop("seal")
    (folder / "graft.json").write_bytes(manifest.sealed(tree))
    with pytest.raises(BundleError, match=message):
        open_bundle(folder)
