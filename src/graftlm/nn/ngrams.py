"""Figures of written answers from counts that add up over rows: BLEU, chrF, ROUGE, distinct n-grams.

Each `..._counts` gives the counts of one row, each figure is a function of their sums, so that any resample of rows
has its corpus figure at once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from graftlm.core.optional import need

BLEU_ORDER, CHRF_ORDER, CHRF_BETA = 4, 6, 2
# One character each of the scripts that put no spaces between words (kana, Han), runs of letters and digits elsewhere.
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SPACELESS = f"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff{_HAN}"
_WORD = re.compile(f"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[^\\W_])+")
_LETTER = re.compile(r"[^\W\d_]")


def words(text: str) -> list[str]:
    """Return the lower-case words of a text; where a script has no spaces, its characters.

    On plain Latin letters and digits these are the tokens of rouge-score, whose own tokeniser drops all others.
    """
    return _WORD.findall(text.lower())


def cut_of(texts: Sequence[str]) -> str:
    """Return the tokeniser of sacrebleu that suits texts: "zh" for Chinese, "char" for other scripts without spaces."""
    sample = "".join(text[:500] for text in texts)
    letters = max(len(_LETTER.findall(sample)), 1)
    han, all_ = (len(re.findall(f"[{signs}]", sample)) for signs in (_HAN, _SPACELESS))
    if all_ <= 0.3 * letters:
        return "13a"
    return "zh" if han > 0.9 * all_ else "char"


@cache
def _bleu(cut: str) -> Any:
    metrics: Any = need("sacrebleu.metrics", "generation", "BLEU")
    return metrics.BLEU(tokenize=cut, effective_order=True)


def bleu_counts(answer: str, references: Sequence[str], cut: str) -> list[int]:
    """Return what sacrebleu counts for one row: matches and n-grams of order 1 to 4, both lengths (10)."""
    found = _bleu(cut).sentence_score(answer, list(references))
    return [*found.counts, *found.totals, found.sys_len, found.ref_len]


def bleu_signature(cut: str, references: int | str) -> str:
    """Return sacrebleu's own words for how BLEU is computed here."""
    version = need("sacrebleu", "generation", "BLEU").__version__
    return f"nrefs:{references}|case:mixed|eff:no|tok:{cut}|smooth:exp|version:{version}"


def bleu(counts: np.ndarray) -> float:
    """Return BLEU in [0, 1] of summed counts (10,): Papineni et al. 2002, smoothed as sacrebleu does ("exp")."""
    matches, totals, (length, wanted) = counts[:4], counts[4:8], counts[8:]
    if not matches.any() or not totals.all():
        return 0.0
    halving, logs = 1.0, 0.0
    for match, total in zip(matches.tolist(), totals.tolist(), strict=True):
        if match == 0:
            halving *= 2
        logs += math.log(match / total if match else 1 / (halving * total))
    brevity = min(0.0, 1 - wanted / length)
    return math.exp(brevity + logs / BLEU_ORDER)


def chrf_counts(answer: str, references: Sequence[str]) -> list[int]:
    """Return n-grams of the answer, of the reference that fits best, and shared ones, for 1 to 6 characters (18)."""
    own, best, best_score = _characters(answer), [0] * 3 * CHRF_ORDER, -1.0
    for reference in references:
        found: list[int] = []
        for mine, theirs in zip(own, _characters(reference), strict=True):
            shared = sum(min(count, theirs[gram]) for gram, count in mine.items() if gram in theirs)
            found += [mine.total() if theirs else 0, theirs.total(), shared]
        if (score := chrf(np.array(found))) > best_score:
            best, best_score = found, score
    return best


def _characters(text: str) -> list[Counter[str]]:
    text = "".join(text.split())
    return [Counter(text[i : i + n] for i in range(len(text) - n + 1)) for n in range(1, CHRF_ORDER + 1)]


def chrf(counts: np.ndarray) -> float:
    """Return chrF2 in [0, 1] of summed counts (18,): Popovic 2015, over the orders that both sides have."""
    given, wanted, shared = counts.reshape(CHRF_ORDER, 3).T
    both = (given > 0) & (wanted > 0)
    if not both.any():
        return 0.0
    precision, recall = float(np.mean(shared[both] / given[both])), float(np.mean(shared[both] / wanted[both]))
    weighed = CHRF_BETA**2 * precision + recall
    return (1 + CHRF_BETA**2) * precision * recall / weighed if precision + recall else 0.0


class _Words:
    """The tokeniser that rouge-score is given."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


@cache
def _rouge() -> Any:
    scorer: Any = need("rouge_score.rouge_scorer", "generation", "ROUGE")
    return scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())


def rouge(answer: str, references: Sequence[str]) -> tuple[float, float, float]:
    """Return F of ROUGE-1, -2 and -L (Lin 2004), each against the reference that fits it best."""
    found = _rouge().score_multi(list(references), answer)
    one, two, longest = (float(found[name].fmeasure) for name in ("rouge1", "rouge2", "rougeL"))
    return one, two, longest


def distinct(texts: Sequence[str], order: int) -> float:
    """Return the share of different n-grams among all n-grams of all answers (Li et al. 2016, section 5.1)."""
    grams = [tuple(part[i : i + order]) for part in map(words, texts) for i in range(len(part) - order + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0
