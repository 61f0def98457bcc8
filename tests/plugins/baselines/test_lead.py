"""The first sentences."""

from __future__ import annotations

import pytest

NEWS = "Rain fell on 3.5 towns. It was cold! Did it stop? No."
ZH = "今天下雨。天气很冷！会停吗？不会。"


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        (NEWS, 1, "Rain fell on 3.5 towns."),
        (NEWS, 3, "Rain fell on 3.5 towns. It was cold! Did it stop?"),
        (ZH, 1, "今天下雨。"),
        (ZH, 2, "今天下雨。天气很冷！"),
        ('He said "Go." Then he left.', 1, 'He said "Go."'),
        ("no end", 2, "no end"),
        ("", 1, ""),
    ],
)
def test_sentences_end_where_they_end(written_baseline, text, count, expected):
    fitted, rows = written_baseline("lead", [("a.", "b")], [(text, "x")], sentences=count)
    assert fitted(rows)[0].value == expected


def test_the_number_of_sentences_follows_the_training_targets(written_baseline):
    for count in (1, 2, 3):
        targets = "".join(part + "。" for part in ZH.split("。")[0:1] * count)
        fitted, rows = written_baseline("lead", [(ZH, targets)] * 3, [(ZH, "x")])
        assert len(fitted(rows)[0].value) == pytest.approx(len(targets), abs=3)
