import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.stages.reading import read_rows

ROWS = [
    {"question": "q?", "context": "x y", "answers": [{"text": "x", "answer_start": 0}]},
    {"question": "r?", "context": "a b", "answers": []},
    {"question": "s?", "context": "a b", "answers": []},
]


def test_it_never_answers_and_scores_the_share_of_questions_without_an_answer():
    task = registry.make("task", "extractive_qa")
    rows = read_rows(ROWS, task, need_target=True)
    space = task.space(rows)
    answers = registry.make("baseline", "no_answer").fit(rows, BaselineSetting(task, space, 0, None, None, None))(rows)
    assert [(one.value, one.public["start"]) for one in answers] == [("", None)] * 3
    assert task.primary.compute(task.grade(answers, rows.examples(), space)) == pytest.approx(2 / 3)


def test_a_task_without_places_is_refused():
    task = registry.make("task", "classification")
    with pytest.raises(UserError, match="'classification' has none"):
        registry.make("baseline", "no_answer").fit(None, BaselineSetting(task, None, 0, None, None, None))
