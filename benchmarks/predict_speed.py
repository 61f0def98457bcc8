"""Prediction: GraftLM's predictor against a Transformers pipeline and against Sentence Transformers' encode.

Each pair has the same fine-tuned weights: a `native` bundle, which the pipeline opens, and the default `pooled`
bundle, which Sentence Transformers opens. All test rows, tokenising included, loading not; the best of a few
passes in each process, the median over processes. Then the answers are compared with plain torch in fp32: labels with
one text at a time, so that nothing is padded; logits with the batches that the predictor makes, and with one text at
a time beside what plain torch then differs from itself, whose sums are rounded in another order.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fits
import harness
import texts

NAME = "predict_speed"


def prepare(train: str, model: str, pooling: str, epochs: float | None, bundle: str) -> dict[str, Any]:
    """Fit the model that both sides answer with."""
    with tempfile.TemporaryDirectory() as folder:
        base = model if model in ("minilm", "tiny") else fits.model_folder(model, Path(folder))
        return fits.fit(
            train, folder=str(Path(folder, "run")), bundle=bundle, base=base, baselines="none", epochs=epochs,
            settings={"backbone.pooling": pooling},
        )  # fmt: skip


def pipeline(bundle: str, test: str, passes: int, batch_size: int) -> dict[str, Any]:
    """Answer with a Transformers pipeline as it comes."""
    from transformers import pipeline as make

    classify = make("text-classification", model=bundle, batch_size=batch_size)
    return harness.timed(lambda some: classify(some, truncation=True), [text for text, _ in texts.read(test)], passes)


def encode(bundle: str, test: str, passes: int, batch_size: int) -> dict[str, Any]:
    """Answer with Sentence Transformers as it comes."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(bundle)
    asked = [text for text, _ in texts.read(test)]
    return harness.timed(lambda some: model.encode(some, batch_size=batch_size).argmax(-1), asked, passes)


def graft(bundle: str, test: str, passes: int, precision: str = "auto") -> dict[str, Any]:
    """Answer with GraftLM's predictor; beside it one whole call of `predict`, from verifying the bundle on."""
    import graftlm
    from graftlm.bundle import open_bundle
    from graftlm.contracts.values import Example
    from graftlm.stages.applying import predictor_of

    began = time.monotonic()
    answers = list(graftlm.predict(bundle, test, precision=precision))
    whole = time.monotonic() - began
    predictor = predictor_of(open_bundle(bundle), precision=precision)

    def answer(some: list[str]) -> Any:
        return predictor.answers([Example(str(n), {"text": text}) for n, text in enumerate(some)])

    found = harness.timed(answer, [text for text, _ in texts.read(test)], passes)
    return {**found, "whole_call_seconds": whole, "answers": len(answers), "precision": predictor.reason}


def agreement(bundle: str, test: str) -> dict[str, Any]:
    """Compare GraftLM's logits and labels with plain torch's in fp32."""
    import numpy as np
    import torch

    from graftlm.bundle import open_bundle
    from graftlm.contracts.values import Example
    from graftlm.prediction.planning import plan
    from graftlm.stages.applying import predictor_of

    rows = texts.read(test)
    opened = open_bundle(bundle)
    logits_of = _sentence_transformers(bundle) if opened.style == "pooled" else _transformers(bundle)
    asked = [text for text, _ in rows]
    with torch.inference_mode():
        plain = np.concatenate([logits_of([text]) for text in asked])
        batched = np.concatenate([logits_of(asked[begin : begin + 32]) for begin in range(0, len(asked), 32)])
    examples = [Example(str(n), {"text": text}) for n, (text, _) in enumerate(rows)]
    truth = np.array([label for _, label in rows])
    labels = np.array(opened.space().labels)
    found: dict[str, Any] = {
        "rows": len(rows),
        "plain_accuracy": float((labels[plain.argmax(-1)] == truth).mean()),
        "largest_logit": float(np.abs(plain).max()),
        # plain torch against itself, one text at a time and 32 at a time: what rounding alone comes to
        "plain_against_itself": float(np.abs(batched - plain).max()),
    }
    for precision in ("fp32", "auto"):
        predictor = predictor_of(opened, precision=precision)
        logits = np.stack(predictor.pieces(predictor.encode(examples)))
        said = np.array([answer.value for answer in predictor.answers(examples)])
        lengths = np.array([len(one.features["input_ids"]) for one in predictor.encode(examples)])
        with torch.inference_mode():
            batches = plan(lengths, predictor.batch_tokens)
            same = [np.abs(logits[rows] - logits_of([asked[row] for row in rows])).max() for rows in batches]
        found[precision] = {
            "same_batches_difference": float(max(same)),
            "labels_equal": float((said == labels[plain.argmax(-1)]).mean()),
            "largest_logit_difference": float(np.abs(logits - plain).max()),
            "largest_relative_difference": float((np.abs(logits - plain) / np.maximum(1, np.abs(plain))).max()),
            "accuracy": float((said == truth).mean()),
            "precision": predictor.reason,
        }
    return found


def _transformers(bundle: str) -> Callable[[list[str]], Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bundle)
    model = AutoModelForSequenceClassification.from_pretrained(bundle).float().eval()

    def logits(some: list[str]) -> Any:
        return model(**tokenizer(some, truncation=True, padding=True, return_tensors="pt")).logits.numpy()

    return logits


def _sentence_transformers(bundle: str) -> Callable[[list[str]], Any]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(bundle, device="cpu").float()
    return lambda some: model.encode(some, batch_size=len(some))


SIDES = {"prepare": prepare, "pipeline": pipeline, "encode": encode, "graftlm": graft, "agreement": agreement}


def main() -> None:
    """Fit both bundles, measure in turns, compare answers, report."""
    parser = harness.options(__doc__)
    parser.add_argument("--epochs", type=float, help="epochs of the fits beforehand; default: the recipe's")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--passes", type=int, default=3, help="passes over the rows in each process")
    parser.add_argument("--no-single", action="store_true", help="leave out the pipeline with batch size 1")
    given = parser.parse_args()
    began = harness.machine(given.threads)
    runs: dict[str, list[dict[str, Any]]] = {}
    answers: dict[str, Any] = {}

    def measure(label: str, name: str, **asked: Any) -> None:
        one = harness.side(__file__, name, threads=given.threads, passes=given.passes, **asked)
        runs.setdefault(label, []).append(one)
        harness.say(f"{label}: {one['examples_per_second']:.0f} examples/s")

    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        files = texts.data_set("banking77")
        if given.rows:
            files = texts.cut(files, given.rows, Path(folder))
        bundles = {}
        for style, pooling in (("native", "native"), ("pooled", "mean")):
            bundles[style] = str(Path(folder, style))
            made = harness.side(
                __file__, "prepare", threads=given.threads, train=files["train"], model=given.model,
                pooling=pooling, epochs=given.epochs, bundle=bundles[style],
            )  # fmt: skip
            harness.say(f"{style} bundle made in {made['process_seconds']:.0f} s")
        for _ in range(given.rounds):
            native = {"bundle": bundles["native"], "test": files["test"]}
            pooled = {"bundle": bundles["pooled"], "test": files["test"]}
            if not given.no_single:
                measure("pipeline_1", "pipeline", batch_size=1, **native)
            measure("pipeline_32", "pipeline", batch_size=32, **native)
            measure("graftlm_native", "graftlm", **native)
            measure("encode_32", "encode", batch_size=32, **pooled)
            measure("graftlm_pooled", "graftlm", **pooled)
            measure("graftlm_native_fp32", "graftlm", precision="fp32", **native)
        for style, bundle in bundles.items():
            answers[style] = harness.side(
                __file__, "agreement", threads=given.threads, bundle=bundle, test=files["test"]
            )
    summary = summarise(runs, answers)
    harness.report(
        NAME, given, began, complete=given.rows is None and given.model == "minilm", summary=summary,
        checks=checks(summary), runs={**runs, "agreement": answers},
    )  # fmt: skip


def summarise(runs: dict[str, list[dict[str, Any]]], answers: dict[str, Any]) -> dict[str, Any]:
    """Return medians, and ratios pair by pair."""

    def speeds(label: str) -> list[float]:
        return [run["examples_per_second"] for run in runs[label]]

    found: dict[str, Any] = {
        label: {
            "examples_per_second": harness.median(speeds(label)),
            "peak_memory_bytes": max(run["peak_memory_bytes"] for run in runs[label]),
        }
        for label in runs
    }
    pairs = {
        "ratio_to_pipeline_32": ("graftlm_native", "pipeline_32"),
        "ratio_to_pipeline_1": ("graftlm_native", "pipeline_1"),
        "ratio_to_encode_32": ("graftlm_pooled", "encode_32"),
        "fp32_ratio_to_pipeline_32": ("graftlm_native_fp32", "pipeline_32"),
    }
    for key, (ours, theirs) in pairs.items():
        if theirs in runs:
            found[key] = harness.median(harness.ratios(speeds(ours), speeds(theirs)))
    found["whole_call_seconds"] = harness.median([run["whole_call_seconds"] for run in runs["graftlm_native"]])
    found["labels_equal"] = min(answers[style]["auto"]["labels_equal"] for style in answers)
    for key, name in (
        ("logit", "largest_logit_difference"),
        ("same_batches", "same_batches_difference"),
        ("relative", "largest_relative_difference"),
    ):
        found[f"fp32_{key}_difference"] = max(answers[style]["fp32"][name] for style in answers)
    found["plain_against_itself"] = max(answers[style]["plain_against_itself"] for style in answers)
    return found


def checks(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached."""
    return [
        harness.check(
            "predict examples/s against a pipeline with batch_size=32", summary["ratio_to_pipeline_32"], reach=5,
            unit="times",
        ),
        harness.check(
            "labels equal to plain fp32 torch's", 100 * summary["labels_equal"], reach=99.8, unit="% of rows"
        ),
        harness.check(
            "--precision fp32: largest difference of a logit from plain torch, same batches",
            summary["fp32_same_batches_difference"], reach=1e-5, least=False,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    harness.start(SIDES, main)
