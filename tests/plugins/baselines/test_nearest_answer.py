"""The answer of the nearest training question."""

from __future__ import annotations

import pytest

from graftlm.core.errors import DataError

TRAIN = [
    ("where is the station", "left"),
    ("how much is the ticket", "ten"),
    ("when does the train leave", "soon"),
    ("火车站在哪里", "左边"),
    ("票多少钱", "十块"),
    ("hello", "ten"),
]


def test_it_repeats_the_answer_to_the_most_similar_question(written_baseline):
    asked = ["where is the big station?", "the ticket", "火车站在哪儿", "多少钱", "xyz"]
    fitted, rows = written_baseline("nearest_answer", TRAIN, [(text, "") for text in asked])
    assert [one.value for one in fitted(rows)] == ["left", "ten", "左边", "十块", "ten"]


def test_cosines_are_those_of_a_dense_product(written_baseline):
    from sklearn.feature_extraction.text import TfidfVectorizer

    questions = [text for text, _ in TRAIN]
    asked = ["when is the ticket", "the train is where", "how does the station"]
    fitted, rows = written_baseline("nearest_answer", TRAIN, [(text, "") for text in asked])
    plain = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(questions[:3] + ["hello"])
    best = (plain.transform(asked) @ plain.transform(questions[:3]).T).toarray().argmax(axis=1)
    assert [one.value for one in fitted(rows)] == [TRAIN[n][1] for n in best]


def test_a_sample_is_searched_of_many_rows(written_baseline):
    fitted, rows = written_baseline("nearest_answer", TRAIN, [("hello", "")], rows=1)
    assert fitted(rows)[0].value in {answer for _, answer in TRAIN}


def test_questions_without_words_are_told(written_baseline):
    with pytest.raises(DataError, match="no training question"):
        written_baseline("nearest_answer", [("", "a"), ("!!", "b")], [])
