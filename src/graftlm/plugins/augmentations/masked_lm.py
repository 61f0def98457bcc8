"""Words that a masked language model would write in the place of some of the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts import replacing
from graftlm.contracts.ahead import in_parts
from graftlm.contracts.augmentation import ManyTexts, Scene
from graftlm.contracts.reference import CheckpointRef
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


class MaskedLm(ManyTexts):
    """Masks a share of the words, and draws for each one of the likeliest whole words that the model puts there.

    All masks of a text are filled by one look at it. Words give way to words and Chinese characters to characters, one
    token each, casing stays. The model sees the text alone, not the label: a word that the label hangs on may change
    its sense, so keep `rate` low. It runs once, before training, over all rows in batches; what it gives is kept in
    the cache.
    """

    source: ClassVar[str] = "Kobayashi 2018, arXiv:1805.06201, section 2; Wu et al. 2019, arXiv:1812.06705, section 3"
    costly: ClassVar[bool] = True
    model: CheckpointRef
    """A checkpoint with a masked language model's head: a folder, a name on the Hub, or a backbone."""
    top: int = Field(10, ge=1, le=1000)
    """Likeliest words that one is drawn from, each by its probability."""
    rate: float = Field(0.15, gt=0, le=1)
    """Share of the words that change, at least one in each text that has a word."""

    def check(self, scene: Scene) -> None:
        """Open the checkpoint without its weights.

        Raises:
            UserError: it cannot be opened, or cannot be a masked language model.
        """
        self._open()

    def change_all(
        self, texts: Sequence[str], shown: Sequence[Mapping[int, str]], rng: np.random.Generator, scene: Scene
    ) -> list[str]:
        """Return the texts with some words replaced."""
        from graftlm.nn import tokens
        from graftlm.nn.marks import of_weights

        base = self._open()
        mask = base.tokenizer.mask_token
        chosen, jobs, draws = [], [], []
        for text, signs in zip(texts, shown, strict=True):
            spots = replacing.replaceable(text)
            own = [spots[n] for n in self.chosen(range(len(spots)), rng)]
            chosen.append(own)
            draws.append([float(rng.random()) for _ in own])
            if own:
                masked = replacing.put(text, own, [mask] * len(own)).translate(dict(signs))
                jobs.append([masked, [text[a:b] for a, b in own]])
        module = base.build("AutoModelForMaskedLM", complete=True).eval().to(scene.device)
        mark = [of_weights(module), tokens.tokenizer_mark(base.tokenizer), self.top, base.card.limit]
        work = _Filling(base, module, self.top, scene.device)
        results = iter(in_parts("masked", mark, jobs, work, "filling in masked words") if jobs else ())
        out = []
        for text, own, draw in zip(texts, chosen, draws, strict=True):
            held: list[Any] = next(results) if own else []
            filled = [_drawn(words, chances, at) for (words, chances), at in zip(held, draw, strict=False)]
            places = own[: len(filled)]  # what was cut off stays
            others = [text[a:b] if word is None else replacing.cased(word, text[a:b])
                      for word, (a, b) in zip(filled, places, strict=True)]  # fmt: skip
            out.append(replacing.put(text, places, others))
        return out

    def _open(self) -> Any:
        base = self.model.open()
        kinds = list(getattr(base.config, "architectures", None) or [])
        said = None
        if base.card.stack != "encoder":
            said = f"is made of a {base.card.stack}"
        elif base.tokenizer.mask_token is None:
            said = "has no mask token"
        elif kinds and not any("MaskedLM" in kind or "PreTraining" in kind for kind in kinds):
            said = f"was saved as {', '.join(kinds)}"
        if said:
            raise UserError(
                f"augmentations.masked_lm: '{base.card.name}' {said}. Name a checkpoint that was saved with a masked "
                "language model's head (AutoModelForMaskedLM)."
            )
        return base


def _drawn(words: Sequence[str], chances: Sequence[float], at: float) -> str | None:
    """Return the word at a place in [0, 1) of the probabilities, None where there is no word."""
    import numpy as np

    if not words:
        return None
    edges = np.cumsum(chances) / max(sum(chances), 1e-30)
    return words[min(int(np.searchsorted(edges, at, side="right")), len(words) - 1)]


class _Filling:
    """Fills in the masks of a list of [text, words that stood there]."""

    def __init__(self, base: Any, module: Any, top: int, device: str) -> None:
        self.base, self.module, self.top, self.device = base, module, top, device
        known = replacing.whole_words(base.tokenizer)
        self.size = int(module.config.vocab_size)
        self.words = {number: word for word, number in known.items() if number < self.size}

    def __call__(self, jobs: Sequence[Any]) -> list[Any]:
        import numpy as np

        from graftlm.nn.filling import likeliest

        kinds = {chinese: np.zeros(self.size, bool) for chinese in (False, True)}
        for number, word in self.words.items():
            kinds[replacing.han(word)][number] = True
        numbers = {word: number for number, word in self.words.items()}
        allowed = []
        for _, stood in jobs:
            rows = np.stack([kinds[replacing.han(word)] for word in stood])
            for row, word in zip(rows, stood, strict=True):
                if word.lower() in numbers:
                    row[numbers[word.lower()]] = False
            allowed.append(rows)
        found = likeliest(
            self.module, self.base.tokenizer, [text for text, _ in jobs], allowed, self.top,
            limit=self.base.card.limit, device=self.device,
        )  # fmt: skip
        return [[[[self.words[n] for n in ids], chances] for ids, chances in one] for one in found]
