"""Answers do not depend on order, batch or neighbours, and the model that answers is left as it was."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftlm.contracts.values import Example, Inputs, Space
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.prediction import Predictor
from graftlm.prediction.predictor import resting

LABELS = ("差评", "好评", "其他", "四")


@pytest.fixture(scope="module")
def task():
    return registry.make("task", "classification")


@pytest.fixture(scope="module", params=["native", "pooled"])
def model(request, tiny):
    return tiny.model(request.param, LABELS)


def _predictor(model, task, **options) -> Predictor:
    return Predictor(model, task, Space(LABELS, len(LABELS)), **{"limit": 32, "precision": "fp32", **options})


def _examples(texts) -> list[Example]:
    return [Example(f"id{n}", {"text": text}) for n, text in enumerate(texts)]


def _probabilities(answers) -> np.ndarray:
    return np.array([list(answer.detail["probabilities"].values()) for answer in answers])


def _alone(model, examples) -> np.ndarray:
    """Return probabilities by plain torch in fp32, one text at a time."""
    module = model.module.eval()
    found = []
    with torch.no_grad():
        for example in examples:
            inputs = model.tokenizer(example.fields["text"], truncation=True, max_length=32, return_tensors="pt")
            found.append(torch.softmax(module(**inputs).logits[0], -1).numpy())
    return np.array(found)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(24)), budget=st.integers(1, 2000))
def test_fp32_equals_plain_torch_in_any_order_and_batch(model, task, tiny, order, budget) -> None:
    examples = _examples(tiny.texts(24))
    expected = _alone(model, examples)
    answers = _predictor(model, task, batch_tokens=budget).answers([examples[n] for n in order])
    np.testing.assert_allclose(_probabilities(answers), expected[list(order)], atol=1e-5)
    assert [answer.value for answer in answers] == [LABELS[n] for n in expected[list(order)].argmax(1)]


def test_bf16_keeps_nearly_every_answer(model, task, tiny) -> None:
    examples = _examples(tiny.texts(200))
    exact = _predictor(model, task).answers(examples)
    rounded = _predictor(model, task, precision="bf16")
    assert rounded.module is not model.module
    np.testing.assert_allclose(_probabilities(rounded.answers(examples)), _probabilities(exact), atol=0.05)
    first = _probabilities(exact)
    sure = np.sort(first, 1)[:, -1] - np.sort(first, 1)[:, -2] > 0.1
    same = np.array([a.value == b.value for a, b in zip(rounded.answers(examples), exact, strict=True)])
    assert sure.sum() > 100
    assert same[sure].all()


def test_fp32_is_not_made_of_rounded_weights(model, task) -> None:
    rounded = _predictor(model, task, precision="bf16").module
    with pytest.raises(ValueError, match=r"got one in torch\.bfloat16, rounded already\. Load it with"):
        _predictor(replace(model, module=rounded), task, precision="fp32")


def test_the_module_is_left_as_it_was(model, task, tiny) -> None:
    module = model.module.train()
    frozen = next(part for part in module.modules() if isinstance(part, torch.nn.LayerNorm))
    frozen.eval()
    flags = {name: part.training for name, part in module.named_modules()}
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    for precision in ("fp32", "bf16"):
        _predictor(model, task, precision=precision).answers(_examples(tiny.texts(9)))
        assert {name: part.training for name, part in module.named_modules()} == flags
        for name, value in module.state_dict().items():
            assert torch.equal(value, weights[name])
            assert value.dtype == weights[name].dtype
    with contextlib.suppress(RuntimeError), resting(module):
        assert not any(part.training for part in module.modules())
        raise RuntimeError("stop")
    assert {name: part.training for name, part in module.named_modules()} == flags
    loss = module(**model.tokenizer(["w1 w2"], return_tensors="pt")).logits.sum()
    loss.backward()
    module.eval()


def test_a_live_model_is_seen_as_it_is_now(model, task, tiny) -> None:
    examples = _examples(tiny.texts(5))
    predictor = _predictor(model, task)
    inputs = predictor.encode(examples)
    before = _probabilities(predictor.of_inputs(inputs, examples))
    head = model.module.get_submodule(model.head)
    kept = head.bias.detach().clone()
    try:
        with torch.no_grad():
            head.bias[2] += 50
        assert {answer.value for answer in predictor.of_inputs(inputs, examples)} == {LABELS[2]}
        assert {a.value for a in _predictor(model, task, precision="bf16").of_inputs(inputs, examples)} == {LABELS[2]}
    finally:
        with torch.no_grad():
            head.bias.copy_(kept)
    np.testing.assert_array_equal(_probabilities(predictor.of_inputs(inputs, examples)), before)


def test_stream_keeps_order_and_ids_and_is_lazy(model, task, tiny) -> None:
    examples = _examples(tiny.texts(50))
    taken = []

    def chunks():
        for start in range(0, 50, 7):
            taken.append(start)
            yield examples[start : start + 7]

    predictor = _predictor(model, task)
    stream = predictor.stream(chunks())
    first = next(stream)
    assert taken == [0]
    pairs = [first, *stream]
    assert [example.id for example, _ in pairs] == [f"id{n}" for n in range(50)]
    assert [a.value for _, a in pairs] == [a.value for a in predictor.answers(examples)]


def test_streaming_memory_does_not_grow(model, task) -> None:
    predictor = _predictor(model, task)
    text = {"text": "w1 w2 w3"}

    def chunks(count):
        for number in range(count):
            yield [Example(f"{number}-{n}", text) for n in range(50)]

    def peak(count: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in predictor.stream(chunks(count))) == 50 * count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    small, large = peak(3), peak(30)
    assert large < 1.5 * small + 50_000


def test_several_windows_meet_in_one_answer(model, task, tiny) -> None:
    """A task that cuts texts into windows gets all pieces of a row, in their order, whatever the batches were."""
    seen = {}

    class Windows(type(task)):
        def encode(self, examples, tokenizer, limit):
            out = []
            for row, example in enumerate(examples):
                words = example.fields["text"].split()
                for start in range(0, max(len(words), 1), 3):
                    ids = tokenizer(" ".join(words[start : start + 3]))["input_ids"]
                    out.append(Inputs(row, {"input_ids": ids}, keep={"start": start}))
            return out[::-1]

        def decode(self, example, inputs, pieces, space):
            starts = [one.keep["start"] for one in inputs]
            seen[example.id] = starts
            assert len(pieces) == len(inputs)
            return super().decode(example, inputs, [np.mean(pieces, axis=0)], space)

    examples = _examples(tiny.texts(10))
    answers = _predictor(model, Windows(), batch_tokens=13).answers(examples)
    assert len(answers) == 10
    for example in examples:
        assert sorted(seen[example.id]) == list(range(0, max(len(example.fields["text"].split()), 1), 3))


def test_left_padding(tiny, task) -> None:
    model = tiny.model("pooled", LABELS)
    examples = _examples(tiny.texts(8))
    expected = _probabilities(_predictor(model, task, batch_tokens=1).answers(examples))
    model.tokenizer.padding_side = "left"
    one = replace(model, module=model.module)
    batch = _predictor(one, task)
    lengths = {len(i) for i in batch.encode(examples)}
    assert len(lengths) > 1
    found = _probabilities(batch.answers(examples))
    assert found.shape == expected.shape  # positions shift under BERT's absolute positions; masks hold
    assert np.isfinite(found).all()


def test_half_a_character_is_named(model, task) -> None:
    examples = [Example("1", {"text": "w1"}, where="a.jsonl:1"), Example("2", {"text": "w1 \ud800"}, where="a.jsonl:2")]
    with pytest.raises(DataError, match=r"a\.jsonl:2, text: expected text; got a lone surrogate"):
        _predictor(model, task).answers(examples)


def test_nothing_gives_nothing(model, task) -> None:
    assert _predictor(model, task).answers([]) == []
    assert list(_predictor(model, task).stream([[], []])) == []


def test_threads_get_the_same_answers(model, task, tiny) -> None:
    model.module.eval()
    examples = _examples(tiny.texts(20))
    predictor = _predictor(model, task)
    expected = _probabilities(predictor.answers(examples))
    faults = []

    def work(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(20)
        for _ in range(5):
            found = _probabilities(predictor.answers([examples[n] for n in order]))
            if not np.allclose(found, expected[order], atol=1e-5):
                faults.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_after_use_does_not_hang() -> None:
    code = """
import os, warnings
os.environ.pop("TOKENIZERS_PARALLELISM", None)
from graftlm.core import environment
environment.settle()
from tokenizers import Tokenizer, models, pre_tokenizers
tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.encode_batch(["a b a"] * 1000)
child = os.fork()
if child == 0:
    tokenizer.encode_batch(["a b a"] * 1000)
    os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


def test_the_users_own_setting_stays(monkeypatch) -> None:
    from graftlm.core import environment

    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    environment.settle()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    monkeypatch.delenv("TOKENIZERS_PARALLELISM")
    environment.settle()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_what_was_too_long_to_be_read_whole_is_said(model, task):
    predictor = _predictor(model, task)
    short, long = _examples(["short", "很长的句子" * 40])
    whole = len(model.tokenizer(long.fields["text"])["input_ids"])
    answers = predictor.answers([short, long])
    assert "cut" not in answers[0].public
    assert answers[1].public["cut"] == whole - 32
    assert set(answers[1].public) == {"label", "probability", "cut"}
