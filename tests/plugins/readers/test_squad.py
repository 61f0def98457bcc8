import json

import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.squad import Squad
from graftlm.stages.reading.sources import find


def question(ident="1", text="Who?", **more):
    return {"id": ident, "question": text, **more}


def read(tmp_path, paragraphs, name="train.json", bad_rows="stop", **top):
    path = tmp_path / name
    document = {"version": "v2.0", "data": [{"title": "T", "paragraphs": paragraphs}], **top}
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    reader, found = find(path)
    assert reader.name() == "squad"
    return reader.read(found, bad_rows=bad_rows)


def test_each_question_is_a_row(tmp_path):
    answers = [{"text": "北京", "answer_start": 2}]
    corpus = read(tmp_path, [
        {"context": "他在北京", "qas": [question(answers=answers), question("2", answers=[], is_impossible=True)]},
        {"context": "c", "qas": [question("3", answers=[{"text": "c"}], is_impossible=False)]},
    ])  # fmt: skip
    assert corpus.table.to_pylist()[0] == {
        "id": "1", "title": "T", "context": "他在北京", "question": "Who?", "answers": answers, "is_impossible": None,
    }  # fmt: skip
    assert corpus.table.column("answers").to_pylist()[1:] == [[], [{"text": "c", "answer_start": None}]]
    assert corpus.table.column("is_impossible").to_pylist() == [None, True, False]
    assert corpus.where(2).endswith("train.json:3")
    assert corpus.facts["form"] == "SQuAD v2.0"


def test_cmrc_as_it_was_first_published_is_read(tmp_path):
    path = tmp_path / "cmrc.json"
    path.write_text(json.dumps([
        {"context_id": "D", "context_text": "甲乙", "title": "t",
         "qas": [{"query_id": "Q0", "query_text": "谁", "answers": ["甲", "甲乙"]}]},
    ]))  # fmt: skip
    rows = find(path)[0].read(path).table.to_pylist()
    assert rows[0]["id"] == "Q0"
    assert rows[0]["answers"] == [{"text": "甲", "answer_start": None}, {"text": "甲乙", "answer_start": None}]


def test_faulty_questions_follow_the_policy(tmp_path):
    good = {"context": "c", "qas": [question(answers=[])]}
    bad = [
        {"qas": [question("7")]},
        {"context": "c", "qas": ["x"]},
        {"context": "c", "qas": [question(answers=[3])]},
        "x",
    ]
    for paragraph, said in zip(bad, ('"7" has no context', "a question", "text and answer_start", "qas"), strict=True):
        with pytest.raises(DataError, match=rf"train.json:2: .*{said}"):
            read(tmp_path, [good, paragraph])
        left = read(tmp_path, [good, paragraph, good], bad_rows="skip")
        assert (left.table.num_rows, len(left.skipped), left.read) == (2, 1, 3)


def test_a_question_that_is_said_to_have_no_answer_and_has_one_is_named(tmp_path):
    both = question("7", answers=[{"text": "c", "answer_start": 0}], is_impossible=True)
    with pytest.raises(DataError, match=r'train.json:1: the question "7" is said to have no answer.*and has one'):
        read(tmp_path, [{"context": "c", "qas": [both]}])
    plausible = question("7", answers=[], plausible_answers=[{"text": "c", "answer_start": 0}], is_impossible=True)
    assert read(tmp_path, [{"context": "c", "qas": [plausible]}]).table.num_rows == 1


def test_what_is_no_squad_is_refused_or_left_to_others(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"qas": []}')
    with pytest.raises(DataError, match="the form of SQuAD"):
        Squad().read(path)
    path.write_text("{")
    with pytest.raises(DataError, match="this is not JSON"):
        Squad().read(path)
    rows = tmp_path / "flat.json"
    rows.write_text('[{"question": "q", "context": "c"}]')
    assert find(rows)[0].name() == "json"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows"),
    [("squad2_cs224n/train_split.json", 4434), ("cmrc2018/dev.json", 3219), ("xquad/test_zh.json", 1190)],
)
def test_the_public_files_are_read(data_folder, name, rows):
    reader, path = find(data_folder / name)
    assert reader.name() == "squad"
    assert reader.read(path).table.num_rows == rows
