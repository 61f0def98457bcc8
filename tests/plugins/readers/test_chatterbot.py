"""The ChatterBot corpus."""

from __future__ import annotations

import pytest

from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.stages.reading.sources import find

TALK = """categories:
- greetings
conversations:
- - Hello
  - Hi
- - Is it? yes
  - yes
  - 'no'
- - 你好
  - 嗨
  - 最近如何
  - "挺好: 真的"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "talk.yml").write_text(TALK, encoding="utf-8")
    return tmp_path


def test_questions_and_answers(folder):
    for place in (folder / "talk.yml", folder):
        reader, given = find(str(place))
        assert reader.name() == "chatterbot"
        corpus = reader.read(given)
        assert corpus.table.to_pylist() == [
            {"category": "greetings", "question": "Hello", "answer": "Hi"},
            {"category": "greetings", "question": "Is it? yes", "answer": "yes"},
            {"category": "greetings", "question": "你好", "answer": "嗨"},
        ]
    assert corpus.where(2).endswith("/talk.yml:3")


def test_whole_dialogues(folder):
    corpus = registry.make("reader", {"use": "chatterbot", "turns": "all"}).read(folder / "talk.yml")
    said = [[(turn["role"], turn["content"]) for turn in row] for row in corpus.table.column("messages").to_pylist()]
    assert said[1] == [("user", "Is it? yes"), ("assistant", "yes")]
    assert said[2][2:] == [("user", "最近如何"), ("assistant", "挺好: 真的")]


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        ("conversations:\n- - alone\n", "1: nobody answers"),
        ("conversations:\n- - a\n  - b: c\n", "expected a list of texts"),
        ("conversations:\n- - a\n  - ''\n", "one of the texts is empty"),
        ("conversations:\n", "expected a list under 'conversations'"),
        ("conversations: [\n", "no YAML"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, talk, message):
    path = tmp_path / "a.yml"
    path.write_text(talk, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        registry.make("reader", "chatterbot").read(path)


def test_other_yaml_and_folders_are_not_claimed(tmp_path):
    (tmp_path / "a.yml").write_text("x: 1\n", encoding="utf-8")
    reader = registry.make("reader", "chatterbot")
    assert reader.claims(tmp_path, b"") == reader.claims(tmp_path / "a.yml", b"x: 1\n") == 0


@pytest.mark.data
def test_the_corpus_itself(data_folder):
    raw = data_folder / "chatterbot_corpus" / "raw"
    counts = {}
    for language in ("english", "chinese"):
        reader, given = find(str(raw / language))
        counts[language] = reader.read(given, bad_rows="skip").table.num_rows
    # as many rows as the published JSON lines of the same corpus hold
    lines = {"english": "all_en.jsonl", "chinese": "all_zh.jsonl"}
    for language, name in lines.items():
        text = (data_folder / "chatterbot_corpus" / name).read_text(encoding="utf-8")
        assert abs(counts[language] - len(text.splitlines())) <= 1
