"""Answering of tagging and questions: Transformers as it comes against GraftLM's predictor on the same bundle.

    python benchmarks/task_predict.py --tasks tagging --rounds 3

For tagging the other side is a token-classification pipeline with batches of 32. Transformers 5 has no pipeline for
questions any more; there it is what the example run_qa does: windows of 384 tokens padded to their full length, batches
of 8 (the Trainer's default), the best pair out of 20 starts and 20 ends. A short fit makes the bundle: what it
answers is of no matter here. Loading is not timed, tokenising is; the best of a few passes in each process, in turns.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fits
import harness
from task_speed import STRIDE, WINDOW, file_of, questions, sentences

NAME = "task_predict"
TASKS = ("tagging", "extractive_qa")
BATCH, QA_BATCH, BEST, LONGEST_ANSWER = 32, 8, 20, 30
TRAINED_ON, ASKED = 640, {"tagging": 3000, "extractive_qa": 600}


def asked_of(task: str, rows: int | None) -> list[dict[str, Any]]:
    """Return the test rows that are answered."""
    path = file_of(task, 1)
    return (sentences(path) if task == "tagging" else questions(path))[: rows or ASKED[task]]


def prepare(task: str, model: str, rows: int | None, bundle: str) -> dict[str, Any]:
    """Fit for one epoch on a few rows; the bundle is a plain checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        return fits.fit(
            str(file_of(task, 0)), folder=str(Path(folder, "run")), task=task, bundle=bundle,
            base="minilm" if model == "minilm" else fits.model_folder(model, Path(folder)), epochs=1,
            baselines="none", settings={"data.limit": min(TRAINED_ON, rows or TRAINED_ON)},
        )  # fmt: skip


def peer(task: str, bundle: str, rows: int | None, passes: int) -> dict[str, Any]:
    """Answer with Transformers."""
    asked = asked_of(task, rows)
    if task == "tagging":
        from transformers import pipeline

        tag = pipeline("token-classification", model=bundle, batch_size=BATCH, aggregation_strategy="simple")
        return harness.timed(lambda some: tag(some), [" ".join(row["tokens"]) for row in asked], passes)
    return harness.timed(_run_qa(bundle), asked, passes)


def _run_qa(bundle: str) -> Callable[[list[dict[str, Any]]], list[str]]:
    import numpy as np
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bundle)
    model = AutoModelForQuestionAnswering.from_pretrained(bundle).float().eval()

    def answer(some: list[dict[str, Any]]) -> list[str]:
        coded = tokenizer(
            [row["question"] for row in some], [row["context"] for row in some], truncation="only_second",
            max_length=WINDOW, stride=STRIDE, return_overflowing_tokens=True, return_offsets_mapping=True,
            padding="max_length", return_tensors="pt",
        )  # fmt: skip
        offsets, owners = coded.pop("offset_mapping").tolist(), coded.pop("overflow_to_sample_mapping").tolist()
        found: list[tuple[float, str]] = [(-np.inf, "")] * len(some)
        with torch.inference_mode():
            for begin in range(0, len(owners), QA_BATCH):
                out = model(**{name: tensor[begin : begin + QA_BATCH] for name, tensor in coded.items()})
                for k, (starts, ends) in enumerate(zip(out.start_logits.numpy(), out.end_logits.numpy(), strict=True)):
                    n = begin + k
                    parts = coded.sequence_ids(n)
                    for first in starts.argsort()[-1 : -BEST - 1 : -1]:
                        for last in ends.argsort()[-1 : -BEST - 1 : -1]:
                            if parts[first] != 1 or parts[last] != 1 or not 0 <= last - first < LONGEST_ANSWER:
                                continue
                            score = float(starts[first] + ends[last])
                            if score > found[owners[n]][0]:
                                text = some[owners[n]]["context"][offsets[n][first][0] : offsets[n][last][1]]
                                found[owners[n]] = (score, text)
        return [text for _, text in found]

    return answer


def graft(task: str, bundle: str, rows: int | None, passes: int, precision: str = "auto") -> dict[str, Any]:
    """Answer with GraftLM's predictor."""
    from graftlm.bundle import open_bundle
    from graftlm.contracts.values import Example
    from graftlm.stages.applying import predictor_of

    predictor = predictor_of(open_bundle(bundle), precision=precision)
    examples = [
        Example(str(n), {"text": " ".join(row["tokens"])} if task == "tagging" else
                {"question": row["question"], "context": row["context"]})
        for n, row in enumerate(asked_of(task, rows))
    ]  # fmt: skip
    return {**harness.timed(predictor.answers, examples, passes), "precision": predictor.reason}


def main() -> None:
    """Fit the bundles, measure in turns, report."""
    parser = harness.options(__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--rounds", type=int, default=2, help="processes of each side")
    parser.add_argument("--passes", type=int, default=2, help="passes over the rows in each process")
    given = parser.parse_args()
    began = harness.machine(given.threads)
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        for task in given.tasks:
            bundle = str(Path(folder, task))
            harness.side(__file__, "prepare", threads=given.threads, task=task, model=given.model, rows=given.rows,
                         bundle=bundle)  # fmt: skip
            runs[task] = {"peer": [], "graft": []}
            for _ in range(given.rounds):
                for side, found in runs[task].items():
                    shared = {"task": task, "bundle": bundle, "rows": given.rows, "passes": given.passes}
                    found.append(harness.side(__file__, side, threads=given.threads, **shared))
                    harness.say(f"{task}, {side}: {found[-1]['examples_per_second']:.1f} examples/s")
    summary = {}
    for task, sides in runs.items():
        speeds = {side: [run["examples_per_second"] for run in found] for side, found in sides.items()}
        pairs = harness.ratios(speeds["graft"], speeds["peer"])
        medians = {side: harness.median(found) for side, found in speeds.items()}
        summary[task] = {"ratio": harness.median(pairs), "ratios": pairs, **medians}
    checks = [
        harness.check(f"{task}: answers/s against Transformers", one["ratio"], reach=4, unit="times")
        for task, one in summary.items()
    ]
    harness.report(NAME, given, began, complete=given.rows is None and given.model == "minilm", summary=summary,
                   checks=checks, runs=json.loads(json.dumps(runs)))  # fmt: skip


if __name__ == "__main__":
    harness.start({"prepare": prepare, "peer": peer, "graft": graft}, main)
