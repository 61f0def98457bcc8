"""Training: the Transformers Trainer as it comes against GraftLM, the same model, rows, batch size, epochs and rate.

Both sides in fresh processes, in turns. Only training steps are timed. The Trainer's time is the sum of its
steps from their beginning to their end (what it spends between steps, on fetching and padding the next batch, is
left out; GraftLM's own figure includes that work); `wall` beside it is the whole time from the first step to the
last, on both sides. Test accuracy and the peak memory of the whole process on both sides.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import fits
import harness
import texts

NAME = "training_speed"
BATCH, WARMUP = 32, 0.1


def trainer(
    model: str, train: str, test: str, epochs: float, steps: int | None, rate: float, seed: int, judged: bool = True
) -> dict[str, Any]:
    """Train with the Trainer's own defaults; what is the same on both sides is named here."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    with tempfile.TemporaryDirectory() as folder:
        set_seed(seed)
        place = fits.model_folder(model, Path(folder))
        rows, asked = texts.read(train), texts.read(test)
        labels = sorted({label for _, label in rows})
        number = {label: n for n, label in enumerate(labels)}
        tokenizer = AutoTokenizer.from_pretrained(place)
        module = AutoModelForSequenceClassification.from_pretrained(place, num_labels=len(labels))
        coded = tokenizer([text for text, _ in rows], truncation=True)
        data = [
            {**{key: values[n] for key, values in coded.items()}, "labels": number[label]}
            for n, (_, label) in enumerate(rows)
        ]

        class Clock(TrainerCallback):
            """Adds up the steps from their beginning to their end."""

            def __init__(self) -> None:
                self.steps = 0.0
                self.first = self.last = 0.0

            def on_step_begin(self, *_: Any, **__: Any) -> None:
                self.began = time.monotonic()
                self.first = self.first or self.began

            def on_step_end(self, *_: Any, **__: Any) -> None:
                self.last = time.monotonic()
                self.steps += self.last - self.began

        clock = Clock()
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=epochs,
            max_steps=steps or -1,
            learning_rate=rate,
            lr_scheduler_type="linear",
            warmup_steps=WARMUP,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        ran = Trainer(
            model=module,
            args=arguments,
            train_dataset=data,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[clock],
        )
        result = ran.train()
        trained_peak = fits.peak()
        per_epoch = math.ceil(len(rows) / BATCH)
        full, rest = divmod(result.global_step, per_epoch)
        examples = full * len(rows) + rest * BATCH
        right = 0
        if judged:
            module.eval()
            for begin in range(0, len(asked), BATCH):
                some = asked[begin : begin + BATCH]
                inputs = tokenizer([text for text, _ in some], truncation=True, padding=True, return_tensors="pt")
                with torch.inference_mode():
                    answers = module(**inputs).logits.argmax(-1).tolist()
                right += sum(labels[answer] == label for answer, (_, label) in zip(answers, some, strict=True))
    return {
        "examples": examples,
        "steps": result.global_step,
        "examples_per_second": examples / clock.steps,
        "wall_examples_per_second": examples / (clock.last - clock.first),
        "train_runtime": result.metrics["train_runtime"],
        "accuracy": right / len(asked) if judged else None,
        "trained_peak_memory_bytes": trained_peak,
        "threads": torch.get_num_threads(),
    }


def graft(
    model: str, train: str, test: str, epochs: float, steps: int | None, rate: float, seed: int,
    baselines: str = "none", judged: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Fit with the same settings and with all rows; the rest is GraftLM's default."""
    count = len(texts.read(train))
    per_epoch = math.ceil(count / BATCH)
    with tempfile.TemporaryDirectory() as folder:
        base = "minilm" if model == "minilm" else fits.model_folder(model, Path(folder))
        found = fits.fit(
            train,
            folder=str(Path(folder, "run")),
            base=base,
            # a shade less than the steps asked for, since the plan rounds up
            epochs=(steps - 0.01) / per_epoch if steps else epochs,
            batch_size=BATCH,
            rate=rate,
            seed=seed,
            baselines=baselines,
            # the same rows as the other side, so none are cut off for validation, and nothing is saved on the way
            settings={
                "data.split.valid": 0,
                "train.warmup": WARMUP,
                "train.schedule": "linear",
                "train.save_every": 1e9,
            },
            **({"test": test} if judged else {}),
        )
    steps_per_second = found["wall_steps_per_second"]
    return {**found, "wall_examples_per_second": steps_per_second and steps_per_second * count / per_epoch}


def main() -> None:
    """Measure in turns, and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--epochs", type=float, default=4, help="passes over the training rows")
    parser.add_argument("--steps", type=int, help="stop both sides after so many steps: a quick ratio, no accuracy")
    parser.add_argument("--rate", type=float, default=2e-4, help="peak learning rate of both sides")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=1, help="pairs for each seed")
    parser.add_argument("--no-default-baselines", action="store_true", help="leave out the run with all baselines")
    given = parser.parse_args()
    began = harness.machine(given.threads)
    runs: dict[str, list[dict[str, Any]]] = {"trainer": [], "graftlm": [], "graftlm_default_baselines": []}
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        files = texts.data_set("banking77")
        if given.rows:
            files = texts.cut(files, given.rows, Path(folder))
        shared = {
            "model": given.model, "train": files["train"], "test": files["test"], "epochs": given.epochs,
            "steps": given.steps, "rate": given.rate, "judged": given.steps is None,
        }  # fmt: skip
        for seed in given.seeds:
            for _ in range(given.rounds):
                for side in ("trainer", "graftlm"):
                    one = harness.side(__file__, side, threads=given.threads, seed=seed, **shared)
                    runs[side].append({"seed": seed, **one})
                    harness.say(f"{side}, seed {seed}: {one['examples_per_second']:.1f} examples/s")
        if not given.no_default_baselines:
            one = harness.side(
                __file__, "graftlm", threads=given.threads, seed=given.seeds[0], baselines="auto", **shared
            )
            runs["graftlm_default_baselines"].append({"seed": given.seeds[0], **one})
    summary = summarise(runs)
    harness.report(
        NAME,
        given,
        began,
        complete=given.rows is None and given.steps is None and given.model == "minilm" and len(given.seeds) >= 3,
        summary=summary,
        checks=checks(summary),
        runs=runs,
    )


def summarise(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return medians, ratios pair by pair, mean accuracies and peaks."""

    def all_of(side: str, key: str) -> list[float]:
        return [run[key] for run in runs[side]]

    pairs = harness.ratios(all_of("graftlm", "examples_per_second"), all_of("trainer", "examples_per_second"))
    timed = all(run["wall_examples_per_second"] for side in ("graftlm", "trainer") for run in runs[side])
    keys = ["examples_per_second", "process_seconds", *(["wall_examples_per_second"] if timed else [])]
    found: dict[str, Any] = {"ratio": harness.median(pairs), "ratios": pairs, "wall_ratio": None}
    if timed:  # a run of less than a second has one report, and no time between two
        key = "wall_examples_per_second"
        found["wall_ratio"] = harness.median(harness.ratios(all_of("graftlm", key), all_of("trainer", key)))
    for side in ("trainer", "graftlm"):
        found[side] = {key: harness.median(all_of(side, key)) for key in keys}
        found[side]["peak_memory_bytes"] = max(all_of(side, "peak_memory_bytes"))
        found[side]["trained_peak_memory_bytes"] = max(all_of(side, "trained_peak_memory_bytes"))
        right = [value for value in all_of(side, "accuracy") if value is not None]
        found[side]["accuracy"] = harness.mean(right) if right else None
    found["memory_ratio"] = found["graftlm"]["peak_memory_bytes"] / found["trainer"]["peak_memory_bytes"]
    if runs["graftlm_default_baselines"]:
        found["graftlm_default_baselines"] = {
            "peak_memory_bytes": max(all_of("graftlm_default_baselines", "peak_memory_bytes")),
            "process_seconds": harness.median(all_of("graftlm_default_baselines", "process_seconds")),
        }
    accuracies = [found[side]["accuracy"] for side in ("graftlm", "trainer")]
    found["points_lower"] = None if None in accuracies else 100 * (accuracies[1] - accuracies[0])
    return found


def checks(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached."""
    return [
        harness.check("training examples/s against the Transformers Trainer", summary["ratio"], reach=7, unit="times"),
        harness.check(
            "test accuracy below that Trainer's", summary["points_lower"], reach=0.3, least=False, unit="points"
        ),
        harness.check("peak memory against that Trainer", summary["memory_ratio"], reach=1, least=False, unit="times"),
    ]


if __name__ == "__main__":
    harness.start({"trainer": trainer, "graftlm": graft}, main)
