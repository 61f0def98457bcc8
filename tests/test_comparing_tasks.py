"""Vectors, ranking and recommendation end to end: what a run of one leaves for another, and for other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import graftlm
from graftlm.core.errors import UserError

DATA = Path(__file__).parents[1] / "recipes" / "data"
SETTINGS = {"train.epochs": 1, "train.precision": "fp32", "train.device": "cpu", "evaluate.resamples": 100}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Return a run of a bi-encoder."""
    out = tmp_path_factory.mktemp("runs") / "vectors"
    data = str(DATA / "sentences.tsv")
    return graftlm.fit(
        data, task="similarity", base="tiny", out=str(out), settings={**SETTINGS, "data.split.test": 0.2}
    )


def test_one_text_is_answered_with_the_vector_that_sentence_transformers_gives(vectors):
    from sentence_transformers import SentenceTransformer

    texts = ["a plane lands", "卡片丢失", "the soup is too hot"]
    found = list(graftlm.predict(vectors.folder, [{"text": text} for text in texts], precision="fp32", device="cpu"))
    plain = SentenceTransformer(str(vectors.bundle), device="cpu", local_files_only=True).encode(texts)
    np.testing.assert_allclose([line["embedding"] for line in found], plain, atol=1e-5)
    pairs = [{"sentence1": texts[0], "sentence2": other} for other in texts]
    both = list(graftlm.predict(vectors.folder, pairs, precision="fp32", device="cpu"))
    np.testing.assert_allclose([line["cosine"] for line in both], plain @ plain[0], atol=1e-5)


def test_what_the_data_decided_is_in_the_bundle(vectors):
    fields = json.loads((vectors.bundle / "graft.json").read_text(encoding="utf-8"))["tasks"]["similarity"]["fields"]
    assert (fields["objective"], fields["metric"], fields["low"], fields["high"]) == ("cosent", "spearman", 0.0, 5.0)
    assert set(vectors.metrics["baselines"]) == {"tfidf_cosine", "zero_shot"}


def test_a_ranking_takes_the_candidates_of_a_bi_encoder_and_of_nothing_else(vectors, tmp_path):
    settings = {**SETTINGS, "data.split.test": 0.3, "task.retriever": str(vectors.folder), "task.candidates": 4}
    data = str(DATA / "help.csv")
    run = graftlm.fit(data, task="ranking", base="tiny", out=str(tmp_path / "run"), settings=settings)
    assert set(run.metrics["baselines"]) == {"bm25", "tfidf_cosine", "zero_shot"}
    lines = (run.folder / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(len(json.loads(line)["ranking"]) == 4 for line in lines)
    again = graftlm.evaluate(run.folder, data, precision="fp32", device="cpu", resamples=100)
    assert again.rows == 30
    line = next(iter(graftlm.predict(run.folder, [{"question": "lost card", "answer": "block it"}], device="cpu")))
    assert isinstance(line["score"], float)
    wrong = {**settings, "task.retriever": str(run.folder)}
    with pytest.raises(UserError, match="expected the bundle of a bi-encoder.*got one of the task 'ranking'"):
        graftlm.fit(data, task="ranking", base="tiny", out=str(tmp_path / "other"), settings=wrong)


@pytest.mark.parametrize("method", ["freeze", "lora", "wise_ft"])
@pytest.mark.parametrize(("task", "data"), [("similarity", "sentences.tsv"), ("recommendation", "loans.csv")])
@pytest.mark.slow
def test_methods_work_on_models_without_a_head(task, data, method, tmp_path):
    items = {"task.items": str(DATA / "books.csv")} if task == "recommendation" else {}
    options = {"settings": {**SETTINGS, **items}, "baselines": "none", "base": "tiny"}
    run = graftlm.fit(str(DATA / data), task=task, method=method, out=str(tmp_path / "run"), **options)
    assert np.isfinite(run.metrics["primary"]["value"])


def test_the_probe_is_refused_without_a_head(tmp_path):
    options = {"settings": SETTINGS, "baselines": "none", "base": "tiny", "method": "probe"}
    with pytest.raises(UserError, match="the task has no linear head"):
        graftlm.fit(str(DATA / "sentences.tsv"), task="similarity", out=str(tmp_path / "run"), **options)


def test_a_recommendation_knows_its_catalogue_afterwards(tmp_path):
    items = tmp_path / "books.csv"
    items.write_bytes((DATA / "books.csv").read_bytes())
    settings = {**SETTINGS, "task.items": str(items)}
    data = str(DATA / "loans.csv")
    run = graftlm.fit(data, task="recommendation", base="tiny", out=str(tmp_path / "run"), settings=settings)
    assert set(run.metrics["baselines"]) == {"popularity", "item_knn", "zero_shot"}
    items.unlink()
    found = graftlm.evaluate(run.folder, data, precision="fp32", device="cpu", resamples=100)
    told = run.metrics["metrics"]["test"]["ndcg@10"]
    assert (found.rows, found.scores.headline.value) == (told["n"], pytest.approx(told["value"], abs=0.02))
    line = next(iter(graftlm.predict(run.folder, [{"user_id": "x", "item_id": "b01|b02"}], device="cpu")))
    assert len(line["items"]) == 10
    assert not {"b01", "b02"} & set(line["items"])
