from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from graftlm.contracts.right_answers import truth_of
from graftlm.contracts.values import Example, Outputs, Space
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.plugins.tasks.extractive_qa import ExtractiveQa
from graftlm.recipe import DataSection
from graftlm.stages.reading import read, read_rows

CONTEXT = "In 1912 the ship left Southampton for New York."
ROWS = (
    {"question": "When?", "context": CONTEXT, "answers": [{"text": "1912", "answer_start": 3}]},
    {"question": "Where to?", "context": CONTEXT, "answers": [{"text": "New York", "answer_start": 38}]},
    {"question": "Who steered it?", "context": CONTEXT, "answers": []},
    {"question": "首都在哪里？", "context": "中国的首都在北京。", "answers": [{"text": "北京", "answer_start": 6}]},
    {"question": "What?", "context": "a b", "answers": [{"text": "b", "answer_start": 2}]},
)
SPACE = Space((), 2, {"impossible": True, "longest": 40, "by": "words", "threshold": 0.0})


def example(question, context, answers=None):
    return Example("1", {"question": question, "context": context}, answers, "a.json:1")


def tokenizer():
    return registry.make("backbone", "tiny").open().tokenizer


def truths(*texts):
    return [{"text": text, "answer_start": None} for text in texts]


def graded(task, answer, texts, by="words"):
    one = example("q", " | ".join(["c", *texts]), truths(*texts))
    grades = task.grade([task.span(example("q", answer), (0, len(answer)) if answer else None)], [one],
                        Space((), 2, {**SPACE.extra, "by": by}))  # fmt: skip
    return float(grades["f1"][0]), float(grades["exact"][0])


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ("the Denver Broncos", ["Denver Broncos", "The Denver Broncos!"]),
        ("Denver", ["Denver Broncos", "Carolina Panthers"]),
        ("in the year of 1912, in May", ["1912", "May 1912"]),
        ("a a a b", ["a b b", "b"]),
        ("nothing alike", ["other words"]),
        ("U.S. navy-ship", ["US navyship"]),
    ],
)
def test_figures_equal_those_of_the_squad_script(answer, texts):
    from torchmetrics.functional.text import squad

    theirs = squad(
        [{"prediction_text": answer, "id": "1"}],
        [{"answers": {"answer_start": [0] * len(texts), "text": texts}, "id": "1"}],
    )
    f1, exact = graded(ExtractiveQa(), answer, texts)
    assert f1 == pytest.approx(float(theirs["f1"]) / 100, abs=1e-6)
    assert exact == pytest.approx(float(theirs["exact_match"]) / 100, abs=1e-6)


def test_no_answer_counts_as_squad_2_says():
    task = ExtractiveQa()
    assert graded(task, "", []) == (1.0, 1.0)
    assert graded(task, "something", []) == (0.0, 0.0)
    assert graded(task, "", ["something"]) == (0.0, 0.0)


def test_chinese_is_counted_by_characters_in_runs_as_cmrc_says():
    task = ExtractiveQa()
    # the longest common run is 京大学: 3 of 4 and 3 of 5 characters
    assert graded(task, "北京大学", ["南京大学里"], "characters") == (pytest.approx(2 * 3 / 9), 0.0)
    assert graded(task, "《北京》", ["北京。"], "characters") == (1.0, 1.0)
    assert graded(task, "NBA赛季", ["nba 赛季"], "characters")[0] == 1.0
    # 1,200 is one part, 万 another: of 3 and 2 parts a run of one is shared
    assert graded(task, "1,200万人", ["1,200元"], "characters")[0] == pytest.approx(2 * 1 / 5)


def test_answers_are_exact_parts_of_the_context_with_their_places():
    task, read_by = ExtractiveQa(), tokenizer()
    for row in ROWS[:4]:
        one = example(row["question"], row["context"], row["answers"])
        inputs = task.encode([one], read_by, 512)
        [(start, end)] = task.targets([one], inputs, SPACE)
        logits = np.full((2, len(inputs[0])), -5.0)
        logits[0, start] = logits[1, end] = 5.0
        found = task.decode(one, inputs, [logits], SPACE)
        wanted = row["answers"][0] if row["answers"] else {"text": "", "answer_start": None}
        assert (found.value, found.public["start"]) == (wanted["text"], wanted["answer_start"])
        assert found.confidence > 0.99
        assert found.detail["n_best"][0]["answer"] == found.value
        if row["answers"]:
            assert row["context"][found.public["start"] : found.public["end"]] == found.value
        json.dumps({**found.public, **found.detail}, allow_nan=False)


def test_long_contexts_are_read_in_windows_each_tokenised_once(monkeypatch):
    from graftlm.nn import windows

    asked = []
    own = windows.tokenise
    monkeypatch.setattr(windows, "tokenise", lambda tool, texts: asked.append(list(texts)) or own(tool, texts))
    task = ExtractiveQa(stride=10)
    context = " ".join(f"w{n:02d}" for n in range(60)) + "."
    answers = [{"text": "w40 w41", "answer_start": 160}]
    some = [example("one?", context, answers), example("two?", context, [])]
    inputs = task.encode(some, tokenizer(), 64)
    assert asked == [[context], ["one?", "two?"]]
    own_windows = [one for one in inputs if one.row == 0]
    assert len(own_windows) > 3
    assert max(map(len, inputs)) == 64
    targets = task.targets(some, inputs, SPACE)
    assert targets[len(own_windows) :] == [[0, 0]] * len(own_windows)
    holding = [(one, t) for one, t in zip(inputs, targets, strict=True) if t != [0, 0]]
    assert holding
    for one, (start, end) in holding:
        begin, offsets = one.keep["begin"], one.keep["offsets"]
        assert context[offsets[start - begin][0] : offsets[end - begin][1]] == "w40 w41"
    pieces = []
    for one, (start, end) in zip(own_windows, targets, strict=False):
        piece = np.full((2, len(one)), -5.0)
        piece[0, start] = piece[1, end] = 6.0 if start else 1.0
        pieces.append(piece)
    found = task.decode(some[0], own_windows, pieces, SPACE)
    assert (found.value, found.public["start"], found.public["end"]) == ("w40 w41", 160, 167)


def test_a_span_is_in_order_not_too_long_and_inside_the_context():
    task = ExtractiveQa()
    one = example("q?", "aaa bbb ccc", [])
    inputs = task.encode([one], tokenizer(), 64)
    rng = np.random.default_rng(0)
    space = Space((), 2, {**SPACE.extra, "impossible": False, "longest": 4})
    for _ in range(50):
        found = task.decode(one, inputs, [rng.normal(size=(2, len(inputs[0]))) * 5], space)
        assert found.value.strip() == found.value != ""
        assert len(found.value) <= 4
        assert found.value in "aaa bbb ccc"


def test_the_threshold_is_the_best_for_the_validation_rows():
    task, read_by = ExtractiveQa(), tokenizer()
    rng = np.random.default_rng(1)
    some = [example("q?", "aa bb", truths("aa") if n % 2 else []) for n in range(40)]
    inputs = task.encode(some, read_by, 64)
    pieces = []
    for n in range(40):
        piece = np.full((2, len(inputs[n])), -9.0)
        begin = inputs[n].keep["begin"]
        piece[0, begin] = piece[1, begin + 1] = 1.0
        piece[0, 0] = piece[1, 0] = rng.normal() + (3.0 if n % 2 == 0 else 2.3)
        pieces.append(piece)

    def score(space):
        answers = [task.decode(one, [inputs[n]], [pieces[n]], space) for n, one in enumerate(some)]
        return task.primary.compute(task.grade(answers, some, space))

    tuned = task.tune(some, inputs, pieces, SPACE)
    every = [score(Space((), 2, {**SPACE.extra, "threshold": float(t)})) for t in np.linspace(-6, 6, 400)]
    assert score(tuned) == pytest.approx(max(every))
    assert score(tuned) > score(SPACE)
    fixed = Space((), 2, {**SPACE.extra, "impossible": False})
    assert task.tune(some, inputs, pieces, fixed) is fixed


def test_answers_that_do_not_stand_where_they_should_are_mended_or_skipped_and_named():
    task = ExtractiveQa()
    rows = [
        {"question": "a?", "context": "one two two", "answers": [{"text": "one", "answer_start": 5}]},
        {"question": "b?", "context": "one two two", "answers": [{"text": "two", "answer_start": 5}]},
        {"question": "c?", "context": "one two two", "answers": [{"text": "three", "answer_start": -1}]},
        {"question": "d?", "context": "one two two", "answers": [{"text": "two", "answer_start": 8}]},
        {"question": "e?", "context": "one two two", "answers": []},
    ]
    found = read_rows(rows, task, need_target=True)
    findings = {one.code: one for one in task.check({"train": found})}
    assert (findings["answers_mended"].count, findings["answers_lost"].count) == (1, 2)
    assert findings["answers_lost"].rows[0].endswith(":2")
    examples = found.examples()
    inputs = task.encode_training(examples, tokenizer(), 64)
    assert [one.row for one in inputs] == [0, 3, 4]
    assert task.targets(examples, inputs, SPACE)[2] == [0, 0]
    assert [len(task.truth(one)) for one in examples] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["1912"], "answer_start": [3]},
        [{"text": "1912", "answer_start": 3.0}],
        '[{"text": "1912", "answer_start": 3}]',
        ["1912"],
        "1912",
        [{"text": "1912", "start": 3}],
    ],
)
def test_the_shapes_that_people_write_mean_the_same(answers):
    task = ExtractiveQa()
    one = read_rows([{"问题": "When?", "段落": CONTEXT, "answers": answers}], task, need_target=True).examples()[0]
    assert (task.truth(one), task.place(one)) == (["1912"], (3, 7))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": None, "context": "c", "answers": []}, "the question is missing"),
        ({"question": " ", "context": "c", "answers": []}, "the question is missing"),
        ({"question": "q", "context": "", "answers": []}, "the context is missing"),
        (
            {"question": "q", "context": "c", "answers": {"text": ["a"], "answer_start": [1, 2]}},
            "1 answers and 2 starts",
        ),
        ({"question": "q", "context": "c", "answers": [{"texts": "a"}]}, "answers with text and answer_start"),
    ],
)
def test_rows_that_cannot_be_used_follow_the_policy(row, said, tmp_path):
    path = tmp_path / "a.jsonl"
    nothing = {"text": [], "answer_start": []} if isinstance(row["answers"], dict) else []
    good = {"question": "q", "context": "c", "answers": nothing}
    path.write_text(json.dumps(good) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(DataError, match=f"a.jsonl:2: .*{said}"):
        read(DataSection(train=str(path), split={"valid": 0}), ExtractiveQa())
    data = read(DataSection(train=str(path), split={"valid": 0}, bad_rows="skip"), ExtractiveQa())
    assert len(data.train) == 1


def test_the_space_tells_what_was_found_out():
    def space(rows, **fields):
        task = ExtractiveQa(**fields)
        return task.space(read_rows(rows, task, need_target=True)).extra

    assert space(list(ROWS)) == {"impossible": True, "longest": 8, "by": "words", "threshold": 0.0}
    chinese = space([ROWS[3]])
    assert (chinese["impossible"], chinese["by"]) == (False, "characters")
    assert space([ROWS[3]], by="words")["by"] == "words"
    with pytest.raises(DataError, match="found none in 1 rows"):
        space([ROWS[2]])


def test_the_loss_is_the_cross_entropy_over_places():
    task = ExtractiveQa()
    logits = torch.randn(2, 2, 7)
    targets = task.stack([[2, 4], [0, 0]])
    places = ((0, 0, 2), (0, 1, 4), (1, 0, 0), (1, 1, 0))
    by_hand = -sum(logits[b, side].log_softmax(-1)[place] for b, side, place in places)
    assert task.loss(Outputs(logits), targets).item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert task.count(targets) == 4


def test_a_model_gives_logits_and_its_checkpoint_stays_plain(tmp_path):
    from transformers import AutoModelForQuestionAnswering

    from graftlm.bundle import load, open_bundle, write
    from graftlm.stages.training.assembling import assemble

    task, backbone = ExtractiveQa(), registry.make("backbone", "tiny")
    model = assemble(backbone.open(), backbone, task, SPACE, seed=0)
    model.module.eval()
    inputs = {"input_ids": torch.arange(20).reshape(2, 10) + 5}
    with torch.inference_mode():
        own = model.module(**inputs)
    assert torch.equal(own.logits, torch.stack([own.start_logits, own.end_logits], dim=1))
    write(tmp_path / "b", model, task, SPACE, max_length=64)
    plain = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "b").eval()
    opened = load(open_bundle(tmp_path / "b"), precision="fp32", device="cpu")
    with torch.inference_mode():
        assert torch.equal(plain(**inputs).start_logits, own.start_logits)
        assert torch.equal(opened.module(**inputs).logits, own.logits)
    assert open_bundle(tmp_path / "b").space() == SPACE


@pytest.mark.data
def test_public_data_are_read_and_judged_whole(data_folder):
    task = ExtractiveQa()
    for name, impossible, by, lost in (
        ("squad2_cs224n/train_split.json", True, "words", 0),
        ("cmrc2018/dev.json", False, "characters", 150),
        ("cmrc2018/trial_flat.jsonl", False, "characters", 0),
    ):
        rows = read_rows(data_folder / name, task, need_target=True)
        space = task.space(rows)
        assert (space.extra["impossible"], space.extra["by"]) == (impossible, by)
        told = {one.code: one.count for one in task.check({"train": rows})}
        assert told.get("answers_lost", 0) >= lost
        examples = rows.examples(0, 200)
        answers = [task.span(one, task.place(one)) for one in examples]
        assert task.primary.compute(task.grade(answers, examples, space)) > 0.98


def test_the_code_on_the_model_card_runs(tmp_path, monkeypatch, capsys):
    import re

    from graftlm.bundle import write
    from graftlm.stages.training.assembling import assemble

    task, backbone = ExtractiveQa(), registry.make("backbone", "tiny")
    write(tmp_path / "b", assemble(backbone.open(), backbone, task, SPACE, seed=0), task, SPACE, max_length=64)
    card = (tmp_path / "b" / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card
    monkeypatch.chdir(tmp_path / "b")
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], {})  # noqa: S102
    assert capsys.readouterr().out.endswith("\n")


def test_starts_in_a_column_of_their_own_are_read(tmp_path):
    path = tmp_path / "a.csv"
    lines = ["question,context,answer,answer_start", *["What?,a b a b,b,6"] * 20]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    task = ExtractiveQa()
    data = read(DataSection(train=str(path), split={"valid": 0}), task)
    assert truth_of(data.train.examples(0, 1)[0]).place == (6, 7)
    assert not [one for one in task.check(data.splits) if one.code.startswith("answers_")]
    path.write_text("\n".join([*lines, "What?,a b,b,two"]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.csv:22: expected the start of an answer as a whole number; got 'two'"):
        read(DataSection(train=str(path)), task)


def test_an_answer_without_a_start_that_stands_twice_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,context,answer\n" + "What?,a b a b,b\n" * 20, encoding="utf-8")
    task = ExtractiveQa()
    data = read(DataSection(train=str(path), split={"valid": 0}), task)
    (found,) = [one for one in task.check(data.splits) if one.code == "answers_unsure"]
    assert (found.count, found.rows[0]) == (20, f"{path}:2")
    assert "stand several times in the context; the first place is taken" in found.message


def test_an_empty_answer_is_told_how_to_say_that_there_is_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("question,context,answer\nWhat?,a b,b\nWho?,a b,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.csv:3: column 'answer' is empty.*\(\[\] says that the context holds"):
        read(DataSection(train=str(path)), ExtractiveQa())
    path.write_text("question,context,answer\nWhat?,a b,b\nWho?,a b,[]\n", encoding="utf-8")
    rows = read(DataSection(train=str(path), split={"valid": 0}), ExtractiveQa()).train
    assert truth_of(rows.examples(1, 2)[0]).texts == ()
