"""Text to text, against Transformers' own models and the reference packages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import sacrebleu
import torch

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Example, Outputs
from graftlm.core import registry
from graftlm.core.errors import UserError

ROWS = [
    {"source": "a small cat sits on the mat", "target": "eine kleine Katze sitzt auf der Matte"},
    {"source": "two dogs run", "target": "zwei Hunde laufen über die Wiese"},
    {"source": "the man reads a book", "target": "der Mann liest heute ein Buch"},
    {"source": "一只猫坐在垫子上", "target": "a cat is sitting on the mat"},
]


def rows_of(pairs, name="train"):
    numbers = [str(n) for n in range(len(pairs))]
    columns = {
        "source": [one for one, _ in pairs],
        "target": [two for _, two in pairs],
        "__id__": numbers,
        "__where__": [f"{name}:{n}" for n in numbers],
    }
    return Rows(name, pa.table(columns), "target", name)


def make(**fields):
    return registry.make("task", {"use": "seq2seq", **fields})


def examples_of(pairs):
    return [Example(str(n), {"source": one}, two) for n, (one, two) in enumerate(pairs)]


PAIRS = [(row["source"], row["target"]) for row in ROWS]


def checkpoint(folder, kind):
    """Write a random two-layer checkpoint of a published kind, with a byte tokenizer, and open it."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    tokenizer = registry.make("backbone", {"use": "tiny", "architecture": "t5"}).open().tokenizer
    pad, end, first = tokenizer.pad_token_id, tokenizer.sep_token_id, tokenizer.cls_token_id
    start = {"bart": end, "mbart": first}.get(kind, pad)
    tokens = {"vocab_size": len(tokenizer), "pad_token_id": pad, "eos_token_id": end, "decoder_start_token_id": start}
    if kind in ("t5", "mt5"):
        sizes = {"d_model": 32, "d_kv": 8, "num_layers": 2, "num_heads": 4, "d_ff": 32}
        if kind == "mt5":
            sizes["tie_word_embeddings"] = False
    else:
        sizes = {f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
        sizes |= {f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")}
        sizes |= {"d_model": 32, "max_position_embeddings": 64, "forced_eos_token_id": None}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(kind, **sizes, **tokens)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return registry.make("backbone", {"use": "local", "path": str(folder)}).open()


@pytest.mark.parametrize("kind", ["t5", "mt5", "bart", "mbart", "pegasus", "marian"])
def test_loss_and_answers_are_those_of_the_plain_model(tmp_path, kind):
    from graftlm.nn.packed import Packed
    from graftlm.stages.training.assembling import assemble

    base = checkpoint(tmp_path, kind)
    assert base.card.stack == "encoder-decoder"
    task = make(beams=3, max_new_tokens=7, length_penalty=0.6, no_repeat_ngram=2)
    task.suits(base.card)
    examples, rows = examples_of(PAIRS), rows_of(PAIRS)
    space = task.space(rows)
    model = assemble(base, registry.make("backbone", {"use": "local", "path": str(tmp_path)}), task, space, seed=0)
    assert model.head is None
    for path in (*model.blocks, *model.before):
        model.module.get_submodule(path)
    inputs = task.encode_training(examples, base.tokenizer, 40)
    labels = task.stack(task.targets(examples, inputs, space))
    batch = Packed.of([one.features for one in inputs]).batch(range(4), base.tokenizer.pad_token_id)
    plain = model.module.eval()
    with torch.no_grad():
        ours = task.loss(Outputs(plain(**batch).logits), labels)
        reads = {name: batch[name] for name in ("input_ids", "attention_mask")}
        if kind != "mbart":  # its own shift takes the language from the end of the labels
            theirs = plain(**reads, labels=labels).loss
            assert ours.item() / task.count(labels) == pytest.approx(theirs.item(), abs=1e-5)
        written = plain.generate(
            **reads, num_beams=3, max_new_tokens=7, length_penalty=0.6, no_repeat_ngram_size=2, early_stopping=True
        )
        pieces = task.infer(plain, reads)
    expected = base.tokenizer.batch_decode(written, skip_special_tokens=True)
    asked = task.encode(examples, base.tokenizer, 40)
    found = [task.decode(e, [a], [p], space).value for e, a, p in zip(examples, asked, pieces, strict=True)]
    assert found == [text.strip() for text in expected]


def test_a_base_without_a_decoder_is_refused_by_name(tmp_path):
    for architecture, words in (("bert", "an encoder alone"), ("gpt2", "a decoder alone")):
        card = registry.make("backbone", {"use": "tiny", "architecture": architecture}).open().card
        with pytest.raises(UserError, match=f"'seq2seq' needs a base.*encoder with a decoder.*{words}"):
            make().suits(card)


def test_figures_are_sacrebleus(tmp_path):
    task = make()
    answers = [
        "eine kleine Katze sitzt auf dem Tisch",
        "zwei Hunde laufen",
        "der Mann liest heute ein Buch",
        "a cat on it",
    ]
    space = task.space(rows_of(PAIRS))
    graded = task.grade([Answer(text) for text in answers], examples_of(PAIRS), space)
    truths = [[target for _, target in PAIRS]]
    figures = {metric.name: metric.compute(graded) for metric in task.metrics}
    assert 100 * figures["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answers, truths).score, abs=1e-6)
    assert 100 * figures["chrf"] == pytest.approx(sacrebleu.corpus_chrf(answers, truths).score, abs=1e-6)
    assert figures["exact_match"] == 0.25
    drawn = np.array([2, 0, 0, 3, 1])
    part = {name: column[drawn] for name, column in graded.items()}
    again = sacrebleu.corpus_bleu([answers[n] for n in drawn], [[truths[0][n] for n in drawn]])
    assert 100 * task.metrics[0].compute(part) == pytest.approx(again.score, abs=1e-6)
    assert space.extra["bleu"].startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_several_right_answers_are_all_learned_and_the_best_counts():
    task = make()
    tokenizer = registry.make("backbone", {"use": "tiny", "architecture": "t5"}).open().tokenizer
    examples = [Example("1", {"source": "x"}, ["one", "two words"]), Example("2", {"source": "y"}, "three")]
    inputs = task.encode_training(examples, tokenizer, 40)
    assert [one.row for one in inputs] == [0, 0, 1]
    texts = [tokenizer.decode(one.keep["labels"], skip_special_tokens=True) for one in inputs]
    assert texts == ["one", "two words", "three"]
    space = task.space(rows_of([("x", ["one"]), ("y", ["three"])]))
    graded = task.grade([Answer("two words"), Answer("one")], examples, space)
    assert graded["exact"].tolist() == [True, False]


def test_what_the_rows_settle():
    tokenizer = registry.make("backbone", {"use": "tiny", "architecture": "t5"}).open().tokenizer
    task = make().settled(rows_of(PAIRS), tokenizer)
    assert task.max_new_tokens == max(len(target.encode()) for _, target in PAIRS) + 1
    assert task.cut == "13a"
    chinese = make(max_new_tokens=5).settled(rows_of([("a", "一只猫"), ("b", "两只狗")]), tokenizer)
    assert (chinese.max_new_tokens, chinese.cut) == (5, "zh")
    assert chinese.settled(rows_of(PAIRS), tokenizer) == chinese
    assert chinese.in_training() == chinese.model_copy(update={"beams": 1})


def test_what_is_cut_is_told(caplog):
    task = make(prefix="translate: ")
    tokenizer = registry.make("backbone", {"use": "tiny", "architecture": "t5"}).open().tokenizer
    examples = examples_of([("x" * 30, "y" * 30)])
    (one,) = task.encode(examples, tokenizer, 12)
    assert one.truncated == len("translate: ") + 30 + 1 - 12
    answer = task.decode(examples[0], [one], [np.array([5, 6])], task.space(rows_of([("a", "b")])))
    assert answer.public["cut"] == one.truncated
    (taught,) = task.encode_training(examples, tokenizer, 12)
    assert len(taught.keep["labels"]) == 12
    assert tokenizer.eos_token_id not in taught.keep["labels"]
    assert "1 of 1 targets are longer than 12 tokens" in caplog.text


def test_bad_targets_are_found():
    found = make().check({"train": rows_of([("a", ["b"]), ("c", [" "]), ("d", []), ("e", ["e"])])})
    assert [(one.level, one.code, one.count) for one in found] == [("error", "no_target", 2), ("warning", "copied", 1)]
    assert found[0].rows == ("train:1", "train:2")


def test_languages_are_told_to_tokenizers_that_know_them():
    tokenizer = registry.make("backbone", {"use": "tiny", "architecture": "t5"}).open().tokenizer
    with pytest.raises(UserError, match="no language 'de_DE'"):
        make(target_language="de_DE").encode(examples_of(PAIRS), tokenizer, 40)
    tokenizer.add_tokens(["de_DE"])
    tokenizer.tgt_lang = None
    make(target_language="de_DE").encode(examples_of(PAIRS), tokenizer, 40)
    assert tokenizer.tgt_lang == "de_DE"


@pytest.mark.parametrize("place", ["first", "last"])
def test_answers_begin_with_the_language_to_write(place):
    from tokenizers import processors

    from graftlm.stages.training.assembling import assemble

    backbone = registry.make("backbone", {"use": "tiny", "architecture": "t5"})
    base = backbone.open()
    tokenizer = base.tokenizer
    code = tokenizer.convert_tokens_to_ids("z")  # stands for a language
    tokenizer.tgt_lang = None
    form = "z $A [SEP]" if place == "first" else "$A [SEP] z"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=form, special_tokens=[("z", code), ("[SEP]", tokenizer.sep_token_id)]
    )
    task = make(target_language="z", max_new_tokens=4)
    model = assemble(base, backbone, task, task.space(rows_of(PAIRS)), seed=0)
    (taught,) = task.encode_training(examples_of([("x", "ab")]), tokenizer, 20)
    ids = tokenizer("ab", add_special_tokens=False)["input_ids"]
    if place == "first":
        assert taught.features["decoder_input_ids"] == [tokenizer.pad_token_id, code, *ids]
    else:
        assert taught.features["decoder_input_ids"] == [code, *ids, tokenizer.sep_token_id]
    reads = torch.tensor([taught.features["input_ids"]])
    out = model.module.generate(reads, max_new_tokens=3, num_beams=1)
    assert out[0, 1 if place == "first" else 0] == code


def test_a_small_model_learns_its_rows(tmp_path):
    """The whole way: a run on a few rows, its bundle opened by plain Transformers, the same answers."""
    import graftlm

    pairs = [(f"say {word}", word * 2) for word in ("ab", "cd", "ef", "gh")]
    table = [{"source": one, "target": two} for one, two in pairs] * 8
    run = graftlm.fit(
        table, test=table[:4], task="seq2seq", out=str(tmp_path / "run"),
        settings={
            "backbone": {"use": "tiny", "architecture": "t5", "width": 64}, "data.split.valid": 0,
            "train.epochs": 30, "train.batch_size": 8, "train.optimizer.rate": 0.005, "train.precision": "fp32",
            "evaluate.resamples": 100,
        },
    )  # fmt: skip
    assert run.metrics["metrics"]["test"]["exact_match"]["value"] == 1.0
    assert set(run.metrics["baselines"]) == {"copy", "lead", "nearest_answer"}
    assert run.metrics["signatures"]["bleu"].startswith("nrefs:var|case:mixed|eff:no|tok:13a")
    assert "num_beams=4, max_new_tokens=" in (run.bundle / "README.md").read_text(encoding="utf-8")
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run.bundle)
    plain = AutoModelForSeq2SeqLM.from_pretrained(run.bundle)
    out = plain.generate(**tokenizer([one for one, _ in pairs], return_tensors="pt"), num_beams=4, max_new_tokens=6)
    assert tokenizer.batch_decode(out, skip_special_tokens=True) == [two for _, two in pairs]
    lines = list(graftlm.predict(run.bundle, [{"source": "say cd"}]))
    assert lines[0]["output"] == "cdcd"
