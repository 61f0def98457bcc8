"""The source itself."""

from __future__ import annotations

from graftlm.core import registry


def test_it_says_what_it_was_asked(written_baseline):
    fitted, rows = written_baseline("copy", [("a b c", "x"), ("d", "y")], [("e f", "z"), ("", "w")])
    answers = fitted(rows)
    assert [one.value for one in answers] == ["e f", ""]
    assert answers[0].public == {"output": "e f"}


def test_it_knows_nothing_pretrained():
    assert not registry.make("baseline", "copy").pretrained
