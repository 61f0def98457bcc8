"""Fill the figures of a page from the result files: each block between `<!-- figures: NAME -->` and `<!-- end -->`.

A block whose result is missing says so, one that was measured on less than its target asks says that. No figure
on the page is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

PAGE = harness.HERE.parent / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
Result = dict[str, Any]


def number(value: float | None, unit: str = "") -> str:
    """Return a figure as the page shows it."""
    if value is None:
        return "not measured"
    value = round(value, 9)
    if 0 < abs(value) < 0.01:
        shown = f"{value:.1e}"
    else:
        places = 2 if abs(value) >= 1 else 3
        shown = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.{places}f}"
    return f"{shown} {unit}".strip()


def percent(value: float | None) -> str:
    """Return a share as a percentage."""
    return "-" if value is None else f"{100 * value:.1f}"


def mebibytes(value: float) -> str:
    """Return bytes in MiB."""
    return f"{value / 2**20:,.0f} MiB"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines) + "\n"


def reached(results: dict[str, Result]) -> str:
    """Return figure, reach and yes or no for everything that was measured."""
    rows = []
    for result in results.values():
        for check in result["checks"]:
            sign = ">=" if check["least"] else "<="
            said = {True: "yes", False: "no", None: "not measured"}[check["reached"]]
            mark = "" if result["complete"] else " (trial)"
            reach = f"{sign} {number(check['reach'], check['unit'])}"
            rows.append([check["what"], number(check["value"], check["unit"]) + mark, reach, said])
    return table(["figure", "measured", "to reach", "reached"], rows) if rows else "Nothing is measured yet.\n"


def conditions(result: Result) -> str:
    """Return where and when a result was measured, in one line."""
    facts = result["machine"]
    versions = facts["versions"]
    flags = ", ".join(facts["flags"]) or "no vector flags told"
    trial = "" if result["complete"] else " **A trial on less than the target asks: not a result.**"
    return (
        f"{facts['cpu']} ({flags}), {facts['threads']} threads on {facts['cores']} cores, torch {versions['torch']}, "
        f"transformers {versions['transformers']}, {facts['date'][:10]}, commit {facts['commit']}, load average "
        f"{facts['load']:.1f} before and {facts['load_after']:.1f} after.{trial}\n"
    )


def training_speed(summary: Result) -> str:
    """Return both sides of training."""
    rows = [
        [
            words,
            number(summary[side]["examples_per_second"]),
            percent(summary[side]["accuracy"]),
            mebibytes(summary[side]["peak_memory_bytes"]),
            number(summary[side]["process_seconds"]),
        ]
        for side, words in (("trainer", "Transformers Trainer"), ("graftlm", "GraftLM"))
    ]
    last = summary.get("graftlm_default_baselines")
    if last:
        words = "GraftLM, with its default baselines"
        rows.append([words, "", "", mebibytes(last["peak_memory_bytes"]), number(last["process_seconds"])])
    pairs = ", ".join(f"{ratio:.2f}" for ratio in summary["ratios"])
    wall = f"; from the first step to the last {summary['wall_ratio']:.2f}" if summary["wall_ratio"] else ""
    head = ["", "training examples/s", "test accuracy", "peak memory", "seconds of the process"]
    return table(head, rows) + f"\nRatio of the steps: {summary['ratio']:.2f} (pair by pair {pairs}){wall}.\n"


def predict_speed(summary: Result) -> str:
    """Return the sides of prediction."""
    names = {
        "pipeline_1": "Transformers pipeline, batch 1",
        "pipeline_32": "Transformers pipeline, batch 32",
        "graftlm_native": "GraftLM, the same bundle",
        "graftlm_native_fp32": "GraftLM, the same bundle, `--precision fp32`",
        "encode_32": "Sentence Transformers `encode`, batch 32, pooled bundle",
        "graftlm_pooled": "GraftLM, the same pooled bundle",
    }
    rows = [
        [words, number(summary[name]["examples_per_second"]), mebibytes(summary[name]["peak_memory_bytes"])]
        for name, words in names.items()
        if name in summary
    ]
    said = [
        f"{words} {summary[key]:.2f}"
        for key, words in (
            ("ratio_to_pipeline_32", "to the pipeline with batch 32"),
            ("ratio_to_pipeline_1", "with batch 1"),
            ("ratio_to_encode_32", "to `encode`"),
        )
        if key in summary
    ]
    same = summary.get("fp32_same_batches_difference")
    beside = "" if same is None else f", {same:.1e} with the same batches"
    return (
        table(["", "examples/s", "peak memory"], rows)
        + f"\nRatios, pair by pair, median: {', '.join(said)}. Labels equal to plain fp32 torch's on "
        f"{100 * summary['labels_equal']:.2f} % of the rows; `--precision fp32` differs from it by at most "
        f"{summary['fp32_logit_difference']:.1e} in a logit with single texts{beside}; plain torch with batches "
        f"of 32 differs from itself with single texts by {summary['plain_against_itself']:.1e}.\n"
    )


def by_task(summary: Result, peer: str, what: str) -> str:
    """Return the speed of both sides for each task."""
    rows = [
        [
            task,
            number(one[peer]),
            number(one["graft"]),
            f"{one['ratio']:.2f}",
            ", ".join(f"{r:.2f}" for r in one["ratios"]),
        ]
        for task, one in summary.items()
    ]
    return table(["task", f"Transformers, {what}/s", f"GraftLM, {what}/s", "ratio", "pair by pair"], rows)


def vectors_speed(summary: Result) -> str:
    """Return the ratio of both sides of training vectors."""
    wall, processor = (summary[key] for key in ("pairs_per_second", "pairs_per_processor_second"))
    return (
        f"Pairs/s against SentenceTransformerTrainer: {wall:.2f} times; by seconds of the processor {processor:.2f}.\n"
    )


def qa_accuracy(summary: Result) -> str:
    """Return both sides' F1 on questions with and without an answer."""
    epochs = ", ".join(percent(value) for value in summary["by_epoch"])
    return (
        f"F1 on squad2_cs224n: never answering {percent(summary['no_answer'])}; GraftLM {percent(summary['ours'])}; "
        f"run_qa after each epoch, its threshold chosen on the test questions: {epochs}.\n"
    )


def passes(summary: Result) -> str:
    """Return what a step of each method costs, dearest first."""
    order = sorted(summary.items(), key=lambda item: -item[1]["cost"])
    return table(
        ["method or loss", "passes", "plain steps"], [[n, str(one["passes"]), f"{one['cost']:.2f}"] for n, one in order]
    )


def main_job(summary: Result) -> str:
    """Return accuracy and time of the main job."""
    rows = []
    for part, words in (("full", "`full`, default recipe"), ("refit", "`full`, `--refit`")):
        if part in summary:
            seeds = ", ".join(percent(value) for value in summary[part]["by_seed"])
            low, high = summary[part]["intervals"][0]
            interval = f"[{percent(low)}, {percent(high)}]"
            seconds = number(summary[part]["process_seconds"])
            rows.append([words, percent(summary[part]["accuracy"]), interval, seeds, seconds])
    if "probe" in summary:
        one = summary["probe"]
        low, high = one["interval"]
        words, interval = "`probe`, the whole command", f"[{percent(low)}, {percent(high)}]"
        rows.append([words, percent(one["accuracy"]), interval, "", number(one["seconds"])])
    text = table(["", "test accuracy", "95 % interval", "by seed", "seconds"], rows) if rows else ""
    if "freeze" in summary:
        ratio, times = summary["freeze"]["ratio_from_second_epoch"], summary["freeze"]["train_seconds"]
        text += (
            f"\n`freeze` of 4 blocks of 6 against `full`, from the second epoch: {ratio:.2f} times; the whole "
            f"training, with the outputs of the frozen blocks computed: {times['freeze']:.1f} s against "
            f"{times['full']:.1f} s.\n"
        )
    return text


def defaults(summary: Result) -> str:
    """Return one row for each data set."""
    rows = []
    for name, row in summary.items():
        low, high = row["interval"]
        baselines = row["baselines"]
        cheaper = f"; cheaper: {row['cheaper']}" if row["cheaper"] else ""
        rows.append(
            [
                name, f"{percent(row['accuracy'])} [{percent(low)}, {percent(high)}]", percent(row["macro_f1"]),
                percent(row["floor"]), percent(baselines.get("tfidf")), percent(baselines.get("probe")),
                row["verdict"] + cheaper, number(row["epochs"]), number(row["seconds"]),
            ]
        )  # fmt: skip
    head = ["data", "accuracy", "macro F1", "floor", "TF-IDF", "probe", "verdict", "epochs", "seconds"]
    return table(head, rows)


def head_start(summary: Result) -> str:
    """Return one row for each schedule."""
    rows = [
        [
            f"{row['rows_of_each_class']} a class" if row["rows_of_each_class"] else "all",
            number(row["epochs"]),
            percent(row["head_probe"]),
            percent(row["head_random"]),
            f"{100 * row['gain']:+.1f} ({', '.join(f'{100 * gain:+.1f}' for gain in row['gains'])})",
            percent(row["probe_alone"]),
        ]
        for row in summary["table"]
    ]
    return table(["rows", "epochs", "head from the probe", "random head", "gain (by seed)", "probe alone"], rows)


def faults(summary: Result) -> str:
    """Return what was killed, and when."""
    rows = [
        [name, f"{summary['alive_when_killed'][kind]}", f"{summary['killed_after_a_checkpoint'][kind]}"]
        for kind, name in (("random", "at random moments"), ("saving", "while a checkpoint was written"))
    ]
    return table(["killed", "runs", "of them after a first checkpoint"], rows)


def fuzz_readers(summary: Result) -> str:
    """Return how many damaged files were read, and what became of the rest."""
    names = ("cases", "read", "refused", "tracebacks", "hangs", "lost")
    return table(list(names), [[number(summary[name]) for name in names]])


def big_data(summary: Result) -> str:
    """Return both starts on the same rows, and the memory of answering them."""
    rows = [
        [f"{name} start", f"{summary[f'{name}_ready']:.1f} s", f"{summary[f'{name}_cpu']:.1f} s",
         mebibytes(summary[f"{name}_peak_bytes"])]
        for name in ("first", "second")
    ]  # fmt: skip
    text = table(["", "until the first step", "of processor", "peak memory"], rows)
    if answered := summary["predict"]:
        early, whole = (mebibytes(answered[f"{name}_peak_bytes"]) for name in ("early", "whole"))
        text += f"\nAnswering {answered['rows']:,} rows: at most {early} after 20,000 rows, {whole} after all.\n"
    return text


def busy_machine(summary: Result) -> str:
    """Return the speed alone and beside a busy program, by how threads wait."""
    rows = [
        [name, *(number(summary[key][how], "batches/s") for how in ("default", "ours"))]
        for key, name in (("alone", "alone"), ("busy", "beside one busy program"))
    ]
    return table(["", "OpenMP's default", "threads that sleep"], rows)


BLOCKS: dict[str, Callable[[Result], str]] = {
    "training_speed": training_speed,
    "predict_speed": predict_speed,
    "main_job": main_job,
    "defaults": defaults,
    "head_start": head_start,
    "tasks": lambda summary: str(summary["table"]),
    "qa_accuracy": qa_accuracy,
    "task_speed": lambda summary: by_task(summary, "trainer", "examples"),
    "task_predict": lambda summary: by_task(summary, "peer", "answers"),
    "vectors_speed": vectors_speed,
    "passes": passes,
    "methods": lambda summary: str(summary["table"]),
    "forgetting": lambda summary: str(summary["table"]),
    "joint": lambda summary: str(summary["table"]),
    "faults": faults,
    "fuzz_readers": fuzz_readers,
    "big_data": big_data,
    "busy_machine": busy_machine,
}


def read(folder: Path = harness.RESULTS) -> dict[str, Result]:
    """Return the results that there are, by name, in the order of the page."""
    return {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in BLOCKS
        if (folder / f"{name}.json").is_file()
    }


def filled(page: str, results: dict[str, Result]) -> str:
    """Return the page with its blocks filled."""

    def block(found: re.Match[str]) -> str:
        name = found[2]
        if name == "reached":
            text = reached(results)
        elif name in results:
            text = BLOCKS[name](results[name]["summary"]) + "\n" + conditions(results[name])
        else:
            text = f"Not measured yet: `python benchmarks/{name}.py`.\n"
        return f"{found[1]}\n{text}\n{found[3]}"

    return BLOCK.sub(block, page)


def main() -> int:
    """Fill the page, or with --check tell whether it is filled from the results that there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if the page is not up to date")
    parser.add_argument("--results", type=Path, default=harness.RESULTS, help="folder of the results")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    before = given.page.read_text(encoding="utf-8")
    after = filled(before, read(given.results))
    if given.check:
        return int(before != after)
    given.page.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
