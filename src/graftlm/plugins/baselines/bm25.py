"""BM25: documents by the rare words that they share with the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, role_texts
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Inputs
from graftlm.core.errors import UserError


class Bm25(Baseline):
    """Ranks by BM25; words, or characters and pairs of them where a language has no spaces."""

    source: ClassVar[str] = "Robertson & Zaragoza 2009, eq. 3.15, with the inverse frequency of Lucene"
    about: ClassVar[str] = "BM25"
    k1: float = Field(1.5, ge=0, le=10)
    """How much a word that comes again still adds."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long documents are held back."""

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count the words of the training documents; those of the documents that are ranked are counted too.

        Raises:
            UserError: the task ranks no documents.
        """
        from graftlm.nn.bm25 import BM25

        task = setting.task
        roles = [role.name for role in task.roles if role.kind == "text"]
        if task.group is None:
            raise UserError(f"The baseline 'bm25' ranks documents for a query; the task '{task.name()}' has none.")
        known = [text for example in rows.examples() for place, text in role_texts(example, roles) if place == 1]

        def fitted(asked: Rows) -> Sequence[Answer]:
            examples = asked.examples()
            given = [role_texts(example, roles) for example in examples]
            documents = list(dict.fromkeys([*known, *(text for texts in given for place, text in texts if place == 1)]))
            place_of = {text: place for place, text in enumerate(documents)}
            index = BM25(documents, k1=self.k1, b=self.b)
            found = []
            for example, texts in zip(examples, given, strict=True):
                scores = index.scores([texts[0][1]])[0]
                inputs = [Inputs(0, {}, 0, {"place": place, "text": text}) for place, text in texts[1:]]
                pieces = [np.array([scores[place_of[text]]]) for _, text in texts[1:]]
                found.append(task.decode(example, inputs, pieces, setting.space))
            return found

        return fitted
