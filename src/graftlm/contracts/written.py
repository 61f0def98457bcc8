"""Written answers: what tasks whose answers are texts have in common: figures, references, findings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric
from graftlm.contracts.values import Answer, Finding, Grades
from graftlm.core.optional import need
from graftlm.nn import ngrams

if TYPE_CHECKING:
    from torch import Tensor

_BLEU = [f"bleu_{name}_{n}" for name in ("match", "total") for n in range(1, 5)] + ["bleu_length", "bleu_wanted"]
_CHRF = [f"chrf_{name}_{n}" for n in range(1, 7) for name in ("given", "wanted", "shared")]
_ROUGE = ["rouge_1", "rouge_2", "rouge_l"]


def references(target: Any) -> list[str]:
    """Return the right answers of a row: one text, or each text of a list; blank ones and None are none."""
    given = target if isinstance(target, list | tuple) else [target]
    return [text for text in (str(one) for one in given if one is not None) if text.strip()]


def installed() -> None:
    """Refuse a run whose figures could not be counted at its end.

    Raises:
        MissingPackage: sacrebleu or rouge-score is not there; the message names the install command.
    """
    need("sacrebleu", "generation", "BLEU and chrF")
    need("rouge_score", "generation", "ROUGE")


def grades(answers: Sequence[Answer], truths: Sequence[Any], cut: str | None) -> Grades:
    """Return the counts of each row that BLEU, chrF, ROUGE and exact match are computed from.

    `cut` is the tokeniser of BLEU; without one there are the counts of ROUGE and exact match alone.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*(_BLEU + _CHRF if cut else []), *_ROUGE, "exact")}
    for answer, truth in zip(answers, truths, strict=True):
        text, wanted = str(answer.value), references(truth) or [""]
        found = [
            *((*ngrams.bleu_counts(text, wanted, cut), *ngrams.chrf_counts(text, wanted)) if cut else ()),
            *ngrams.rouge(text, wanted),
            any(text.strip() == one.strip() for one in wanted),
        ]
        for name, value in zip(columns, found, strict=True):
            columns[name].append(value)
    return {name: np.array(values) for name, values in columns.items()}


def _summed(graded: Grades, names: Sequence[str]) -> np.ndarray:
    return np.array([graded[name].sum() for name in names])


def bleu(graded: Grades) -> float:
    """Return corpus BLEU in [0, 1]."""
    return ngrams.bleu(_summed(graded, _BLEU))


def chrf(graded: Grades) -> float:
    """Return corpus chrF2 in [0, 1]."""
    return ngrams.chrf(_summed(graded, _CHRF))


def mean(graded: Grades, name: str) -> float:
    """Return the mean of a column, NaN where the answers do not have it."""
    return float(np.mean(graded[name])) if name in graded else math.nan


def rouge_1(graded: Grades) -> float:
    """Return the mean F of ROUGE-1."""
    return mean(graded, "rouge_1")


def rouge_2(graded: Grades) -> float:
    """Return the mean F of ROUGE-2."""
    return mean(graded, "rouge_2")


def rouge_l(graded: Grades) -> float:
    """Return the mean F of ROUGE-L."""
    return mean(graded, "rouge_l")


def _exact(graded: Grades) -> np.ndarray:
    size = len(next(iter(graded.values())))
    return graded["exact"].astype(bool) if "exact" in graded else np.ones(size, bool)


def exact_match(graded: Grades) -> float:
    """Return the share of answers that equal a right one."""
    return mean(graded, "exact")


BLEU = Metric("bleu", bleu, about="corpus BLEU of sacrebleu", percent=True)
CHRF = Metric("chrf", chrf, about="corpus chrF2 of sacrebleu", percent=True)
ROUGE_1 = Metric("rouge_1", rouge_1, about="mean F of ROUGE-1", percent=True)
ROUGE_2 = Metric("rouge_2", rouge_2, about="mean F of ROUGE-2", percent=True)
ROUGE_L = Metric("rouge_l", rouge_l, about="mean F of ROUGE-L", percent=True)
EXACT = Metric("exact_match", exact_match, about="share of answers that equal a right one", percent=True, hits=_exact)


def without_target(splits: dict[str, Rows], role: str) -> list[Finding]:
    """Return an error for each split with rows whose right answer is blank (an empty list among them)."""
    found = []
    for name, rows in splits.items():
        if rows.has(role):
            blank = [row for row, target in enumerate(rows.column(role)) if not references(target)]
            if blank:
                places = tuple(rows.where(row) for row in blank[:5])
                message = (
                    f"{len(blank)} of {len(rows)} rows of {name} have an empty {role}; write it, or take the rows out."
                )
                found.append(Finding("error", "no_target", message, len(blank), places))
    return found


def sample(rows: Rows, role: str, most: int = 20_000) -> list[str]:
    """Return the right answers of rows, or of some spread over all of them."""
    if not rows.has(role):
        return []
    step = max(1, -(-len(rows) // most))
    return [text for target in rows.take(range(0, len(rows), step)).column(role) for text in references(target)]


def longest(texts: Sequence[str], tokenizer: Any, ceiling: int) -> int:
    """Return the tokens of the longest text, the ending among them, and no more than `ceiling`."""
    if not texts:
        return ceiling
    encoded = tokenizer(text_target=list(texts), verbose=False)["input_ids"]
    return max(1, min(ceiling, max(map(len, encoded))))


def stacked(targets: Sequence[Sequence[int]]) -> Tensor:
    """Return labels (B, L), padded at the end with -100, which counts nowhere."""
    import torch

    out = torch.full((len(targets), max(map(len, targets), default=0)), -100)
    for row, labels in enumerate(targets):
        out[row, : len(labels)] = torch.as_tensor(labels)
    return out


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the summed cross-entropy of logits (B, L, V) and labels (B, M), M at most L; -100 does not count."""
    from torch.nn.functional import cross_entropy

    used = logits[:, : targets.shape[1]].flatten(0, 1)
    return cross_entropy(used, targets.flatten(), ignore_index=-100, reduction="sum")


def counted(targets: Tensor) -> int:
    """Return the number of labels that count."""
    return int((targets != -100).sum())


__all__ = [
    "BLEU",
    "CHRF",
    "EXACT",
    "ROUGE_1",
    "ROUGE_2",
    "ROUGE_L",
    "counted",
    "grades",
    "installed",
    "longest",
    "mean",
    "references",
    "sample",
    "stacked",
    "summed_loss",
    "without_target",
]
