import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.stages.reading import read_rows

TRAIN = [
    {"tokens": ["Lee", "met", "Lee", "in", "May"], "tags": ["B-PER", "O", "B-PER", "O", "B-DATE"]},
    {"tokens": ["Robert", "Lee", "may", "go"], "tags": ["B-PER", "I-PER", "O", "O"]},
]


def setting(task, space):
    return BaselineSetting(task, space, 0, features=None, probe=None, scratch=None)


def test_each_word_gets_its_most_frequent_tag_and_strangers_get_o():
    task = registry.make("task", "tagging")
    rows = read_rows(TRAIN, task, need_target=True)
    fitted = registry.make("baseline", "token_frequency").fit(rows, setting(task, task.space(rows)))
    asked = read_rows([{"tokens": ["Lee", "and", "may", "May", "Robert"]}, {"tokens": []}], task)
    found = fitted(asked)
    assert [one.value for one in found] == [["B-PER", "O", "O", "B-DATE", "B-PER"], []]
    assert found[0].public["entities"][0]["text"] == "Lee"


def test_no_answer_continues_an_entity_that_none_began():
    task = registry.make("task", "tagging")
    rows = read_rows([{"tokens": ["New", "York", "in"], "tags": ["B-LOC", "I-LOC", "O"]}], task, need_target=True)
    fitted = registry.make("baseline", "token_frequency").fit(rows, setting(task, task.space(rows)))
    asked = read_rows([{"tokens": ["in", "York"]}, {"tokens": ["New", "York"]}], task)
    assert [one.value for one in fitted(asked)] == [["O", "O"], ["B-LOC", "I-LOC"]]


def test_a_task_without_words_is_refused():
    task = registry.make("task", "classification")
    rows = read_rows([{"text": "a", "label": "b"}, {"text": "a", "label": "c"}], task, need_target=True)
    with pytest.raises(UserError, match="counts tags of words, and the task 'classification' has none"):
        registry.make("baseline", "token_frequency").fit(rows, setting(task, task.space(rows)))
