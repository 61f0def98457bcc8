import pytest

from graftlm.core.naming import folded


@pytest.mark.parametrize(
    ("name", "same"),
    [
        (" Text ", "text"),
        ("ｓｅｎｔｅｎｃｅ１", "sentence1"),
        ("Answer Key", "answer_key"),
        ("answer.key", "answer-key"),
        ("問題", "问题"),
        ("標籤", "标签"),
        ("類別", "类别"),
        ("內容", "内容"),
        ("選項Ａ", "选项A"),
        ("句子一", "句子1"),
        ("分數", "分数"),
    ],
)
def test_names_that_are_the_same_but_for_how_they_are_written(name, same):
    assert folded(name) == folded(same)


def test_a_numeral_that_is_a_word_of_its_own_stays():
    assert folded("一") == "一"
