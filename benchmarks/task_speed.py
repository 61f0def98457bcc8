"""Tasks beside classification: the plain Transformers example against GraftLM, a few steps of each.

    python benchmarks/task_speed.py --tasks tagging extractive_qa --steps 30

The other side is what Transformers' run_ner, run_qa, run_glue and run_classification do: the Trainer as it comes, words
split beforehand, contexts in windows that are padded to their full length (run_qa's default), texts padded to 128
tokens (the default of the last two). Same model, rows, batch size, rate and window; both sides in fresh processes, in
turns. Only training steps are timed, as in training_speed.py; `cpu_ratio` is of the seconds of the
processor, which other work on the machine changes less. GraftLM's first batch is the longest one, so that what does
not fit fails at once: of a few steps over texts of very different lengths it would be too large a share. Tasks that are
not measured again keep their figures.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import fits
import harness
import texts

NAME = "task_speed"
BATCH, RATE, WINDOW, STRIDE = 32, 2e-4, 384, 128
GLUE_LENGTH = 128
SETS = {"tagging": "conll2003", "extractive_qa": "squad2_cs224n", "pair": "mrpc", "multilabel": "goemotions"}
STEPS = {"tagging": 220, "extractive_qa": 20, "pair": 20, "multilabel": 20}
FILES = {"extractive_qa": ("train_split.json", "test_split.json")}


def file_of(task: str, which: int) -> Path:
    """Return the training (0) or test (1) file of a task."""
    return texts.place_of(SETS[task]) / FILES.get(task, ("train.jsonl", "test.jsonl"))[which]


def sentences(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def questions(path: Path) -> list[dict[str, Any]]:
    """Return the questions of a SQuAD file."""
    return [
        {"question": one["question"].strip(), "context": part["context"], "answers": one["answers"]}
        for article in json.loads(path.read_text(encoding="utf-8"))["data"]
        for part in article["paragraphs"]
        for one in part["qas"]
    ]


def coded_tags(tokenizer: Any, rows: list[dict[str, Any]], number: dict[str, int]) -> list[dict[str, Any]]:
    """Tokenise words and put each tag at the first token of its word."""
    coded = tokenizer([row["tokens"] for row in rows], is_split_into_words=True, truncation=True)
    data = []
    for n, row in enumerate(rows):
        before, labels = None, []
        for word in coded.word_ids(n):
            labels.append(-100 if word is None or word == before else number[row["tags"][word]])
            before = word
        data.append({"input_ids": coded["input_ids"][n], "labels": labels})
    return data


def coded_texts(tokenizer: Any, rows: list[dict[str, Any]], labels: list[str]) -> list[dict[str, Any]]:
    """Pad one text or two to a fixed length; the label as its number, or several as ones and zeros."""
    names = ["sentence1", "sentence2"] if "sentence1" in rows[0] else ["text"]
    coded = tokenizer(
        *([row[name] for row in rows] for name in names), truncation=True, max_length=GLUE_LENGTH, padding="max_length"
    )
    return [
        {
            **{key: values[n] for key, values in coded.items()},
            "labels": labels.index(row["label"])
            if "label" in row
            else [float(label in row["labels"]) for label in labels],
        }
        for n, row in enumerate(rows)
    ]


def coded_windows(tokenizer: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cut each context into windows behind its question, padded; mark where the answer begins and ends."""
    coded = tokenizer(
        [row["question"] for row in rows], [row["context"] for row in rows], truncation="only_second",
        max_length=WINDOW, stride=STRIDE, return_overflowing_tokens=True, return_offsets_mapping=True,
        padding="max_length",
    )  # fmt: skip
    data = []
    for n, row in enumerate(coded["overflow_to_sample_mapping"]):
        first = last = 0
        if answers := rows[row]["answers"]:
            start = answers[0]["answer_start"]
            end = start + len(answers[0]["text"])
            inside = [
                place
                for place, (part, (a, b)) in enumerate(
                    zip(coded.sequence_ids(n), coded["offset_mapping"][n], strict=True)
                )
                if part == 1 and b > start and a < end
            ]
            whole = inside and coded["offset_mapping"][n][inside[0]][0] <= start
            if whole and coded["offset_mapping"][n][inside[-1]][1] >= end:
                first, last = inside[0], inside[-1]
        data.append({**{k: coded[k][n] for k in ("input_ids", "attention_mask", "token_type_ids")},
                     "start_positions": first, "end_positions": last})  # fmt: skip
    return data


def trainer(task: str, model: str, rows: int | None, steps: int) -> dict[str, Any]:
    """Train with the Trainer's own defaults."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        transformers.set_seed(0)
        place = fits.model_folder(model, Path(folder))
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
        path = file_of(task, 0)
        if task == "tagging":
            given = sentences(path)[:rows]
            labels = sorted({tag for row in given for tag in row["tags"]})
            number = {label: n for n, label in enumerate(labels)}
            module = transformers.AutoModelForTokenClassification.from_pretrained(place, num_labels=len(labels))
            data, collate = (
                coded_tags(tokenizer, given, number),
                transformers.DataCollatorForTokenClassification(tokenizer),
            )
        elif task in ("pair", "multilabel"):
            given = sentences(path)[:rows]
            labels = sorted({label for row in given for label in row.get("labels", [row.get("label")])})
            kind = {"problem_type": "multi_label_classification"} if task == "multilabel" else {}
            module = transformers.AutoModelForSequenceClassification.from_pretrained(
                place, num_labels=len(labels), **kind
            )
            data, collate = coded_texts(tokenizer, given, labels), transformers.default_data_collator
        else:
            module = transformers.AutoModelForQuestionAnswering.from_pretrained(place)
            data, collate = coded_windows(tokenizer, questions(path)[:rows]), transformers.default_data_collator
        began: list[tuple[float, float]] = []
        spent: list[float] = []
        worked: list[float] = []

        class Clock(transformers.TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                began.append((time.monotonic(), time.process_time()))

            def on_step_end(self, *_: Any, **__: Any) -> None:
                spent.append(time.monotonic() - began[-1][0])
                worked.append(time.process_time() - began[-1][1])

        arguments = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=BATCH, max_steps=steps, learning_rate=RATE,
            lr_scheduler_type="linear", warmup_steps=0.1, seed=0, save_strategy="no", report_to="none",
            disable_tqdm=True,
        )  # fmt: skip
        transformers.Trainer(
            model=module, args=arguments, train_dataset=data, data_collator=collate, callbacks=[Clock()]
        ).train()
    # the first step is left out on both sides: memory is taken, and kernels are chosen, only then
    return {"examples_per_second": len(spent) * BATCH / sum(spent), "steps": len(spent), "sequences": len(data),
            "cpu_steps_per_second": (len(worked) - 1) / sum(worked[1:])}  # fmt: skip


def graft(task: str, model: str, rows: int | None, steps: int) -> dict[str, Any]:
    """Fit with the same settings; the rest is GraftLM's default."""
    path = file_of(task, 0)
    with tempfile.TemporaryDirectory() as folder:
        base = "minilm" if model == "minilm" else fits.model_folder(model, Path(folder))
        count = len(questions(path) if task == "extractive_qa" else sentences(path))
        per_epoch = math.ceil(min(count, rows or count) / BATCH)
        found = fits.fit(
            str(path), folder=str(Path(folder, "run")), task=task, base=base, epochs=(steps - 0.01) / per_epoch,
            batch_size=BATCH, rate=RATE, seed=0, baselines="none",
            settings={
                "data.split.valid": 0, "train.warmup": 0.1, "train.schedule": "linear", "train.save_every": 1e9,
                **({"data.limit": rows} if rows else {}),
                **({"task.stride": STRIDE} if task == "extractive_qa" else {}),
            },
        )  # fmt: skip
    return {key: found[key] for key in ("examples_per_second", "cpu_steps_per_second", "planned", "notes")}


def earlier(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the runs and the summary of tasks that were measured before."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"runs": {}, "summary": {}}
    return kept["runs"], kept["summary"]


def main() -> None:
    """Measure in turns, and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--steps", type=int, help=f"steps of each side; default: {STEPS}")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    began = harness.machine(given.threads)
    trial = bool(given.rows or given.steps) or given.model != "minilm"
    runs, summary = earlier(given.out or harness.RESULTS / f"{NAME}.json")
    for task in given.tasks:
        runs[task] = {"trainer": [], "graft": []}
        for _ in range(given.rounds):
            for side, found in runs[task].items():
                shared = {"task": task, "model": given.model, "rows": given.rows, "steps": given.steps or STEPS[task]}
                found.append(harness.side(__file__, side, threads=given.threads, **shared))
                harness.say(f"{task}, {side}: {found[-1]['examples_per_second']:.1f} examples/s")
        speeds = {side: [run["examples_per_second"] for run in found] for side, found in runs[task].items()}
        pairs = harness.ratios(speeds["graft"], speeds["trainer"])
        worked = [[run["cpu_steps_per_second"] for run in runs[task][side]] for side in ("graft", "trainer")]
        known = all(value for found in worked for value in found)
        summary[task] = {"trial": trial, "threads": given.threads, "ratio": harness.median(pairs), "ratios": pairs,
                         "cpu_ratio": harness.median(harness.ratios(*worked)) if known else None,
                         **{side: harness.median(found) for side, found in speeds.items()}}  # fmt: skip
    checks = [
        harness.check(
            f"{task}: training examples/s against the Transformers example", one["ratio"], reach=4, unit="times"
        )
        for task, one in summary.items()
    ]
    complete = not any(one["trial"] for one in summary.values())
    harness.report(NAME, given, began, complete=complete, summary=summary, checks=checks, runs=runs)


if __name__ == "__main__":
    harness.start({"trainer": trainer, "graft": graft}, main)
