import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.stages.reading import read_rows

CONTEXT = (
    "The river is long and the river is wide and there are many boats upon it every summer day. "
    "Inventor Rudolf Diesel patented an engine. Later the towns grew and the roads were built of stone and brick."
)


def answers(rows, asked):
    task = registry.make("task", "extractive_qa")
    given = read_rows(rows, task, need_target=True)
    setting = BaselineSetting(task, task.space(given), 0, None, None, None)
    return registry.make("baseline", "lexical_overlap").fit(given, setting)(read_rows(asked, task))


def test_the_words_nearest_to_rare_words_of_the_question_are_the_answer():
    train = [{"question": "q?", "context": CONTEXT, "answers": [{"text": "Rudolf Diesel", "answer_start": 100}]}]
    asked = [{"question": "Which inventor patented the engine?", "context": CONTEXT}]
    [found] = answers(train, asked)
    assert found.value == "Rudolf Diesel"
    assert CONTEXT[found.public["start"] : found.public["end"]] == found.value


def test_chinese_is_compared_by_characters():
    train = [{"question": "问？", "context": "北京是首都", "answers": [{"text": "北京", "answer_start": 0}]}]
    [found] = answers(train, [{"question": "谁发明了柴油机？", "context": "天气好。狄塞尔发明了柴油机。路很长。"}])
    assert len(found.value) == 2
    assert found.value in "天气好。狄塞尔发明了柴油机。路很长。"


def test_a_task_without_places_is_refused():
    task = registry.make("task", "classification")
    with pytest.raises(UserError, match="'classification' does not"):
        registry.make("baseline", "lexical_overlap").fit(None, BaselineSetting(task, None, 0, None, None, None))
