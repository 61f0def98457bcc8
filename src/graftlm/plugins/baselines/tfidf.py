"""TF-IDF of words (or characters, where a language writes without spaces) and a linear model."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, label_numbers, tuned
from graftlm.contracts.rows import Rows
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
    """Weighs terms by rarity; one logistic regression for each class against the rest, ridge regression for quantities.

    Two texts share their terms; what both have and what one alone has stand beside what each has.
    """

    source: ClassVar[str] = "scikit-learn TfidfVectorizer (sublinear tf), liblinear (Fan et al. 2008, section 2)"
    about: ClassVar[str] = "TF-IDF + linear model"
    longest: int = Field(2, ge=1, le=5)
    """Longest run of words or characters that counts as a term."""
    inverse_strength: float = Field(10.0, gt=0, le=1e6)
    """scikit-learn's C: larger means less regularisation; of ridge regression ten over its alpha."""

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Fit on the training rows.

        Raises:
            DataError: the training texts hold nothing to count.
        """
        import numpy as np

        texts = {role.name: _column(rows, role.name) for role in setting.task.roles if role.kind == "text"}
        texts = {name: column for name, column in texts.items() if any(text.strip() for text in column)}
        if not texts:
            raise DataError("TF-IDF found no text in the training rows: every text is empty.")
        target, size = label_numbers(rows, setting), setting.space.size
        columns = target if target.ndim == 2 else (target[:, None] == np.arange(size)).astype(bool)
        present = np.flatnonzero(columns.any(axis=0)) if columns.dtype.kind == "b" else np.arange(size)
        if len(rows) * len(present) > _SLOW:
            log.note(f"TF-IDF baseline: {len(rows):,} rows and {len(present):,} classes take minutes.")
        if len(texts) == 2:
            whole = [text for column in texts.values() for text in column]
            makers = dict.fromkeys(texts, self._vectorizer(whole, 4 * len(present)).fit(whole))
        else:
            makers = {name: self._vectorizer(part, len(present)).fit(part) for name, part in texts.items()}
        terms = _terms(makers, texts)
        model = self._model(terms, target if target.ndim == 1 else columns[:, present], setting.seed)

        def logits(asked: Rows) -> Iterator[np.ndarray]:
            return _logits(model, makers, asked, present, size)

        return tuned(setting, logits)

    def _model(self, terms: Any, target: np.ndarray, seed: int) -> Any:
        """Return the fitted linear model for class numbers (N,), booleans (N, C) or quantities (N, C)."""
        import numpy as np
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.multiclass import OneVsRestClassifier

        if target.dtype.kind == "f":
            return Ridge(alpha=10.0 / self.inverse_strength, solver="sparse_cg", tol=1e-3).fit(terms, target)
        # the dual solver is the quick one where there are more terms than rows; the seed makes it repeatable
        binary = LogisticRegression(
            solver="liblinear", C=self.inverse_strength, dual=True, tol=1e-2, max_iter=200, random_state=seed % 2**32
        )
        one = target.ndim == 1 and len(np.unique(target)) == 2
        with warnings.catch_warnings():  # a solution that is not quite exact serves a baseline as well
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "Label .* is present in all training examples")
            return (binary if one else OneVsRestClassifier(binary)).fit(terms, target)

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


def _terms(makers: Mapping[str, Any], texts: Mapping[str, Sequence[str]]) -> Any:
    """Return the terms of all texts side by side; of two texts what they share and where they differ as well."""
    from scipy.sparse import csr_matrix, hstack

    parts = [maker.transform(texts[name]) for name, maker in makers.items()]
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        shared = parts[0].multiply(parts[1]).tocsr()
        parts += [abs(parts[0] - parts[1]), shared, csr_matrix(shared.sum(axis=1))]
    return hstack(parts, format="csr")


def _logits(model: Any, makers: dict[str, Any], rows: Rows, present: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield one row of logits (C,) after another; classes without training rows get a very low one."""
    import numpy as np

    texts = {name: _column(rows, name) or [""] * len(rows) for name in makers}
    for start in range(0, len(rows), 4096):
        terms = _terms(makers, {name: column[start : start + 4096] for name, column in texts.items()})
        quantities = not hasattr(model, "decision_function")
        margins = model.predict(terms) if quantities else model.decision_function(terms)
        if margins.ndim == 1:
            margins = margins[:, None] if len(present) == 1 else np.stack([np.zeros_like(margins), margins], axis=1)
        logits = np.full((len(margins), size), -30.0)
        logits[:, present] = margins
        yield from logits
