"""A model of the Hub: a cached copy works offline, and every other end comes quickly with ways out."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from graftlm.core import registry
from graftlm.core.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WAYS = "--base FOLDER"


def opened(model="owner/model", **fields):
    return registry.make("backbone", {"use": "hub", "model": model, **fields}).open()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the Hub's client, and no answer to any name."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    return tmp_path


@pytest.fixture
def cached(cache) -> Path:
    """A cached copy, laid out as the Hub's client lays it out."""
    folder = cache / "models--owner--model"
    snapshot = folder / "snapshots" / COMMIT
    base = registry.make("backbone", "tiny").open()
    base.build("AutoModel").save_pretrained(snapshot)
    base.tokenizer.save_pretrained(snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return snapshot


def test_a_cached_copy_works_without_network(cached):
    base = opened()
    assert (base.card.name, base.card.hub_id, base.card.revision) == ("owner/model", "owner/model", COMMIT)
    assert base.build("AutoModel").config.hidden_size == 32
    assert base.tokenizer("text")["input_ids"]


def test_a_cached_copy_works_when_offline_is_asked_for(cached, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert opened(revision=COMMIT).card.revision == COMMIT


def test_a_cached_copy_without_weights_is_not_enough(cached):
    (cached / "model.safetensors").unlink()
    with pytest.raises(UserError, match="The Hub cannot be reached"):
        opened()


def test_without_network_and_cache_the_error_comes_soon_and_names_the_ways_out():
    began = time.monotonic()
    with pytest.raises(UserError, match="The Hub cannot be reached for 'owner/model'") as caught:
        opened()
    assert time.monotonic() - began < 5
    for way in (WAYS, "graft list backbone", "hf download", "check the spelling"):
        assert way in str(caught.value)


def test_a_name_server_that_is_silent_does_not_hold_it_up(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(20))
    began = time.monotonic()
    with pytest.raises(UserError, match=r"did not answer for 'owner/model' \(TimeoutError: no answer within 0.5 s"):
        opened(seconds=0.5)
    assert time.monotonic() - began < 3


def test_the_default_patience_ends_within_five_seconds():
    assert registry.load("backbone", "hub").model_fields["seconds"].default <= 4.5


def test_offline_and_not_cached(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="'owner/model' is not in the local cache, and HF_HUB_OFFLINE is set") as caught:
        opened()
    assert WAYS in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("RepositoryNotFoundError", "There is no model 'owner/model' on the Hub, or it is private"),
        ("GatedRepoError", "'owner/model' asks for a login: run `hf auth login`"),
        ("HfHubHTTPError", "The Hub did not answer for 'owner/model'"),
    ],
)
def test_what_the_hub_answers_is_told(monkeypatch, fault, said):
    import huggingface_hub
    from huggingface_hub import errors

    kind = getattr(errors, fault)

    def refuse(self, *args, **kwargs):
        raise kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(UserError, match=said) as caught:
        opened()
    assert WAYS in str(caught.value)


def test_a_name_that_cannot_be_one_is_told():
    with pytest.raises(UserError, match="'a b/c:d' cannot be the name of a model"):
        opened("a b/c:d")


def test_a_misspelt_embedded_model_is_suggested():
    with pytest.raises(UserError, match="Did you mean 'minilm'?"):
        opened("minlm")


def test_a_download_fetches_no_code_and_no_pickles(cached, monkeypatch, tmp_path):
    import huggingface_hub

    asked = {}
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: None)

    def download(*, local_files_only=False, **wanted):
        if local_files_only:
            raise FileNotFoundError
        asked.update(wanted)
        return str(cached)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    opened()
    assert asked["repo_id"] == "owner/model"
    assert not any(
        name.endswith((".py", ".bin", ".pt", ".pkl", "*")) for name in asked["allow_patterns"] if "/" not in name
    )


def test_names_that_it_claims():
    claims = registry.load("backbone", "hub").claims
    assert claims("owner/model") > claims("word") > 0
    assert registry.load("backbone", "hub").named("owner/model") == {"model": "owner/model"}
