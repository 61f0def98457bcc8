"""Cosine of the TF-IDF vectors of two texts: words in common, weighed by rarity."""

from __future__ import annotations

from typing import ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, compared, compares, role_texts
from graftlm.contracts.rows import Rows
from graftlm.core.errors import DataError, UserError


class TfidfCosine(Baseline):
    """Compares texts by the words that they share; characters and pairs of them where a language has no spaces."""

    source: ClassVar[str] = "Salton & Buckley 1988, table 1 (tfc); scikit-learn TfidfVectorizer, sublinear tf"
    about: ClassVar[str] = "cosine of TF-IDF vectors"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count terms in all texts of the training rows.

        Raises:
            UserError: the task compares no texts.
            DataError: the training texts hold nothing to count.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        from graftlm.nn.words import terms

        roles = [role.name for role in setting.task.roles if role.kind == "text"]
        if not compares(setting.task):
            raise UserError(
                f"The baseline 'tfidf_cosine' compares texts; the task '{setting.task.name()}' does not. "
                "Take it out of evaluate.baselines."
            )
        vectorizer = TfidfVectorizer(analyzer=terms, sublinear_tf=True)
        try:
            vectorizer.fit(text for example in rows.examples() for _, text in role_texts(example, roles))
        except ValueError:
            raise DataError("TF-IDF found no word in the training rows: every text is empty.") from None

        return lambda asked: compared(asked, setting, vectorizer.transform)
