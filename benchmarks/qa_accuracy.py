"""SQuAD 2.0's questions with plain Transformers: how far its example run_qa comes with the same model and rows.

    python benchmarks/qa_accuracy.py

The rows, the model, the batch and the rate are those of GraftLM's default recipe in tasks.py; windows,
answers and the score against no answer are run_qa's with --version_2_with_negative. Two of its options make it quicker
and change no answer by much: bf16 and windows padded to the longest of a batch. After each epoch the test questions are
answered, and the threshold for no answer is the best one **on these very questions** (SQuAD's find_best_thresh), which
no honest run can know: the figure is more than the example can reach.
"""

from __future__ import annotations

import json
import re
import string
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import fits
import harness
from task_speed import STRIDE, WINDOW, coded_windows, file_of, questions

NAME, OURS = "qa_accuracy", "squad2_cs224n"
BATCH, RATE, BEST, LONGEST_ANSWER = 32, 2e-4, 20, 30


def words(text: str) -> list[str]:
    """Return the words of an answer as SQuAD's script compares them."""
    kept = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def f1(answer: str, truths: list[str]) -> float:
    """Return the best F1 of an answer over the right ones; without any, whether nothing is answered."""
    found = 0.0
    for truth in truths or [""]:
        mine, right = words(answer), words(truth)
        if not mine or not right:
            found = max(found, float(mine == right))
            continue
        same = sum((Counter(mine) & Counter(right)).values())
        found = max(found, 2 * same / (len(mine) + len(right)))
    return found


def answered(model: Any, tokenizer: Any, asked: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Return the best answer to each question, and by how much no answer scores above it."""
    import torch

    coded = tokenizer(
        [row["question"] for row in asked], [row["context"] for row in asked], truncation="only_second",
        max_length=WINDOW, stride=STRIDE, return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    offsets, owners = coded.pop("offset_mapping"), coded.pop("overflow_to_sample_mapping")
    best: list[tuple[float, str]] = [(-1e9, "")] * len(asked)
    none = [1e9] * len(asked)
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for begin in range(0, len(owners), BATCH):
            some = {name: coded[name][begin : begin + BATCH] for name in tokenizer.model_input_names}
            out = model(**tokenizer.pad(some, return_tensors="pt"))
            starts, ends = out.start_logits.float().numpy(), out.end_logits.float().numpy()
            for k in range(len(some["input_ids"])):
                n, parts = owners[begin + k], coded.sequence_ids(begin + k)
                none[n] = min(none[n], float(starts[k][0] + ends[k][0]))
                for first in starts[k].argsort()[-1 : -BEST - 1 : -1]:
                    for last in ends[k].argsort()[-1 : -BEST - 1 : -1]:
                        inside = max(first, last) < len(parts) and parts[first] == 1 and parts[last] == 1
                        if inside and 0 <= last - first < LONGEST_ANSWER:
                            place = offsets[begin + k]
                            text = asked[n]["context"][place[first][0] : place[last][1]]
                            best[n] = max(best[n], (float(starts[k][first] + ends[k][last]), text))
    return [(text, none[n] - score) for n, (score, text) in enumerate(best)]


def best_f1(found: list[tuple[str, float]], asked: list[dict[str, Any]]) -> float:
    """Return the F1 with the threshold that these questions would choose."""
    truths = [[one["text"] for one in row["answers"]] for row in asked]
    silent = [float(not truth) for truth in truths]
    order = sorted(range(len(found)), key=lambda n: found[n][1])
    total = most = sum(silent)
    for n in order:
        total += f1(found[n][0], truths[n]) - silent[n]
        most = max(most, total)
    return most / len(found)


def trainer(epochs: int, model: str, rows: int | None) -> dict[str, Any]:
    """Train as run_qa does; return F1 on the test questions after each epoch."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        transformers.set_seed(0)
        place = fits.model_folder(model, Path(folder))
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
        module = transformers.AutoModelForQuestionAnswering.from_pretrained(place)
        data = coded_windows(tokenizer, questions(file_of("extractive_qa", 0))[:rows])
        for one in data:  # padded by the collator, to the longest of a batch
            count = sum(one["attention_mask"])
            for name in tokenizer.model_input_names:
                one[name] = one[name][:count]
        asked = questions(file_of("extractive_qa", 1))[:rows]
        by_epoch: list[float] = []

        class Judge(transformers.TrainerCallback):
            def on_epoch_end(self, *_: Any, **__: Any) -> None:
                by_epoch.append(best_f1(answered(module, tokenizer, asked), asked))
                harness.say(f"epoch {len(by_epoch)}: F1 {by_epoch[-1]:.4f}")
                module.train()

        arguments = transformers.TrainingArguments(
            output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=epochs, learning_rate=RATE,
            lr_scheduler_type="linear", warmup_steps=0.1, seed=0, save_strategy="no", report_to="none",
            disable_tqdm=True, bf16=True, use_cpu=True,
        )  # fmt: skip
        transformers.Trainer(
            model=module, args=arguments, train_dataset=data, callbacks=[Judge()],
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
        ).train()  # fmt: skip
    silent = sum(not row["answers"] for row in asked) / len(asked)
    return {"f1": by_epoch, "windows": len(data), "questions": len(asked), "no_answer": silent}


def main() -> None:
    """Train the example, and report it beside ours."""
    parser = harness.options(__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    began = harness.machine(given.threads)
    shared = {"epochs": given.epochs, "model": given.model, "rows": given.rows}
    found = harness.side(__file__, "trainer", threads=given.threads, **shared)
    ours = None
    if (path := harness.RESULTS / "tasks.json").is_file():
        sets = json.loads(path.read_text(encoding="utf-8"))["sets"]
        if one := sets.get(OURS):
            ours = harness.mean([run["metrics"]["test"]["f1"]["value"] for run in one["runs"]])
    summary = {"peer": max(found["f1"]), "by_epoch": found["f1"], "no_answer": found["no_answer"], "ours": ours}
    check = harness.check("squad2_cs224n: F1 less the best that run_qa could have",
                          None if ours is None else 100 * (ours - summary["peer"]), reach=0, unit="points")  # fmt: skip
    complete = given.rows is None and given.model == "minilm"
    harness.report(NAME, given, began, complete=complete, summary=summary, checks=[check], runs={"trainer": [found]})


if __name__ == "__main__":
    harness.start({"trainer": trainer}, main)
