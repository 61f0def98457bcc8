"""Answers, dialogues and plain text of a decoder, against plain Transformers and by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Example, Outputs
from graftlm.core import registry
from graftlm.core.errors import DataError, UserError

ROWS = [
    {"prompt": "Who are you?", "response": "alpha beta gamma"},
    {"prompt": "What is the time, please, and where am I?", "response": "delta epsilon"},
    {"prompt": "你是谁", "response": "机器人小明"},
    {"prompt": "Bye", "response": "zeta"},
]


def make(**fields):
    return registry.make("task", {"use": "generation", **fields})


def rows_of(columns, target=None):
    count = len(next(iter(columns.values())))
    beside = {"__id__": [str(n) for n in range(count)], "__where__": [f"train:{n}" for n in range(count)]}
    return Rows("train", pa.table({**columns, **beside}), target, "0" * 64)


def assembled(task):
    from graftlm.stages.training.assembling import assemble

    backbone = registry.make("backbone", {"use": "tiny", "architecture": "gpt2"})
    return assemble(backbone.open(), backbone, task, task.space(None), seed=0)


PAIRS = rows_of({role: [row[role] for row in ROWS] for role in ("prompt", "response")}, "response")
CHATS = rows_of({"prompt": [["hi", "hello", "who?", "me"], ["x", "y z"]]})
TEXTS = rows_of({"prompt": ["one line of text", "另一行", "a third, longer line of text " * 4]})


def test_the_rows_settle_the_form_and_the_longest_answer():
    tokenizer = assembled(make()).tokenizer
    found = {name: make().settled(rows, tokenizer) for name, rows in (("p", PAIRS), ("c", CHATS), ("t", TEXTS))}
    assert [found[name].form for name in "pct"] == ["pairs", "chat", "text"]
    assert found["p"].max_new_tokens == len("alpha beta gamma") + 3
    assert found["t"].primary.name == "perplexity"
    assert found["c"].primary.name == "rouge_l"
    assert found["t"].rivals() == ("unigram",)
    assert found["p"].rivals() == ("copy", "nearest_answer")
    assert make(metric="perplexity").rivals() == ("unigram",)


def test_only_answers_are_learned_and_the_loss_is_the_plain_models():
    from graftlm.nn.packed import Packed

    task = make()
    model = assembled(task)
    for rows, learned in (
        (PAIRS, [row["response"] + "[SEP]" for row in ROWS]),
        (CHATS, ["hello[SEP]me[SEP]", "y z[SEP]"]),
    ):
        examples = rows.examples()
        inputs = task.encode_training(examples, model.tokenizer, 120)
        targets = task.targets(examples, inputs, task.space(rows))
        assert [model.tokenizer.decode([t for t in one if t >= 0]) for one in targets] == learned
        batch = Packed.of([one.features for one in inputs]).batch(range(len(inputs)), 0, "right")
        # Transformers shifts labels itself: each stands at its own token
        own = torch.full_like(batch["input_ids"], -100)
        own[:, 1:] = task.stack(targets)[:, :-1]
        with torch.no_grad():
            out = model.module.eval()(**batch, labels=own)
            ours = task.loss(Outputs(out.logits), task.stack(targets)) / task.count(task.stack(targets))
        assert ours.item() == pytest.approx(out.loss.item(), abs=1e-5)


def test_plain_text_is_learned_in_blocks_and_judged_token_by_token():
    task = make(form="text", block=16)
    model = assembled(task)
    examples = TEXTS.examples()
    whole = "".join(example.fields["prompt"] + "[SEP]" for example in examples)
    inputs = task.encode_training(examples, model.tokenizer, 100)
    assert {len(one) for one in inputs[:-1]} == {16}
    assert model.tokenizer.decode([t for one in inputs for t in one.keep["labels"] if t >= 0]) == whole
    assert [one.row for one in inputs][0] == 0
    assert inputs[-1].row == 2
    asked = task.encode(examples, model.tokenizer, 32)
    assert max(map(len, asked)) <= 32
    from graftlm.prediction.predictor import Predictor

    answers = Predictor(model, task, task.space(TEXTS), limit=32, precision="fp32").answers(examples)
    graded = task.grade(answers, examples, task.space(TEXTS))
    ids = model.tokenizer("另一行[SEP]", add_special_tokens=False)["input_ids"]
    start = model.tokenizer.eos_token_id
    with torch.no_grad():
        logs = model.module.eval()(input_ids=torch.tensor([[start, *ids]])).logits[0].log_softmax(-1)
    expected = -sum(logs[n, token].item() for n, token in enumerate(ids))
    assert graded["nll"][1] == pytest.approx(expected, rel=1e-4)
    assert graded["tokens"].tolist() == [len(e.fields["prompt"].encode()) + 1 for e in examples]
    figures = {metric.name: metric.compute(graded) for metric in task.metrics}
    assert figures["perplexity"] == pytest.approx(math.exp(graded["nll"].sum() / graded["tokens"].sum()))
    assert figures["bits_per_byte"] == pytest.approx(
        graded["nll"].sum() / math.log(2) / len(whole.replace("[SEP]", "").encode())
    )
    assert math.isnan(figures["rouge_l"])
    assert answers[1].public["tokens"] == len(ids)


def test_a_small_model_learns_to_answer_and_to_stop(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import graftlm

    table = [{"question": f"say {word}", "answer": word * 2} for word in ("ab", "cd", "ef", "gh")] * 8
    run = graftlm.fit(
        table, test=table[:4], task="generation", out=str(tmp_path / "run"),
        settings={
            "backbone": {"use": "tiny", "architecture": "gpt2", "width": 64}, "data.split.valid": 0,
            "train.epochs": 25, "train.batch_size": 8, "train.optimizer.rate": 0.005, "train.precision": "fp32",
            "evaluate.resamples": 100,
        },
    )  # fmt: skip
    test = run.metrics["metrics"]["test"]
    assert test["exact_match"]["value"] == 1.0
    assert test["perplexity"]["value"] < 1.2
    assert test["distinct_1"]["low"] is None
    assert set(run.metrics["baselines"]) == {"copy", "nearest_answer"}
    assert list(graftlm.predict(run.bundle, [{"question": "say cd"}]))[0]["output"] == "cdcd"
    assert "apply_chat_template" in (run.bundle / "README.md").read_text(encoding="utf-8")
    # plain Transformers: the template and what ends an answer are the bundle's own
    tokenizer = AutoTokenizer.from_pretrained(run.bundle)
    plain = AutoModelForCausalLM.from_pretrained(run.bundle)
    assert tokenizer.padding_side == "left"
    asked = [[{"role": "user", "content": f"say {word}"}] for word in ("ab", "gh")]
    inputs = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    inputs.pop("token_type_ids", None)
    out = plain.generate(**inputs, max_new_tokens=20)[:, inputs["input_ids"].shape[1] :]
    assert tokenizer.batch_decode(out, skip_special_tokens=True) == ["abab", "ghgh"]
    assert out.shape[1] == 5


@pytest.mark.parametrize("form", ["text", "pairs"])
def test_likelihoods_are_compared_with_token_frequencies(tmp_path, form):
    import graftlm

    texts = ["a line of text", "one more line", "lines of text", "a text of lines"] * 6
    rows = [{"prompt": text, **({"response": text[::-1]} if form == "pairs" else {})} for text in texts]
    run = graftlm.fit(
        rows, test=rows[:4], task="generation", out=str(tmp_path / "run"),
        settings={
            "backbone": {"use": "tiny", "architecture": "gpt2"}, "task.metric": "perplexity", "data.split.valid": 0,
            "train.epochs": 4, "train.batch_size": 4, "train.optimizer.rate": 0.005, "train.precision": "fp32",
            "task.block": 16, "evaluate.resamples": 100, "losses": ["label_smoothing"],
        },
    )  # fmt: skip
    assert set(run.metrics["baselines"]) == {"unigram"}
    assert run.metrics["primary"]["name"] == "perplexity"
    test = run.metrics["metrics"]["test"]
    assert test["perplexity"]["value"] < run.metrics["baselines"]["unigram"]["test"]["perplexity"]["value"] < 40
    assert run.metrics["transfer"]["gain"] > 0
    assert ("rouge_l" in test) == (form == "pairs")


def test_without_a_right_answer_no_likelihood_is_told():
    from graftlm.prediction.predictor import Predictor

    task = make(form="pairs", max_new_tokens=5)
    model = assembled(task)
    given = PAIRS.examples()
    asked = [replace(example, target=None) for example in given]
    predictor = Predictor(model, task, task.space(PAIRS), limit=64, precision="fp32")
    answers = predictor.answers(asked)
    assert all("nll" not in answer.detail for answer in answers)
    assert all(answer.detail["nll"] > 0 for answer in predictor.answers(given))
    graded = task.grade(answers, asked, task.space(PAIRS))
    assert graded["nll"].tolist() == [0.0] * len(given)
    assert math.isnan({metric.name: metric.compute(graded) for metric in task.metrics}["perplexity"])


def test_the_form_of_answers_is_checked():
    rows = PAIRS.examples()[:3]
    answers = [Answer('{"a": 1}'), Answer("no"), Answer("12:30")]
    for wanted, share in (("json", 1 / 3), (r"\d\d:\d\d", 1 / 3), (".*", 1.0)):
        graded = make(format=wanted).grade(answers, rows, make().space(PAIRS))
        assert make().metrics[-1].compute(graded) == pytest.approx(share)
    assert math.isnan(make().metrics[-1].compute(make().grade(answers, rows, make().space(PAIRS))))
    with pytest.raises(ValueError, match="neither 'json' nor a regular expression"):
        make(format="(")


@pytest.mark.parametrize(
    ("prompt", "target", "message"),
    [
        (
            [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
            None,
            "where the assistant should speak",
        ),
        ([{"role": "narrator", "content": "a"}], None, "has the role 'narrator'"),
        ([{"role": "user", "content": ""}], None, "is empty"),
        (["a", "b"], "c", "the response beside it is another one"),
        (["a", "b"], "b", None),
        (["a", "b"], None, None),
        (["a", "b", "c"], None, None),
        ("a", "b", None),
    ],
)
def test_faults_of_conversations_are_named(prompt, target, message):
    found = make().fault(Example("1", {"prompt": prompt}, target))
    assert found is None if message is None else message in found


def test_conversations_without_an_answer_and_empty_responses_are_errors():
    found = make().check({"train": rows_of({"prompt": [["a", "b"], ["a", "b", "c"]]})})
    assert [(one.level, one.code, one.rows) for one in found] == [("error", "no_answer", ("train:1",))]
    found = make().check({"train": rows_of({"prompt": ["a", "b"], "response": [["x"], []]}, "response")})
    assert [one.code for one in found] == ["no_target"]


def test_a_wrong_role_in_a_file_names_its_line(tmp_path):
    import graftlm

    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "a"}]}\n{"messages": [{"role": "bard", "content": "a"}]}\n'
    )
    with pytest.raises(DataError, match=r"a\.jsonl:2: message 1 has the role 'bard'"):
        graftlm.check(str(path), task="generation")


def test_what_is_asked_keeps_its_end_where_it_is_too_long():
    task = make(max_new_tokens=10)
    model = assembled(task)
    (one,) = task.encode([Example("1", {"prompt": "x" * 50 + "END"}, "yes")], model.tokenizer, 40)
    assert len(one) == 30
    assert model.tokenizer.decode(one.features["input_ids"]).endswith("END\nAssistant: ")
    assert one.truncated > 0
    piece = np.array([1.0, 4.0, *[ord("a") - 30] * 10])
    answer = task.decode(Example("1", {"prompt": "x"}), [one], [piece], task.space(PAIRS))
    assert answer.public["cut"] == one.truncated
    assert answer.public["unfinished"] is True
    long = Example("1", {"prompt": "q" * 30}, "a" * 90)
    (taught,) = task.encode_training([long], model.tokenizer, 40)
    assert len(taught) == 40
    assert taught.truncated > 0
    assert sum(label >= 0 for label in taught.keep["labels"]) >= 20


def test_bases_of_another_kind_are_refused():
    for architecture, words in (("bert", "an encoder alone"), ("t5", "an encoder with a decoder")):
        card = registry.make("backbone", {"use": "tiny", "architecture": architecture}).open().card
        with pytest.raises(UserError, match=f"needs a base that is a decoder alone.*{words}"):
            make().suits(card)


def test_a_plain_prompt_is_a_question_to_a_model_of_dialogues():
    task = make(form="chat")
    tokenizer = assembled(task).tokenizer
    (one,) = task.encode([Example("1", {"prompt": "who?"})], tokenizer, 120)
    (two,) = task.encode([Example("1", {"prompt": ["who?"]})], tokenizer, 120)
    assert one.features == two.features
    found = task.check({"train": rows_of({"prompt": ["who?"]})})
    assert [finding.code for finding in found] == ["no_answer"]


def test_system_and_context_are_read():
    task = make()
    tokenizer = assembled(task).tokenizer
    example = Example("1", {"prompt": "Translate.", "context": "ein Hund", "system": "Be kind."}, "a dog")
    (one,) = task.encode([example], tokenizer, 120)
    assert tokenizer.decode(one.features["input_ids"]) == "Be kind.\nUser: Translate.\nein Hund\nAssistant: "
    assert task.reads(example) == "Translate.\nein Hund"


def test_llama_and_qwen_kinds_open_and_answer(tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    from graftlm.prediction.predictor import Predictor
    from graftlm.stages.training.assembling import assemble

    tokenizer = registry.make("backbone", {"use": "tiny"}).open().tokenizer
    tokenizer.padding_side = "left"
    for kind in ("llama", "qwen3", "mistral"):
        config = AutoConfig.for_model(
            kind, vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, head_dim=8,
            num_key_value_heads=2, intermediate_size=32, max_position_embeddings=64, pad_token_id=0, bos_token_id=2,
            eos_token_id=3,
        )  # fmt: skip
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        backbone = registry.make("backbone", {"use": "local", "path": str(tmp_path / kind)})
        task = make(max_new_tokens=5)
        model = assemble(backbone.open(), backbone, task, task.space(PAIRS), seed=0)
        task.suits(model.card)
        for path in model.blocks:
            model.module.get_submodule(path)
        together = Predictor(model, task, task.space(PAIRS), limit=64, precision="fp32").answers(PAIRS.examples())
        alone = Predictor(model, task, task.space(PAIRS), limit=64, precision="fp32", batch_tokens=1).answers(
            PAIRS.examples()
        )
        assert [one.value for one in together] == [one.value for one in alone]
        for one, two in zip(together, alone, strict=True):
            assert one.detail["nll"] == pytest.approx(two.detail["nll"], rel=1e-3)
