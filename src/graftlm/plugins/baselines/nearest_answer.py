"""The answer of the training row whose question is most alike, by TF-IDF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from graftlm.contracts import written
from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, spoken
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer
from graftlm.core import seeds
from graftlm.core.errors import DataError


class NearestAnswer(Baseline):
    """Repeats what was answered to the training question of highest cosine.

    Where no question shares a word, it gives the most frequent answer. Words are characters where a script has no
    spaces.
    """

    source: ClassVar[str] = "project; cosine of TF-IDF (Salton & Buckley 1988, section 3)"
    about: ClassVar[str] = "answer of the nearest training question (TF-IDF)"
    rows: int = Field(50_000, ge=1)
    """Training rows that are searched at most; of more, a random sample."""

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Weigh the words and runs of two words of the training questions.

        Raises:
            DataError: no training question holds a word, or no row has an answer.
        """
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer

        if len(rows) > self.rows:
            kept = seeds.generator(setting.seed, "nearest").permutation(len(rows))[: self.rows]
            rows = rows.take(np.sort(kept).tolist())
        pairs = [
            (setting.task.reads(example), answers[0])
            for chunk in rows.chunks()
            for example in chunk
            if (answers := written.references(setting.task.truth(example)))
        ]
        questions, known = [question for question, _ in pairs], [answer for _, answer in pairs]
        vectorizer = TfidfVectorizer(analyzer=_terms, sublinear_tf=True, dtype=np.float32)
        try:
            terms = vectorizer.fit_transform(questions).T.tocsc()
        except ValueError:
            raise DataError("The nearest answer cannot be looked for: no training question holds a word.") from None
        usual = Counter(known).most_common(1)[0][0]

        def fitted(asked: Rows) -> Sequence[Answer]:
            found: list[str] = []
            for chunk in asked.chunks(256):
                alike = vectorizer.transform([setting.task.reads(example) for example in chunk]) @ terms
                best = np.asarray(alike.argmax(axis=1)).ravel()
                most = np.asarray(alike.max(axis=1).todense()).ravel()
                found += [known[b] if m > 0 else usual for b, m in zip(best, most, strict=True)]
            return spoken(found)

        return fitted


def _terms(text: str) -> Iterator[str]:
    from graftlm.nn.ngrams import words

    found = words(text)
    yield from found
    yield from (f"{one} {two}" for one, two in zip(found, found[1:], strict=False))
