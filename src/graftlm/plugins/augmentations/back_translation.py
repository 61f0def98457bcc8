"""Texts translated into another language and back: the same in other words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from graftlm.contracts.ahead import in_parts
from graftlm.contracts.augmentation import ManyTexts, Scene
from graftlm.contracts.reference import CheckpointRef
from graftlm.contracts.translating import Translator, Way, suits
from graftlm.core import log

if TYPE_CHECKING:
    import numpy as np

    from graftlm.contracts.backbone import Backbone


class BackTranslation(ManyTexts):
    """Translates each text with one model and back with another; on the way back tokens are drawn.

    Both ways are done before training, one model in memory at a time, and kept in the cache part by part: a stopped
    run goes on where it was, and other seeds share the way there. Left as they are: texts longer than a model reads,
    rows with labelled places (a new text has none), and what comes back empty or `ratio` times longer or shorter.
    """

    source: ClassVar[str] = (
        "Sennrich et al. 2016, arXiv:1511.06709; Xie et al. 2020, arXiv:1904.12848, section 3.3 (drawn tokens)"
    )
    costly: ClassVar[bool] = True
    there: CheckpointRef
    """A seq2seq checkpoint from the language of the rows: a folder, a name on the Hub, or a backbone."""
    back: CheckpointRef
    """One for the way back; the same one where it can do both."""
    there_prefix: str = ""
    """What stands before each text on the way there, such as "translate English to German: " for T5."""
    back_prefix: str = ""
    """The same on the way back."""
    language: str | None = None
    """Code of the rows' language, for models that want one (mBART, M2M100, NLLB): "en_XX"."""
    pivot: str | None = None
    """Code of the language between, for the same models."""
    beams: int = Field(1, ge=1, le=64)
    """Beams on the way there; on the way back too where `temperature` is 0."""
    temperature: float = Field(0.8, ge=0, le=2)
    """How freely tokens are drawn on the way back; 0: the likeliest text."""
    ratio: float = Field(2.5, ge=1, le=1e4)
    """A text that comes back so many times longer or shorter is dropped."""
    rate: float = Field(1.0, gt=0, le=1)
    """Share of the texts that are translated."""

    @model_validator(mode="after")
    def _different(self) -> BackTranslation:
        if self.copies > 1 and self.temperature == 0:
            raise ValueError("with temperature 0 all copies would be the same; set copies to 1, or draw tokens")
        return self

    def check(self, scene: Scene) -> None:
        """Open both checkpoints without their weights.

        Raises:
            UserError: one cannot be opened, or does not translate.
        """
        for model in (self.there, self.back):
            suits(model.open())

    def change_all(
        self, texts: Sequence[str], shown: Sequence[Mapping[int, str]], rng: np.random.Generator, scene: Scene
    ) -> list[str]:
        """Return the texts after both ways, those that are left alone as they came."""
        seed = int(rng.integers(2**31))
        free = [bool(text.strip()) and not signs for text, signs in zip(texts, shown, strict=True)]
        if held := sum(map(bool, shown)):
            log.warn(f"back_translation: {held:,} texts have labelled places, and are left as they are")
        rows = [row for row, draw in enumerate(rng.random(len(texts))) if free[row] and draw < self.rate]
        there = Way(self.there_prefix, self.language, self.pivot, self.beams)
        middle = self._all(self.there, there, [[texts[row], 0] for row in rows], scene, "translating there")
        seen: dict[str, int] = {}
        rows, jobs = [row for row, text in zip(rows, middle, strict=True) if text], []
        for text in filter(None, middle):
            jobs.append([text, seen.get(text, 0)])
            seen[text] = seen.get(text, 0) + (self.temperature > 0)
        back = Way(self.back_prefix, self.pivot, self.language, 1 if self.temperature else self.beams, self.temperature,
                   seed if self.temperature else 0)  # fmt: skip
        out, lost = list(texts), 0
        for row, new in zip(rows, self._all(self.back, back, jobs, scene, "translating back"), strict=True):
            if new and 1 / self.ratio <= len(new) / len(texts[row]) <= self.ratio:
                out[row] = new
            else:
                lost += 1
        if lost or len(rows) < sum(free):
            log.note(
                f"back_translation: of {sum(free):,} texts {len(rows):,} came as far as the other language, and "
                f"{lost:,} of those did not come back whole"
            )
        return out

    @staticmethod
    def _all(model: Backbone, way: Way, jobs: Sequence[Any], scene: Scene, what: str) -> list[Any]:
        """Translate one way; the model is gone after it."""
        if not jobs:
            return []
        translator = Translator(model.open(), way, scene.device)
        return in_parts("translated", translator.mark(), jobs, translator, what)
