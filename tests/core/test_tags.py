from __future__ import annotations

import random
import warnings

import pytest

from graftlm.core.tags import LETTERS, entities, part, recognise, write


def random_entities(rng, count):
    found, at = [], 0
    while at < count:
        if rng.random() < 0.5:
            size = min(rng.randint(1, 4), count - at)
            found.append((at, at + size, rng.choice(["PER", "LOC", "in-side"])))
            at += size
        else:
            at += 1
    return found


@pytest.mark.parametrize("scheme", [*LETTERS])
def test_what_is_written_in_a_scheme_is_read_back_and_recognised(scheme):
    rng = random.Random(3)
    known = [(random_entities(rng, size), size) for size in (rng.randint(1, 12) for _ in range(200))]
    sentences = [write(found, size, scheme) for found, size in known]
    assert [entities(tags) for tags in sentences] == [found for found, _ in known]
    assert recognise(sentences) == recognise([*sentences, ["O", "O"]])
    assert recognise(sentences).name == scheme
    assert recognise(sentences).odd == ()


def test_entities_are_those_of_seqeval_for_any_sequence_of_tags():
    from seqeval.metrics.sequence_labeling import get_entities

    rng = random.Random(1)
    tags = ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "S-LOC"]
    for _ in range(500):
        sentence = [rng.choice(tags) for _ in range(rng.randint(0, 10))]
        theirs = [(first, last + 1, kind) for kind, first, last in get_entities(sentence)]
        assert entities(sentence) == theirs, sentence


def test_the_schemes_of_seqeval_read_what_is_written():
    from seqeval.scheme import IOB1, IOB2, IOBES, Entities

    rng = random.Random(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for scheme, theirs in {"BIO": IOB2, "IOB1": IOB1, "BIOES": IOBES}.items():
            known = random_entities(rng, 30)
            read = Entities([write(known, 30, scheme)], theirs).entities[0]
            assert [(one.start, one.end, one.tag) for one in read] == known


def test_adjacent_entities_of_one_type_are_told_apart_in_iob1():
    assert write([(0, 1, "A"), (1, 3, "A"), (3, 4, "B")], 5, "IOB1") == ["I-A", "B-A", "I-A", "I-B", "O"]


def test_bare_tags_are_types():
    assert entities(["PER", "PER", "O", "LOC"], bare=True) == [(0, 2, "PER"), (3, 4, "LOC")]
    assert write([(0, 2, "PER")], 3, "IO") == ["PER", "PER", "O"]


def test_segmentation_tags_have_no_type():
    assert entities(["B", "M", "E", "S"]) == [(0, 3, ""), (3, 4, "")]
    assert write([(0, 3, ""), (3, 4, "")], 4, "BMES") == ["B", "M", "E", "S"]


def test_a_tag_of_no_scheme_is_named():
    for tag in ("NN", "b-PER", "X-PER", "0", ""):
        with pytest.raises(ValueError, match="no prefix of a known scheme"):
            part(tag)


def test_slips_are_told_from_two_schemes():
    sound = [["B-A", "I-A", "O"]] * 300
    slip = [["O", "I-A", "O"]]
    assert recognise([*sound, *slip]).odd == (300,)
    assert recognise([*sound, *slip]).mixed == ""
    assert "only in IOB1" in recognise([*sound, *slip * 100]).mixed
    assert "BIOES" in recognise([*sound, *[["S-A", "O", "B-A", "E-A"]] * 50]).mixed
