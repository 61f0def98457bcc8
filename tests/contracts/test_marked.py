"""Rows of tagging under augmentations: entities stay whole, and their labels go where they go."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.contracts.augmentation import Scene
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Example
from graftlm.core import registry, tags
from graftlm.stages.training.expanding import expand

FREE = ("casing", "full_width", "typos", "word_delete", "word_insert", "word_swap")
TAGGING = registry.make("task", "tagging")
TEXT = "Mr. Smith flew from New York-City to 北京 with Air France on Monday"
SPANS = [
    {"start": 4, "end": 9, "label": "PER"},
    {"start": 20, "end": 33, "label": "LOC"},
    {"start": 37, "end": 39, "label": "LOC"},
    {"start": 45, "end": 55, "label": "ORG"},
]
TOKENS = ["EU", "rejects", "German", "calls", "of", "Peter", "Blackburn", ",", "again"]
TAGS = ["B-ORG", "O", "B-MISC", "O", "O", "B-PER", "I-PER", "O", "O"]
CHARACTERS, OWN = (
    list("李明昨天在IBM去了北京城"),
    ["B-PER", "I-PER", *"OOO", *["B-ORG", "I-ORG", "I-ORG"], *"OO", "B-LOC", "I-LOC", "O"],
)


def entities(example):
    """Return each entity of a row as its label and its text, read by the task."""
    task, found = TAGGING, []
    sentence = example.fields["text"]
    words = task.words(example)
    for first, stop, kind in tags.entities(task.truth(example)):
        found.append((kind, "".join(words[first:stop]).replace(" ", "")))
    return sentence, found


ROWS = [
    Example("1", {"text": TEXT}, SPANS, "a:1"),
    Example("2", {"text": TOKENS}, TAGS, "a:2"),
    Example("3", {"text": CHARACTERS}, OWN, "a:3"),
    Example("4", {"text": "李明在北京"}, {"PER": {"李明": [[0, 1]]}, "LOC": {"北京": [[3, 4]]}}, "a:4"),
    Example("5", {"text": "李 明 在 北 京"}, "B-PER I-PER O B-LOC I-LOC", "a:5"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
@pytest.mark.parametrize("name", FREE)
@given(seed=st.integers(0, 999), rate=st.sampled_from([0.1, 0.5, 1.0]))
def test_entities_stay_whole_with_their_labels(name, row, seed, rate):
    one = registry.make("augmentation", {"use": name, "rate": rate, "copies": 3})
    made = list(one.expand_all([row], np.random.default_rng(seed), Scene(marked=TAGGING.marked)))
    _, true = entities(row)
    assert entities(made[0])[1] == true
    for copy in made[1:]:
        sentence, found = entities(copy)
        assert sentence != row.fields["text"]
        assert set(found) <= set(true)  # an entity may be gone or stand twice, never in parts
        if name in ("casing", "full_width", "typos"):
            assert found == true
        assert len(TAGGING.truth(copy)) == len(TAGGING.words(copy))


def test_a_row_in_signs_is_the_row_again():
    for row in ROWS:
        mark = TAGGING.marked(row)
        assert len(mark.shown) == len(entities(row)[1])
        assert entities(mark.back(mark.text))[1] == entities(row)[1]


def test_the_mark_covers_the_words_that_a_span_touches():
    mark = TAGGING.marked(Example("1", {"text": "the Yorkers came"}, [{"start": 4, "end": 8, "label": "LOC"}]))
    assert mark.text == "the \U000f0000 came"
    assert mark.text.translate(mark.shown) == "the Yorkers came"
    new = mark.back("all the \U000f0000 came")
    assert json.loads(new.target) == [{"start": 8, "end": 12, "label": "LOC"}]


def test_entities_that_would_become_one_are_left_alone():
    bare = registry.make("task", {"use": "tagging", "scheme": "IO"})
    mark = bare.marked(Example("1", {"text": ["Ann", "met", "Bob"]}, ["PER", "O", "PER"]))
    one, gone, other = mark.text.split()
    assert mark.back(f"{one} {other}") is None
    assert mark.back(f"{one} saw {gone} {other}").target == '["PER", "O", "O", "PER"]'


def test_an_entity_beside_a_letter_is_left_alone():
    mark = TAGGING.marked(Example("1", {"text": "in Rome now"}, [{"start": 3, "end": 7, "label": "LOC"}]))
    assert mark.back("in\U000f0000now") is None


def test_a_text_with_such_signs_is_left_alone():
    row = Example("1", {"text": "a \U000f0003 b"}, [{"start": 0, "end": 1, "label": "X"}])
    one = registry.make("augmentation", {"use": "word_swap", "rate": 1.0})
    assert [
        e.fields["text"] for e in one.expand_all([row], np.random.default_rng(0), Scene(marked=TAGGING.marked))
    ] == ["a \U000f0003 b"]


@pytest.mark.parametrize("numbers", [False, True])
def test_a_table_of_tagging_rows_keeps_its_tokens(numbers):
    names = ("O", "B-ORG", "B-MISC", "B-PER", "I-PER")
    task = registry.make("task", {"use": "tagging", "names": names if numbers else ()})
    given = [names.index(tag) for tag in TAGS] if numbers else TAGS
    table = pa.table({"text": [TOKENS] * 3, "tags": [given] * 3, ID: ["0", "1", "2"], WHERE: ["a:1", "a:2", "a:3"]})
    swap = registry.make("augmentation", {"use": "word_swap", "rate": 0.4})
    more = expand(Rows("train", table, "tags", "0" * 64), [swap, swap], seed=0, scene=Scene(marked=task.marked))
    assert 9 <= len(more) <= 12
    for row in more.examples():
        assert sorted(row.fields["text"]) == sorted(TOKENS)
        assert sorted(task.truth(row)) == sorted(TAGS)
    assert task.space(more) == task.space(Rows("train", table, "tags", "0" * 64))
