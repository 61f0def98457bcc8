"""Multiple choice: the loss against torch, ways to write choices and answers, public formats, bad rows."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from graftlm.contracts.choices import choices_of
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Answer, Example, Outputs, Space
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection
from graftlm.stages.reading import read

TASK = registry.make("task", "multiple_choice")
METRICS = {metric.name: metric.compute for metric in TASK.metrics}
ROWS = [
    {
        "question": "Where do fish live?",
        "choices": ["in the water of the sea", "in trees", "on the moon"],
        "answer": "A",
    },
    {"question": "What is two and two?", "choices": ["five", "four", "three"], "answer": "B"},
    {"question": "猫喜欢吃什么？", "choices": ["石头", "鱼"], "answer": "B"},
    {"question": "Which is a colour?", "choices": ["red", "seven", "up", "dog"], "answer": "A"},
]


def rows(found, name="train"):
    count = [str(n) for n in range(len(found))]
    columns = {role: [row[role] for row in found] for role in found[0]}
    places = [f"{name}.jsonl:{n + 1}" for n in range(len(found))]
    return Rows(name, pa.table({**columns, ID: count, WHERE: places}), "answer", "0")


def asked(answers, choices=("red", "green", "blue")):
    return rows([{"question": "?", "choices": list(choices), "answer": answer} for answer in answers])


def codes(findings):
    return {finding.code: finding for finding in findings}


def test_the_loss_is_the_cross_entropy_over_each_rows_choices():
    sizes, right = [3, 2, 4], [1, 0, 3]
    targets = [[int(n == 0), int(n == answer)] for size, answer in zip(sizes, right, strict=True) for n in range(size)]
    logits = torch.randn(9, 1, requires_grad=True)
    parts = torch.split(logits[:, 0], sizes)
    expected = sum(torch.nn.functional.cross_entropy(p, torch.tensor(a)) for p, a in zip(parts, right, strict=True))
    stacked = TASK.stack(targets)
    assert TASK.loss(Outputs(logits), stacked).item() == pytest.approx(expected.item(), rel=1e-6)
    assert TASK.count(stacked) == 3


@pytest.mark.parametrize(
    ("value", "texts", "names"),
    [
        (["a", "b"], ["a", "b"], []),
        ({"A": "a", "B": "b", "C": ""}, ["a", "b"], ["A", "B"]),
        ({"text": ["a", "b"], "label": ["1", "2"]}, ["a", "b"], ["1", "2"]),
        ('["a, x", "b"]', ["a, x", "b"], []),
        ("a | b|c", ["a", "b", "c"], []),
        ([{"text": "a", "label": "A"}, {"text": "b", "label": "B"}], ["a", "b"], ["A", "B"]),
        ([{"text": "a"}, {"text": "b"}], ["a", "b"], []),
        ("a, x\nb", ["a, x", "b"], []),
        (None, [], []),
    ],
)
def test_ways_to_write_choices(value, texts, names):
    assert choices_of(value) == (texts, names)


@pytest.mark.parametrize(
    ("answers", "form"),
    [
        (["red", "blue"], "text"),
        (["A", "C", "B"], "letter"),
        (["(a)", "c"], "small_letter"),
        (["0", "2"], "from_zero"),
        (["1", "3"], "from_one"),
        ([1, 3], "from_one"),
        (["Ａ", "Ｂ"], "letter"),
    ],
)
def test_how_answers_name_choices_is_found_said_and_used(answers, form):
    train = asked(answers)
    assert form in codes(TASK.check({"train": train}))["answers"].message
    space = TASK.space(train)
    assert space.extra == {"answers": form}
    assert Space.from_json(json.loads(json.dumps(space.as_json()))) == space
    examples = train.examples()
    found = [
        TASK.decode(one, [], [np.array([float(n == right)]) for n in range(3)], space)
        for one, right in zip(examples, TASK.grade([Answer("")] * len(answers), examples, space)["true"], strict=True)
    ]
    assert METRICS["accuracy"](TASK.grade(found, examples, space)) == 1.0
    assert [one.public["choice"] for one in found][0] == "red"


def test_numbers_that_may_count_from_zero_or_one_are_doubted_and_settled_by_the_option():
    train = asked(["1", "2"])
    found = codes(TASK.check({"train": train}))["answers"]
    assert (found.level, "from 0 or from 1" in found.message) == ("warning", True)
    assert (
        registry.make("task", {"use": "multiple_choice", "answers": "from_one"}).space(train).extra["answers"]
        == "from_one"
    )


def test_answers_are_graded_and_probabilities_with_them():
    train = asked(["A", "B"])
    space, examples = TASK.space(train), train.examples()
    answers = [TASK.decode(one, [], [np.log([[0.5], [0.3], [0.2]])], space) for one in examples]
    grades = TASK.grade(answers, examples, space)
    assert METRICS["accuracy"](grades) == 0.5
    assert METRICS["log_loss"](grades) == pytest.approx(-np.mean(np.log([0.5, 0.3])))
    assert dict(answers[0].public) == {"answer": "A", "choice": "red", "probability": pytest.approx(0.5)}
    json.dumps(TASK.details(grades, space))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ({"question": "q", "choices": ["one"], "answer": "A"}, "expected two choices at least; got 1"),
        ({"question": "q", "choices": [], "answer": "A"}, "expected two choices at least; got 0"),
        ({"question": "q", "choices": ["one", "two"], "answer": "E"}, "the answer 'E' is none of the 2 choices"),
        ({"question": "q", "choices": ["one", "two"], "answer": None}, "column 'answer' is empty"),
    ],
)
def test_what_cannot_be_answered_is_named_by_file_and_row(tmp_path, line, fault):
    good = {"question": "q", "choices": ["one", "two"], "answer": "B"}
    path = tmp_path / "quiz.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (good, good, line, good)), encoding="utf-8")
    with pytest.raises(DataError, match=rf"quiz.jsonl:3: {fault}"):
        read(DataSection(train=str(path)), TASK)
    found = read(DataSection(train=str(path), bad_rows="skip", split={"valid": 0}), TASK)
    assert (len(found.train), found.facts["sources"]["train"]["skipped"]) == (3, 1)


def test_an_answer_in_another_form_than_the_others_is_told():
    found = codes(TASK.check({"train": asked(["A", "B", "C", "blue"])}))
    assert (found["no_choice"].level, found["no_choice"].rows) == ("error", ("train.jsonl:4",))
    train = asked(["A", "B", "C", "blue"])
    inputs = TASK.encode(train.examples(), registry.make("backbone", "tiny").open().tokenizer, 64)
    with pytest.raises(DataError, match=r"train.jsonl:4: the answer 'blue' is none of the choices, read as letter"):
        TASK.targets(train.examples(), inputs, TASK.space(train))


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        (
            {"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
            {"question": "question", "choices": "choices", "answer": "answerKey"},
        ),
        (
            {"ctx": "a man", "endings": ["runs", "sits"], "label": "1"},
            {"question": "ctx", "choices": "endings", "answer": "label"},
        ),
        (
            {"premise": "it rained", "question": "effect", "choice1": "wet", "choice2": "dry", "label": 0},
            {"question": "question", "context": "premise", "choices": ["choice1", "choice2"], "answer": "label"},
        ),
        (
            {"context": "c", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z", "label": "3"},
            {
                "question": "question", "context": "context", "choices": ["answerA", "answerB", "answerC"],
                "answer": "label",
            },
        ),
        (
            {"sent1": "s", "sent2": "t", "ending0": "x", "ending1": "y", "label": 1},
            {"question": "sent2", "context": "sent1", "choices": ["ending0", "ending1"], "answer": "label"},
        ),
        (
            {"article": "text", "question": "q", "options": ["x", "y"], "answer": "A"},
            {"question": "question", "context": "article", "choices": "options", "answer": "answer"},
        ),
        (
            {"问题": "q", "A": "x", "B": "y", "C": "z", "答案": "C"},
            {"question": "问题", "choices": ["A", "B", "C"], "answer": "答案"},
        ),
    ],
)  # fmt: skip
def test_the_columns_of_public_sets_are_found(tmp_path, row, roles):
    path = tmp_path / "quiz.jsonl"
    path.write_text((json.dumps(row, ensure_ascii=False) + "\n") * 12, encoding="utf-8")
    found = read(DataSection(train=str(path)), TASK)
    columns = found.facts["sources"]["train"]["columns"]
    assert {role: columns[role]["column"] for role in roles} == roles
    assert set(columns) == set(roles)
    example = found.train.examples(0, 1)[0]
    assert TASK.fault(example) is None


def test_each_choice_is_read_beside_the_question_and_a_context_before_both():
    tokenizer = registry.make("backbone", "tiny").open().tokenizer
    plain = Example("1", {"question": "why?", "choices": ["a", "bc"]})
    known = Example("2", {"question": "why?", "choices": ["a", "bc"], "context": "since"})
    inputs = TASK.encode([plain, known], tokenizer, 128)
    assert [one.row for one in inputs] == [0, 0, 1, 1]
    assert list(inputs[1].features["input_ids"]) == list(tokenizer("why?", "bc")["input_ids"])
    assert list(inputs[2].features["input_ids"]) == list(tokenizer("since", "why? a")["input_ids"])


def test_a_bundle_is_a_plain_classifier_with_one_output_for_each_pair(tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from graftlm.bundle import write
    from graftlm.prediction import Predictor
    from graftlm.stages.training.assembling import assemble

    backbone = registry.make("backbone", {"use": "tiny", "pooling": "native"})
    space = Space((), 1, {"answers": "letter"})
    model = assemble(backbone.open(), backbone, TASK, space, seed=0)
    model.module.eval()
    write(tmp_path / "bundle", model, TASK, space, max_length=64)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "bundle")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "bundle")
    row = ROWS[0]
    inputs = tokenizer([row["question"]] * 3, row["choices"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = plain(**inputs).logits[:, 0]
    (answer,) = Predictor(model, TASK, space, limit=64, precision="fp32").answers([Example("1", row, None)])
    assert answer.detail["probabilities"] == pytest.approx(logits.softmax(0).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"question": " ", "choices": ["a", "b"]}, "expected a question; got an empty one"),
        ({"question": None, "context": "c", "choices": ["a", "b"]}, None),
        ({"question": "q", "choices": ["a", " "]}, "choice 2 of 2 is empty"),
        ({"question": "q", "choices": {"A": "a", "B": "b", "C": None}}, None),
    ],
)
def test_a_missing_question_or_choice_is_a_fault_of_its_row(fields, told):
    assert TASK.fault(Example("0", fields, "0")) == told
