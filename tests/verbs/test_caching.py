"""Tokens of many rows are kept, taken again, and shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from tests import tiny
from tests.test_pipeline import rows

from graftlm.cli.main import root
from graftlm.core import cache, registry
from graftlm.nn.tokens import tokenizer_mark
from graftlm.stages.training import encoding
from graftlm.verbs.caching import cache as shown

TASK = registry.make("task", "classification")


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))
    monkeypatch.setattr(encoding, "CACHED_FROM", 10)


def table(count=40, seed=1):
    from graftlm.stages.reading import read_rows

    return read_rows(rows(count, seed), TASK, None, need_target=True, bad_rows="stop", name="train")


def same(one, other):
    assert one.targets == other.targets
    assert (one.truncated, one.tokens) == (other.truncated, other.tokens)
    assert np.array_equal(one.packed.offsets, other.packed.offsets)
    assert one.packed.features.keys() == other.packed.features.keys()
    for name, values in one.packed.features.items():
        assert np.array_equal(values, other.packed.features[name])
    assert np.array_equal(one.packed.vocabulary(), other.packed.vocabulary())
    for key, tensor in one.packed.batch([3, 1], 0).items():
        assert tensor.equal(other.packed.batch([3, 1], 0)[key])


def test_the_second_time_tokens_come_from_disk(monkeypatch):
    made, tokenizer = table(), tiny.tokenizer()
    space = TASK.space(made)
    plain = encoding._encode(made, TASK, tokenizer, space, 16)
    same(encoding.encode(made, TASK, tokenizer, space, 16), plain)
    monkeypatch.setattr(type(TASK), "encode", lambda *_: pytest.fail("tokenised again"))
    again = encoding.encode(made, TASK, tokenizer, space, 16)
    same(again, plain)
    assert isinstance(again.packed.features["input_ids"], np.memmap)


def test_other_rows_limits_and_tokenizers_have_their_own():
    tokenizer = tiny.tokenizer()
    for made, limit in ((table(), 16), (table(seed=2), 16), (table(), 8)):
        encoding.encode(made, TASK, tokenizer, TASK.space(made), limit)
    assert [entry.kind for entry in cache.entries()].count("tokens") == 3
    other = tiny.tokenizer()
    other.add_tokens(["plastic"])
    assert tokenizer_mark(other) != tokenizer_mark(tokenizer)
    encoding.encode(table(), TASK, other, TASK.space(table()), 16)
    assert [entry.kind for entry in cache.entries()].count("tokens") == 4


def test_the_mark_does_not_depend_on_earlier_calls():
    tokenizer = tiny.tokenizer()
    before = tokenizer_mark(tokenizer)
    tokenizer(["w1 w2 w3 w4"], truncation=True, max_length=3)
    assert tokenizer_mark(tokenizer) == before
    assert tokenizer_mark(object()) is None


def test_few_rows_are_not_kept(monkeypatch):
    monkeypatch.setattr(encoding, "CACHED_FROM", 41)
    encoding.encode(table(), TASK, tiny.tokenizer(), TASK.space(table()), 16)
    assert cache.entries() == []


def test_a_torn_entry_is_made_again():
    made, tokenizer = table(), tiny.tokenizer()
    first = encoding.encode(made, TASK, tokenizer, TASK.space(made), 16)
    (entry,) = [entry for entry in cache.entries() if entry.kind == "tokens"]
    file = cache.folder() / f"tokens-{entry.key}" / "feature-input_ids.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.unlink()  # the first pack still maps the old file
    file.write_bytes(content)
    same(encoding.encode(made, TASK, tokenizer, TASK.space(made), 16), first)


def test_the_verb_shows_and_clears():
    made = table()
    encoding.encode(made, TASK, tiny.tokenizer(), TASK.space(made), 16)
    assert sorted(entry.kind for entry in shown().entries) == ["targets", "tokens"]
    said = CliRunner().invoke(root, ["cache"])
    assert said.exit_code == 0
    assert "40 rows of train" in said.stdout
    tree = json.loads(CliRunner().invoke(root, ["cache", "clear", "--json"]).stdout)
    assert tree["freed"] > 0
    assert tree["entries"] == []


def test_packs_are_written_one_by_one_with_what_they_left_out(tmp_path):
    from graftlm.nn import tokens
    from graftlm.nn.packed import Packed

    packs = [
        Packed.of([{"input_ids": [1, 2, 3], "token_type_ids": [0, 0, 0]}]),
        Packed.of([{"input_ids": [4], "token_type_ids": [1]}, {"input_ids": [5, 6], "token_type_ids": [0, 1]}]),
        Packed.of([{"input_ids": [7], "token_type_ids": [0]}]),
    ]
    tokens.write(tmp_path, iter(packs), lambda: {"targets": np.arange(4)})
    packed, columns = tokens.read(tmp_path)
    whole = Packed.joined(packs)
    assert packed.features.keys() == whole.features.keys() == {"input_ids", "token_type_ids"}
    for name, values in whole.features.items():
        assert packed.features[name].tolist() == values.tolist()
    assert packed.offsets.tolist() == [0, 3, 4, 6, 7]
    assert columns["targets"].tolist() == [0, 1, 2, 3]
    assert not list(tmp_path.glob("*.raw"))


def test_targets_that_are_no_numbers_are_not_kept(monkeypatch):
    made = table()
    monkeypatch.setattr(type(TASK), "targets", lambda self, examples, inputs, space: [[1.0]] * len(inputs))
    found = encoding.encode(made, TASK, tiny.tokenizer(), TASK.space(made), 16)
    assert found.targets == [[1.0]] * 40
    assert [entry.kind for entry in cache.entries()] == ["tokens"]
    assert not list(cache.folder().glob(".tmp*"))
