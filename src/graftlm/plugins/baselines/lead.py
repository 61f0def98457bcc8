"""The first sentences of the text that was asked: hard to beat where texts say first what matters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from graftlm.contracts import written
from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, spoken
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer

_END = re.compile(r"(?<=[。！？；\n])|(?<=[.!?])(?=\s)|(?<=[.!?][\"'\u201d\u2019)])(?=\s)")
_SAMPLE = 2000


class Lead(Baseline):
    """Answers with as many of the first sentences as come nearest to the length of the training targets."""

    source: ClassVar[str] = "project; the lead baseline of the Document Understanding Conferences"
    about: ClassVar[str] = "the first sentences"
    sentences: int | None = Field(None, ge=1, le=50)
    """Number of sentences; None: that whose mean length is nearest to that of the training targets."""

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Choose the number of sentences on (at most 2,000 of) the training rows."""
        count = self.sentences or self._chosen(rows, setting)

        def fitted(asked: Rows) -> Sequence[Answer]:
            return spoken(_first(setting.task.reads(example), count) for chunk in asked.chunks() for example in chunk)

        return fitted

    @staticmethod
    def _chosen(rows: Rows, setting: BaselineSetting) -> int:
        examples = rows.examples(0, _SAMPLE)
        wanted = sum(len(text) for e in examples for text in written.references(setting.task.truth(e))[:1])
        texts = [setting.task.reads(example) for example in examples]
        return min(range(1, 6), key=lambda count: abs(wanted - sum(len(_first(text, count)) for text in texts)))


def _first(text: str, count: int) -> str:
    return "".join([part for part in _END.split(text.strip()) if part][:count]).strip()
