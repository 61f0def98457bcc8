import importlib
import time

import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.hub import Hub

module = importlib.import_module("graftlm.plugins.readers.hub")
datasets = pytest.importorskip("datasets")


def test_claims_names_but_no_files():
    claims = Hub().claims
    assert claims("owner/name", b"") == claims("imdb:test", b"") == 0.6
    assert claims("imdb", b"") == 0.4
    for other in ("train.csv", "data/train.jsonl.gz", "a b", "/tmp/x/y", "../data", "."):
        assert claims(other, b"") == 0


def _found(**splits):
    features = datasets.Features(
        {"text": datasets.Value("large_string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    return {
        name: datasets.Dataset.from_dict(
            dict(zip(("text", "label"), map(list, zip(*rows, strict=True)), strict=True)), features=features
        )
        for name, rows in splits.items()
    }


def test_reads_a_split_with_class_names(monkeypatch):
    asked = {}

    def load(name, config, *, revision):
        asked.update(name=name, config=config, revision=revision, offline=datasets.config.HF_HUB_OFFLINE)
        return _found(train=[("a", 1)], test=[("b", 0)])

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(module, "_reachable", lambda: True)
    corpus = Hub(config="plain", revision="abc").read("owner/name:test")
    assert corpus.table.to_pylist() == [{"text": "b", "label": "no"}]
    assert asked == {"name": "owner/name", "config": "plain", "revision": "abc", "offline": False}
    assert Hub().read("owner/name").table.to_pylist() == [{"text": "a", "label": "yes"}]
    with pytest.raises(DataError, match="has no split 'dev'; splits: 'train', 'test'"):
        Hub().read("owner/name:dev")


def test_without_network_the_error_comes_soon_and_names_the_ways_out(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    begin = time.monotonic()
    with pytest.raises(DataError) as caught:
        Hub().read("owner/no-such-data-set")
    assert time.monotonic() - begin < 5
    assert datasets.config.HF_HUB_OFFLINE is False
    assert "There is no file or folder 'owner/no-such-data-set'" in str(caught.value)
    assert "the Hub cannot be reached" in str(caught.value)


def test_a_network_that_never_answers_counts_as_absent(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(module, "_PATIENCE", 0.2)

    def slow(*_, **__):
        time.sleep(1.0)
        raise OSError("too late")

    monkeypatch.setattr(module.urllib.request, "urlopen", slow)
    begin = time.monotonic()
    assert module._reachable() is False
    assert time.monotonic() - begin < 0.9
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert module._reachable() is False


def test_an_answer_of_any_kind_counts_as_reachable(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def refuse(*_, **__):
        raise module.urllib.error.HTTPError("http://x", 403, "no", None, None)

    monkeypatch.setattr(module.urllib.request, "urlopen", refuse)
    assert module._reachable() is True
