"""Training a bi-encoder: SentenceTransformerTrainer as it comes against `graftlm.fit`, the same rows, batch and loss.

    python benchmarks/vectors_speed.py --steps 40 --seeds 0 1 2

Both sides train all-MiniLM-L6-v2 on the scored pairs of STS-B with CoSENT, 32 pairs a step. Seconds are those of the
steps, wall and processor both: on a machine that others use, the processor's are the ones to compare.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import texts

NAME, BATCH, RATE, WARMUP = "vectors_speed", 32, 2e-4, 0.1


def rows_of(train: str) -> list[dict[str, Any]]:
    """Return the scored pairs."""
    with open(train, encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


def trainer(train: str, steps: int, seed: int) -> dict[str, Any]:
    """Train with the trainer of Sentence Transformers and its CoSENTLoss, everything else its default."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss
    from transformers import TrainerCallback

    import graftlm.core.registry as registry

    rows = rows_of(train)
    columns = {name: [row[name] for row in rows] for name in ("sentence1", "sentence2")}
    data = Dataset.from_dict({**columns, "score": [row["score"] / 5 for row in rows]})

    class Clock(TrainerCallback):
        wall = processor = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.monotonic(), time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.wall += time.monotonic() - self.began[0]
            self.processor += time.process_time() - self.began[1]

    with tempfile.TemporaryDirectory() as folder:
        base = registry.make("backbone", "minilm").open()
        base.build("AutoModel").save_pretrained(folder)
        base.tokenizer.save_pretrained(folder)
        model = SentenceTransformer(folder, device="cpu", local_files_only=True)
        clock = Clock()
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(Path(folder, "run")), per_device_train_batch_size=BATCH, max_steps=steps, learning_rate=RATE,
            lr_scheduler_type="linear", warmup_ratio=WARMUP, seed=seed, save_strategy="no", report_to="none",
            disable_tqdm=True,
        )  # fmt: skip
        SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=data, loss=CoSENTLoss(model), callbacks=[clock]
        ).train()
    return _told(steps, clock.wall, clock.processor)


def graft(train: str, steps: int, seed: int) -> dict[str, Any]:
    """Fit with the same rows, batch, rate and loss; the rest is GraftLM's default."""
    import graftlm
    from graftlm.stages.training import loop

    spent = [0.0, 0.0]
    update = loop.Loop.update

    def timed(self: Any) -> float:
        began = time.monotonic(), time.process_time()
        try:
            return update(self)
        finally:
            spent[0] += time.monotonic() - began[0]
            spent[1] += time.process_time() - began[1]

    loop.Loop.update = timed  # type: ignore[method-assign]
    per_epoch = -(-len(rows_of(train)) // BATCH)
    with tempfile.TemporaryDirectory() as folder:
        run = graftlm.fit(
            train, task="similarity", out=str(Path(folder, "run")), seed=seed, rate=RATE, baselines="none",
            epochs=(steps - 0.01) / per_epoch,
            settings={"task.objective": "cosent", "train.batch_size": BATCH, "data.split.valid": 0,
                      "train.warmup": WARMUP, "train.save_every": 1e9},
        )  # fmt: skip
        precision = run.metrics.get("precision")
    return {**_told(steps, *spent), "precision": precision}


def _told(steps: int, wall: float, processor: float) -> dict[str, Any]:
    pairs = steps * BATCH
    return {"pairs_per_second": pairs / wall, "pairs_per_processor_second": pairs / processor, "steps": steps}


def main() -> None:
    """Measure in turns, and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--steps", type=int, default=40, help="updates of each side")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    began = harness.machine(given.threads)
    runs: dict[str, list[dict[str, Any]]] = {"trainer": [], "graftlm": []}
    train = texts.data_set("stsb")["train"]
    for seed in given.seeds:
        for side, found in runs.items():
            one = harness.side(__file__, side, threads=given.threads, train=train, steps=given.steps, seed=seed)
            found.append({"seed": seed, **one})
            harness.say(f"{side}, seed {seed}: {one['pairs_per_processor_second']:.1f} pairs/s of the processor")
    summary = {
        key: harness.median(
            harness.ratios([run[key] for run in runs["graftlm"]], [run[key] for run in runs["trainer"]])
        )
        for key in ("pairs_per_second", "pairs_per_processor_second")
    }
    ratio = summary["pairs_per_processor_second"]
    what = "pairs/s of training against SentenceTransformerTrainer"
    checks = [harness.check(what, ratio, reach=4, unit="times")]
    harness.report(NAME, given, began, complete=len(given.seeds) >= 3, summary=summary, checks=checks, runs=runs)


if __name__ == "__main__":
    harness.start({"trainer": trainer, "graftlm": graft}, main)
