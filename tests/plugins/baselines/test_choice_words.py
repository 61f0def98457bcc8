"""The rule on words: it takes the one that the training rows bear out, in English and in Chinese."""

from __future__ import annotations

import pyarrow as pa
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.core import registry

TASK = registry.make("task", "multiple_choice")


def rows(found):
    number = [str(n) for n in range(len(found))]
    columns = {name: [row[n] for row in found] for n, name in enumerate(("question", "choices", "answer"))}
    return Rows("train", pa.table({**columns, ID: number, WHERE: number}), "answer", "0")


@pytest.mark.parametrize(
    ("train", "asked", "answer"),
    [
        (
            [("Where is the red house?", ["by a lake", "the red house is in town"], "B"),
             ("Who has the dog?", ["Tom has the dog", "a long walk in the evening sun"], "A")],
            ("What did the fox eat?", ["it slept well all through the night", "the fox ate"], "x"), "B",
        ),
        (
            [("q", ["a long choice of words", "no"], "A"), ("r", ["no", "another long choice"], "B")],
            ("s", ["short", "the longest of them"], "x"), "B",
        ),
        (
            [("q", ["a long choice of words", "no"], "B"), ("r", ["no", "another long choice"], "A")],
            ("s", ["short", "the longest of them"], "x"), "A",
        ),
        (
            [("猫吃什么", ["狗在睡觉呢今天", "猫吃鱼"], "B"), ("谁有书", ["小明有书", "今天天气非常非常好"], "A")],
            ("鸟住在哪里", ["我们去学校上课", "鸟住树上"], "x"), "B",
        ),
    ],
)  # fmt: skip
def test_the_rule_that_the_training_rows_bear_out_answers(train, asked, answer):
    train = rows(train)
    setting = BaselineSetting(TASK, TASK.space(train), 0, None, None, None)
    found = registry.make("baseline", "choice_words").fit(train, setting)(rows([asked]))
    assert [one.value for one in found] == [answer]
