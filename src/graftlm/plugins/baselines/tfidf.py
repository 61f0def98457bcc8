"""TF-IDF of words (or characters, where a language writes without spaces) and logistic regression."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, answers, label_numbers
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer
from graftlm.core import log
from graftlm.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

# Thai to Burmese, Khmer, kana and Han: scripts that put no spaces between words.
_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_LETTER = re.compile(r"[^\W\d_]")
_WEIGHTS = 50_000_000  # classes x terms: 400 MB
_SLOW = 30_000_000  # rows x classes that take about a minute


class Tfidf(Baseline):
    """Weighs terms by rarity and fits one logistic regression for each class against the rest."""

    source: ClassVar[str] = "scikit-learn TfidfVectorizer (sublinear tf), liblinear (Fan et al. 2008, section 2)"
    about: ClassVar[str] = "TF-IDF + logistic regression"
    longest: int = Field(2, ge=1, le=5)
    """Longest run of words or characters that counts as a term."""
    inverse_strength: float = Field(10.0, gt=0, le=1e6)
    """scikit-learn's C: larger means less regularisation."""

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Fit on the training rows.

        Raises:
            DataError: the training texts hold nothing to count.
        """
        import numpy as np
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        texts = {role.name: _column(rows, role.name) for role in setting.task.roles if role.kind == "text"}
        texts = {name: column for name, column in texts.items() if any(text.strip() for text in column)}
        if not texts:
            raise DataError("TF-IDF found no text in the training rows: every text is empty.")
        target = label_numbers(rows, setting)
        present = np.unique(target)
        vectorizers = {name: self._vectorizer(column, len(present)) for name, column in texts.items()}
        terms = _side_by_side([vectorizers[name].fit_transform(column) for name, column in texts.items()])
        # the dual solver is the quick one where there are more terms than rows; the seed makes it repeatable
        binary = LogisticRegression(
            solver="liblinear",
            C=self.inverse_strength,
            dual=True,
            tol=1e-2,
            max_iter=200,
            random_state=setting.seed % 2**32,
        )
        if len(rows) * len(present) > _SLOW:
            log.note(f"TF-IDF baseline: {len(rows):,} rows and {len(present):,} classes take minutes.")
        with warnings.catch_warnings():  # a solution that is not quite exact serves a baseline as well
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = (binary if len(present) == 2 else OneVsRestClassifier(binary)).fit(terms, target)

        def fitted(asked: Rows) -> Sequence[Answer]:
            return answers(asked, setting, _logits(model, vectorizers, asked, present, setting.space.size))

        return fitted

    def _vectorizer(self, texts: Sequence[str], classes: int) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        analyzer = {"analyzer": "char"} if _by_characters(texts) else {"token_pattern": r"(?u)\b\w+\b"}
        return TfidfVectorizer(
            ngram_range=(1, self.longest), sublinear_tf=True, max_features=max(20_000, _WEIGHTS // classes), **analyzer
        )


def _column(rows: Rows, role: str) -> list[str]:
    return ["" if text is None else str(text) for text in rows.column(role)] if rows.has(role) else []


def _by_characters(texts: Sequence[str]) -> bool:
    """Tell whether most letters belong to scripts without spaces, or there are no words at all."""
    sample = "".join(text[:500] for text in texts[:: max(1, len(texts) // 2_000)])
    letters = len(_LETTER.findall(sample))
    return len(_NO_SPACES.findall(sample)) > 0.3 * letters or not any(re.search(r"\w", text) for text in texts)


def _side_by_side(parts: list[Any]) -> Any:
    from scipy.sparse import hstack

    return parts[0] if len(parts) == 1 else hstack(parts, format="csr")


def _logits(
    model: Any, vectorizers: dict[str, Any], rows: Rows, present: np.ndarray, size: int
) -> Iterator[np.ndarray]:
    """Yield one row of logits (C,) after another; classes without training rows get a very low one."""
    import numpy as np

    texts = {name: _column(rows, name) or [""] * len(rows) for name in vectorizers}
    for start in range(0, len(rows), 4096):
        terms = [one.transform(texts[name][start : start + 4096]) for name, one in vectorizers.items()]
        margins = model.decision_function(_side_by_side(terms))
        if margins.ndim == 1:
            margins = np.stack([np.zeros_like(margins), margins], axis=1)
        logits = np.full((len(margins), size), -30.0)
        logits[:, present] = margins
        yield from logits
