from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest

from graftlm.contracts.values import Example, Inputs, Space
from graftlm.core import registry, tags
from graftlm.core.errors import DataError
from graftlm.plugins.tasks.tagging import Tagging
from graftlm.recipe import DataSection
from graftlm.stages.reading import read, read_rows

ROWS = (
    {"text": ["EU", "rejects", "German", "call", "."], "tags": ["B-ORG", "O", "B-MISC", "O", "O"]},
    {"text": ["Peter", "Blackburn"], "tags": ["B-PER", "I-PER"]},
    {"text": ["BRUSSELS", "1996-08-22"], "tags": ["B-LOC", "O"]},
    {"text": ["New", "York", "'s", "Peter", "Lee", "and", "EU"],
     "tags": ["B-LOC", "I-LOC", "O", "B-PER", "I-PER", "O", "B-ORG"]},
    {"text": ["no", "name", "here"], "tags": ["O", "O", "O"]},
    {"text": ["李", "明", "在", "北", "京"], "tags": ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]},
)  # fmt: skip
SPACE = Space(("O", "B-LOC", "I-LOC", "B-PER", "I-PER"), 5, {"scheme": "BIO", "types": ["LOC", "PER"]})


def example(text, target=None):
    return Example("1", {"text": text}, target, "a.jsonl:1")


def answer(task, one, labels, space=SPACE):
    """Answer with logits that name a label for each word."""
    wanted = [space.labels.index(label) for label in labels]
    return task.decode(one, [], [20.0 * np.eye(space.size)[wanted]], space)


def tokenizer():
    return registry.make("backbone", "tiny").open().tokenizer


def random_tags(rng, kinds=("LOC", "PER", "ORG")):
    found, at, count = [], 0, rng.randint(1, 9)
    while at < count:
        size = min(rng.randint(1, 3), count - at)
        if rng.random() < 0.5:
            found.append((at, at + size, rng.choice(kinds)))
        at += size
    return tags.write(found, count, "BIO")


def test_figures_equal_those_of_seqeval():
    from seqeval.metrics import accuracy_score, classification_report, f1_score, precision_score, recall_score
    from seqeval.scheme import IOB2

    rng = random.Random(0)
    kinds = ["LOC", "ORG", "PER"]
    labels = ("O", *(f"{letter}-{kind}" for kind in kinds for letter in "BI"))
    space = Space(labels, 7, {"scheme": "BIO", "types": kinds})
    task = Tagging()
    for _ in range(20):
        true = [random_tags(rng) for _ in range(30)]
        found = [row if rng.random() < 0.5 else (random_tags(rng) + ["O"] * 9)[: len(row)] for row in true]
        examples = [example([f"w{n}" for n in range(len(row))], row) for row in true]
        answers = [answer(task, one, row, space) for one, row in zip(examples, found, strict=True)]
        assert [one.value for one in answers] == found
        grades = task.grade(answers, examples, space)
        own = {metric.name: metric.compute(grades) for metric in task.metrics}
        strict = {"mode": "strict", "scheme": IOB2}
        assert own["entity_f1"] == pytest.approx(f1_score(true, found, **strict), abs=1e-6)
        assert own["entity_f1"] == pytest.approx(f1_score(true, found), abs=1e-6)
        assert own["precision"] == pytest.approx(precision_score(true, found, **strict), abs=1e-6)
        assert own["recall"] == pytest.approx(recall_score(true, found, **strict), abs=1e-6)
        assert own["token_accuracy"] == pytest.approx(accuracy_score(true, found), abs=1e-6)
        report = classification_report(true, found, output_dict=True, zero_division=0)
        for row in task.details(grades, space)["per_class"]:
            theirs = report[row["label"]]
            assert row["f1"] == pytest.approx(theirs["f1-score"], abs=1e-6)
            assert row["precision"] == pytest.approx(theirs["precision"], abs=1e-6)
            assert row["support"] == theirs["support"]
        assert own["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"], abs=1e-6)


def test_a_type_never_seen_counts_as_missed():
    task = Tagging()
    one = example(["a", "b"], ["B-NEW", "B-PER"])
    grades = task.grade([answer(task, one, ["O", "B-PER"])], [one], SPACE)
    assert task.metrics[0].compute(grades) == pytest.approx(2 / 3)
    assert task.details(grades, SPACE)["never_seen"] == 1


def test_answers_are_spans_of_the_text_and_tags_in_the_scheme_of_the_data():
    task = Tagging()
    space = Space(SPACE.labels, 5, {"scheme": "BIOES", "types": ["LOC", "PER"]})
    found = answer(task, example(["in", "New", "York", "Li"]), ["O", "B-LOC", "I-LOC", "B-PER"], space).public
    assert found["text"] == "in New York Li"
    assert [(one["start"], one["end"], one["label"], one["text"]) for one in found["entities"]] == [
        (3, 11, "LOC", "New York"),
        (12, 14, "PER", "Li"),
    ]
    assert found["tags"] == ["O", "B-LOC", "E-LOC", "S-PER"]
    text = "李明在iPhone6发布会"
    found = answer(task, example(text), ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O", "O", "O"]).public
    assert [one["text"] for one in found["entities"]] == ["李明", "iPhone6"]
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found["entities"])
    assert "tags" not in found


def test_no_answer_breaks_the_scheme_and_the_best_that_keeps_it_is_given():
    rng = np.random.default_rng(0)
    task, words = Tagging(), ["a"] * 4
    legal = [
        path
        for path in np.ndindex(*[5] * 4)
        if tags.write(tags.entities([SPACE.labels[n] for n in path]), 4, "BIO") == [SPACE.labels[n] for n in path]
    ]
    for _ in range(50):
        logits = rng.normal(size=(4, 5))
        best = max(legal, key=lambda path: logits[np.arange(4), list(path)].sum())
        assert task.decode(example(words), [], [logits], SPACE).value == [SPACE.labels[n] for n in best]


def test_long_texts_are_read_in_windows_and_every_word_once_with_its_context():
    task = Tagging(stride=8)
    text = [f"w{n:02d}" for n in range(40)]
    one = example(text, ["B-PER" if n % 3 == 0 else "O" for n in range(40)])
    inputs = task.encode([one], tokenizer(), 32)
    assert len(inputs) > 4
    assert max(map(len, inputs)) == 32
    assert sorted(word for part in inputs for word in part.keep["words"]) == list(range(40))
    numbers = task.targets([one], inputs, SPACE)
    assert sum(target.count(3) for target in numbers) == 14
    assert sum(len(target) - target.count(-100) for target in numbers) == 40
    for part in inputs[1:-1]:  # 30 tokens, 8 of them shared with each neighbour: four at each border are context
        assert min(part.keep["at"]) >= 1 + 3
        assert max(part.keep["at"]) <= 31 - 4
    pieces = [np.eye(5)[[max(number, 0) for number in target]] for target in numbers]
    assert task.decode(one, inputs, pieces, SPACE).value == task.truth(one)
    whole = task.encode([one], tokenizer(), 512)
    assert len(whole) == 1
    assert [len(part.keep["words"]) for part in task.encode([example("")], tokenizer(), 32)] == [0]
    assert task.decode(example(""), task.encode([example("")], tokenizer(), 32), [np.zeros((2, 5))], SPACE).value == []


def test_a_word_without_a_token_of_its_own_goes_with_the_entity_round_it():
    task = Tagging()
    one = example(["New", "\u200bYork", "", "City", "."])
    inputs = [Inputs(0, {"input_ids": [0] * 3}, keep={"words": [0, 3], "at": [0, 1]})]
    loc, inner = np.eye(5)[1] * 9, np.eye(5)[2] * 9
    assert task.decode(one, inputs, [np.stack([loc, inner, loc])], SPACE).value == [
        "B-LOC", "I-LOC", "I-LOC", "I-LOC", "O",
    ]  # fmt: skip
    assert task.decode(one, inputs, [np.stack([loc, np.eye(5)[0] * 9, loc])], SPACE).value == [
        "B-LOC", "I-LOC", "O", "O", "O",
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", list(tags.LETTERS))
def test_every_scheme_is_found_out_and_means_the_same(scheme):
    rows = [
        {"tokens": row["text"], "tags": tags.write(tags.entities(row["tags"]), len(row["tags"]), scheme)}
        for row in ROWS
    ]
    task = Tagging()
    found = read_rows(rows, task, need_target=True)
    space = task.space(found)
    # without adjacent entities of one type, some schemes look alike; the tags of an answer are the same then
    assert tags.write(tags.entities(rows[3]["tags"]), 7, str(space.extra["scheme"])) == rows[3]["tags"]
    assert space.labels == (
        "O", "B-LOC", "I-LOC", "B-MISC", "I-MISC", "B-ORG", "I-ORG", "B-PER", "I-PER",
    )  # fmt: skip
    assert [task.truth(one) for one in found.examples()] == [row["tags"] for row in ROWS]


@pytest.mark.parametrize(
    "row",
    [
        {
            "text": "李明在北京",
            "entities": [{"start": 0, "end": 2, "label": "PER"}, {"start": 3, "end": 5, "label": "LOC"}],
        },
        {"text": "李明在北京", "label": {"PER": {"李明": [[0, 1]]}, "LOC": {"北京": [[3, 4]]}}},
        {"text": "李明在北京", "label": json.dumps([[0, 2, "PER"], [3, 5, "LOC"]])},
        {"tokens": list("李明在北京"), "ner_tags": ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]},
        {"text": "李 明 在 北 京", "tags": "B-PER I-PER O B-LOC I-LOC"},
        {"sentence": "李明在北京", "bio": ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]},
    ],
)
def test_the_shapes_that_people_bring_are_read(row):
    task = Tagging()
    one = read_rows([row], task, need_target=True).examples()[0]
    assert task.truth(one) == ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]


def test_numbered_tags_need_names():
    rows = [{"tokens": ["a", "b"], "ner_tags": [0, 2]}, {"tokens": ["c"], "ner_tags": [1]}]
    with pytest.raises(DataError, match=r":1: the tags are numbers \(up to 2\), and the task's field 'names'"):
        read_rows(rows, Tagging(), need_target=True)
    task = Tagging(names=("O", "B-PER", "I-PER"))
    assert task.truth(read_rows(rows, task, need_target=True).examples()[0]) == ["O", "B-PER"]


def test_bare_tags_are_types_where_the_scheme_says_so():
    task = Tagging(scheme="IO")
    one = example(["New", "York", "is", "big"], ["LOC", "LOC", "O", "ADJ"])
    assert task.truth(one) == ["B-LOC", "I-LOC", "O", "B-ADJ"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": ["a", "b"], "tags": ["O"]}, "there is 1 tag for 2 tokens; expected one for each"),
        ({"text": ["a", "b"], "tags": ["NN", "VB"]}, "the tag 'NN' has no prefix of a known scheme.*task.scheme: IO"),
        ({"text": "abc", "tags": [{"start": 1, "end": 9, "label": "x"}]}, "outside the text, which has 3 characters"),
        ({"text": "abc", "tags": [[0, 2, "x"], [1, 3, "y"]]}, "overlap"),
        ({"text": "abc", "tags": '[{"start": 0}]'}, "start, end and label"),
        ({"text": "abc", "tags": "{not json"}, "neither tags, nor a list in JSON"),
        ({"text": ["abc"], "tags": [[0, 3, "x"]]}, "spans need the text they count in"),
    ],
)
def test_faulty_rows_are_named_and_follow_the_policy(row, said, tmp_path):
    path = tmp_path / "a.jsonl"
    good = {"text": ["Li"], "tags": ["B-PER"]} if isinstance(row["text"], list) else {"text": "Li", "tags": "[]"}
    path.write_text("".join(json.dumps(one) + "\n" for one in (good, row)))
    with pytest.raises(DataError, match=f"a.jsonl:2: .*{said}"):
        read(DataSection(train=str(path), split={"valid": 0}), Tagging())
    data = read(DataSection(train=str(path), split={"valid": 0}, bad_rows="skip"), Tagging())
    assert len(data.train) == 1


def test_a_tag_of_another_scheme_than_the_named_one_is_refused():
    assert "does not belong to the scheme BIO" in Tagging(scheme="BIO").fault(example(["a"], ["S-PER"]))


def found(rows, task=None, **others):
    task = task or Tagging()
    splits = {"train": rows, **others}
    return task.check({name: read_rows(given, task, need_target=True, name=name) for name, given in splits.items()})


def row(*own):
    return {"tokens": [f"w{n}" for n in range(len(own))], "tags": list(own)}


def test_two_schemes_in_one_file_are_an_error_and_slips_a_warning():
    bio, iob1 = row("B-PER", "I-PER", "O"), row("O", "I-PER", "O")
    mixed = found([bio, iob1, bio])
    assert [(one.level, one.code) for one in mixed] == [("error", "mixed_schemes")]
    assert "only in IOB1" in mixed[0].message
    assert mixed[0].rows[0].endswith(":2")
    slips = found([bio] * 300 + [iob1])
    assert [(one.level, one.code, one.count) for one in slips] == [("warning", "odd_tags", 1)]


def test_types_that_a_split_has_alone_are_told():
    told = found([row("B-PER"), row("B-LOC")], valid=[row("B-PER"), row("B-ORG")])
    assert {(one.level, one.code) for one in told} == {("warning", "unseen_types"), ("note", "absent_types")}
    assert "ORG" in told[0].message


def test_no_entity_is_an_error_and_torn_words_are_told():
    assert found([row("O", "O")])[0].code == "no_entities"
    with pytest.raises(DataError, match="found none in 1 rows"):
        Tagging().space(read_rows([row("O")], Tagging(), need_target=True))
    told = found([{"text": "a photograph", "spans": [[2, 7, "x"]]}])
    assert [(one.level, one.code) for one in told] == [("note", "torn_words")]


def test_losses_that_reshape_the_cross_entropy_see_the_words_alone():
    import torch

    from graftlm.contracts.values import Outputs

    task = Tagging()
    targets = task.stack([[-100, 1, 2, -100], [-100, 0]])
    assert targets.tolist() == [[-100, 1, 2, -100], [-100, 0, -100, -100]]
    assert task.count(targets) == 3
    logits = torch.randn(2, 4, 5)
    by_hand = -sum(logits[b, t].log_softmax(-1)[c] for b, t, c in ((0, 1, 1), (0, 2, 2), (1, 1, 0)))
    assert task.loss(Outputs(logits), targets).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_what_all_words_probabilities_are_is_told_when_asked():
    detail = answer(Tagging(), example("Li is"), ["B-PER", "O"]).detail
    assert list(detail) == ["words"]
    assert detail["words"][0]["probabilities"]["B-PER"] == pytest.approx(1, abs=1e-6)
    assert (detail["words"][1]["start"], detail["words"][1]["end"]) == (3, 5)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "scheme", "kinds"),
    [
        ("conll2003", "IOB1", 4),
        ("wnut17", "BIO", 6),
        ("snips", "BIO", 39),
        ("cluener", "BIO", 10),
        ("weibo_ner", "BIO", 8),
    ],
)
def test_public_data_are_read_and_judged_whole(data_folder, name, scheme, kinds):
    task = Tagging()
    rows = read_rows(data_folder / name / "train.jsonl", task, need_target=True)
    space = task.space(rows)
    assert (space.extra["scheme"], len(space.extra["types"])) == (scheme, kinds)
    assert not [one for one in task.check({"train": rows}) if one.level == "error"]
    examples = rows.examples(0, 300)
    answers = [answer(task, one, task.truth(one), space) for one in examples]
    assert task.primary.compute(task.grade(answers, examples, space)) > 0.99


def test_transitions_learnt_on_validation_rows_change_answers_and_are_kept_in_the_bundle(tmp_path, monkeypatch, capsys):
    from graftlm.bundle import open_bundle, write
    from graftlm.stages.training.assembling import assemble

    task, backbone = Tagging(crf=True), registry.make("backbone", "tiny")
    rows = [example(["Li", "Wei", "ran"], ["B-PER", "I-PER", "O"]) for _ in range(30)]
    rows += [example(["a", "new", "one"], ["B-NEW", "O", "O"])]  # a type that training lacks teaches nothing
    inputs = task.encode(rows, tokenizer(), 64)
    pieces = []
    for one in inputs:
        piece = np.zeros((len(one), 5))
        for place, word in zip(one.keep["at"], one.keep["words"], strict=True):
            piece[place] = [[0, 0, 0, 3, 0], [0, 0, 0, 1.2, 1.0], [3, 0, 0, 0, 0]][word]
        pieces.append(piece)
    before = task.decode(rows[0], inputs[:1], pieces[:1], SPACE)
    assert before.value == ["B-PER", "B-PER", "O"]
    space = task.tune(rows, inputs, pieces, SPACE)
    after = task.decode(rows[0], inputs[:1], pieces[:1], space)
    assert after.value == ["B-PER", "I-PER", "O"]
    assert Space.from_json(json.loads(json.dumps(space.as_json()))) == space
    assert Tagging().tune(rows, inputs, pieces, SPACE) is SPACE
    model = assemble(backbone.open(), backbone, task, space, seed=0)
    write(tmp_path / "b", model, task, space, max_length=64)
    opened = open_bundle(tmp_path / "b")
    assert opened.space() == space
    assert opened.task() == task
    card = (tmp_path / "b" / "README.md").read_text()
    assert "linear-chain CRF" in card
    monkeypatch.chdir(tmp_path / "b")
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], {})  # noqa: S102
    assert re.search(r"\['(O|[BI]-(LOC|PER))'", capsys.readouterr().out)


def test_transitions_need_validation_rows():
    rows = read_rows([row("B-PER")], Tagging(), need_target=True)
    assert [one.code for one in Tagging(crf=True).check({"train": rows})] == ["no_validation"]
    assert Tagging(crf=True).check({"train": rows, "valid": rows}) == []


@pytest.mark.parametrize("tokens", ["['Anna', 'saw', 'Bo']", '["Anna", "saw", "Bo"]'])
def test_lists_that_became_text_in_a_table_are_read(tmp_path, tokens):
    import csv

    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out)
        lines.writerow(["tokens", "tags"])
        for _ in range(12):
            lines.writerow([tokens, "['B-PER', 'O', 'B-PER']"])
    rows = read(DataSection(train=str(path), split={"valid": 0}), Tagging()).train
    assert Tagging().truth(rows.examples(0, 1)[0]) == ["B-PER", "O", "B-PER"]
    assert Tagging().reads(rows.examples(0, 1)[0]) == "Anna saw Bo"


def test_tags_as_text_in_a_table_of_commas_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,tags\n" + "Anna lives here,B-PER O O\n" * 20, encoding="utf-8")
    rows = read(DataSection(train=str(path), split={"valid": 0}), Tagging()).train
    assert Tagging().truth(rows.examples(0, 1)[0]) == ["B-PER", "O", "O"]
