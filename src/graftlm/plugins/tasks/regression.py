"""Regression: one number or several for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from graftlm.contracts.quantities import numbers_of, row_of, table
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Role, Task
from graftlm.contracts.texts import encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import DataError, listing
from graftlm.nn.deviations import mae, pearson, r2, rmse, spearman

if TYPE_CHECKING:
    from torch import Tensor

TEXT = (
    "text", "sentence1", "sentence", "premise", "review", "question", "text1", "text_a", "essay", "comment", "content",
    "tweet", "title", "description", "excerpt", "abstract", "document", "body", "文本", "内容", "评论", "句子1", "句子",
)  # fmt: skip
PAIR = ("text_pair", "sentence2", "hypothesis", "text2", "text_b", "answer", "response", "句子2", "文本2", "回答")
SCORE = (
    "score", "scores", "rating", "value", "target", "similarity", "relatedness", "relatedness_score", "stars", "price",
    "grade", "points", "y", "label", "labels", "分数", "评分", "得分", "数值", "价格", "标签",
)  # fmt: skip


def _mean_over(figure: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Grades], float]:
    """Return a figure of grades: the mean of one over the quantities."""

    def mean(grades: Grades) -> float:
        return float(np.mean([figure(t, p) for t, p in zip(grades["true"].T, grades["predicted"].T, strict=True)]))

    return mean


class Regression(Task):
    """Answers numbers; the model learns them less the training rows' mean and over their deviation."""

    source: ClassVar[str] = "project; figures as scikit-learn's and scipy's, squared error"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("text", "text", TEXT, "the text to judge"),
        Role("text_pair", "text", PAIR, "a second text, where the number belongs to a pair", required=False),
        Role("score", "target", SCORE, "a number, or several in as many columns or in a list", nested=True),
    )
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    whole: ClassVar[bool] = True
    says: ClassVar[str] = "a number, or several"
    plainly: ClassVar[str] = (
        "print(logits[0] * numpy.array(space['extra']['deviation']) + numpy.array(space['extra']['mean']))"
    )
    configuration: ClassVar[Mapping[str, Any]] = {"problem_type": "regression"}
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("rmse", _mean_over(rmse), False, "root of the mean squared error, in the numbers' own unit"),
        Metric("mae", _mean_over(mae), False, "mean absolute error"),
        Metric("r2", _mean_over(r2), about="share of the variance that is told; 0 for the mean"),
        Metric("spearman", _mean_over(spearman), about="correlation of ranks"),
        Metric("pearson", _mean_over(pearson), about="linear correlation"),
    )
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf", "probe")

    def fault(self, example: Example) -> str | None:
        """Return why a row's numbers cannot be read."""
        if example.target is None:
            return None
        try:
            numbers_of(example.target)
        except ValueError as fault:
            return str(fault)
        return None

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on numbers: all alike, classes rather than quantities, beyond what training rows show."""
        found: list[Finding] = []
        known = {name: table(rows) for name, rows in splits.items() if rows.target and rows.has(rows.target)}
        if "train" not in known:
            return found
        low = {name: min(values) for name, values in known["train"].items()}
        high = {name: max(values) for name, values in known["train"].items()}
        for name, values in known["train"].items():
            distinct = len(set(values))
            if distinct == 1:
                message = (
                    f"Every training row has the same number for '{name}' ({values[0]:g}); there is nothing to learn."
                )
                found.append(Finding("error", "constant", message, len(values)))
            elif distinct == 2:
                message = f"The training rows have two different numbers for '{name}'; the task 'classification' fits."
                found.append(Finding("warning", "two_values", message, 2))
        for split, columns in known.items():
            for name, values in columns.items():
                beyond = sum(not low[name] <= value <= high[name] for value in values) if name in low else 0
                if beyond:
                    message = f"{beyond} rows of {split} lie beyond the training rows' {low[name]:g} to {high[name]:g}."
                    found.append(Finding("note", "beyond", message, beyond))
        return found

    def space(self, rows: Rows) -> Space:
        """Return the names of the quantities, and their mean and deviation in the training rows.

        Raises:
            DataError: a row has no numbers or not those of the others, or all rows have the same.
        """
        columns = table(rows)
        spread = {name: float(np.std(values)) for name, values in columns.items()}
        if still := [name for name, value in spread.items() if value == 0]:
            raise DataError(f"Every training row has the same number for {listing(still)}; there is nothing to learn.")
        mean = [float(np.mean(values)) for values in columns.values()]
        return Space((), len(columns), {"names": list(columns), "mean": mean, "deviation": list(spread.values())})

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise all examples in one call; each gives one Inputs, cut at `limit` tokens."""
        paired = bool(examples) and "text_pair" in examples[0].fields
        others = [example.fields.get("text_pair") for example in examples] if paired else None
        return encode_texts([example.fields.get("text") for example in examples], others, tokenizer, limit)

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[np.ndarray]:
        """Return the numbers of each Inputs' row (C,), less the mean and over the deviation.

        Raises:
            DataError: a row lacks a number.
        """
        mean, deviation = np.array(space.extra["mean"]), np.array(space.extra["deviation"])
        return [(row_of(examples[one.row], space.extra["names"]) - mean) / deviation for one in inputs]

    def stack(self, targets: Sequence[Any]) -> Tensor:
        """Return the targets of a batch as a tensor (B, C)."""
        import torch

        return torch.from_numpy(np.stack(list(targets)).astype(np.float32))

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the squared error of logits and targets (B, C), summed over rows and meaned over quantities."""
        return (outputs.logits - targets).square().mean(dim=1).sum()

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the number, or the numbers by name."""
        found = np.asarray(pieces[0], np.float64) * space.extra["deviation"] + space.extra["mean"]
        if len(found) == 1:
            return Answer(float(found[0]), None, {"value": float(found[0])})
        named = dict(zip(space.extra["names"], found.tolist(), strict=True))
        return Answer(named, None, {"values": named})

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return `true` and `predicted`, the numbers (N, C)."""
        said = [list(a.value.values()) if isinstance(a.value, Mapping) else [a.value] for a in answers]
        return {
            "true": np.array([row_of(example, space.extra["names"]) for example in examples]),
            "predicted": np.array(said, float),
        }

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return figures of each quantity, the error along its range, and answers against truths as curves."""
        tables, curves = [], []
        for place, name in enumerate(space.extra["names"]):
            true, said = grades["true"][:, place], grades["predicted"][:, place]
            parts = [part for part in np.array_split(np.argsort(true, kind="stable"), 5) if len(part)]
            rows = [
                [f"{true[part].min():g} to {true[part].max():g}", len(part), float(np.mean(said[part] - true[part])),
                 rmse(true[part], said[part])]
                for part in parts
            ]  # fmt: skip
            rows.append(["all", len(true), float(np.mean(said - true)), rmse(true, said)])
            heads = ["truth", "rows", "mean error", "RMSE"]
            tables.append({"title": f"Error by {name}", "columns": heads, "rows": rows, "about": "Fifths of the rows."})
            middle = [[float(true[part].mean()), float(said[part].mean())] for part in parts]
            even = [[point[0], point[0]] for point in middle]
            lines = [{"name": "answers", "points": middle}, {"name": "as the truth", "points": even}]
            curves.append({"title": f"Mean answer by {name}", "x": "truth", "y": "answer", "lines": lines})
        return {"tables": tables, "curves": curves}

    def truth(self, example: Example) -> float | dict[str, float]:
        """Return the number, or the numbers by name, as answers give them."""
        found = numbers_of(example.target)
        return next(iter(found.values())) if len(found) == 1 else found
