"""Augmentations: more training examples from one. Never on validation or test rows."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.values import Example
from graftlm.core.errors import UserError
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np

    from graftlm.contracts.backbone import Base
    from graftlm.contracts.marked import Marked


@dataclass(frozen=True, slots=True)
class Scene:
    """What an augmentation may look at beside the examples.

    `base` is the opened base model of the run; `marked(example)` gives a row whose truth names places in its text with
    signs for them (None: it is no such row).
    """

    base: Base | None = None
    device: str = "cpu"
    marked: Callable[[Example], Marked | None] = field(default=lambda example: None)


class Augmentation(Plugin):
    """Expands examples of the training split."""

    kind: ClassVar[str] = "augmentation"
    costly: ClassVar[bool] = False
    """Whether it runs a model and keeps what comes of it in the cache: of several processes one then goes first."""

    @abstractmethod
    def expand(self, example: Example, rng: np.random.Generator) -> Iterable[Example]:
        """Yield the examples that replace this one (itself among them, if it is to stay)."""

    def expand_all(self, examples: Sequence[Example], rng: np.random.Generator, scene: Scene) -> Iterable[Example]:
        """Yield the examples that replace all these, in their order; what runs a model does so for many at once."""
        for example in examples:
            yield from self.expand(example, rng)

    def check(self, scene: Scene) -> None:
        """Look before training at what the options name: files, packages, models.

        Raises:
            UserError: something is not there, or cannot be used; the message says what to do.
        """


_UNIT = re.compile(
    r"\s+|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]|[^\s\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+"
)


def units(text: str) -> list[str]:
    """Cut a text into words, single Chinese characters and the white space between; joined they are the text."""
    return _UNIT.findall(text)


class TextAugmentation(Augmentation):
    """Changes the texts of an example and leaves its label: for labels that belong to the whole text."""

    copies: int = Field(1, ge=1, le=64)
    """Changed examples made of each."""
    rate: float = Field(0.1, gt=0, le=1)
    """Share of the places that change, at least one in each text that has a place."""
    keep: bool = True
    """Whether the example itself stays beside its copies."""

    @abstractmethod
    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the changed text, the same one where there is nothing to change."""

    def change_all(
        self, texts: Sequence[str], shown: Sequence[Mapping[int, str]], rng: np.random.Generator, scene: Scene
    ) -> list[str]:
        """Return the changed texts; `shown` says for each what the signs in it stand for, which must stay whole."""
        return [self.change(text, rng) for text in texts]

    def expand(self, example: Example, rng: np.random.Generator) -> Iterable[Example]:
        """Yield the example (where it is kept) and its changed copies; a copy that is no different is left out.

        Raises:
            UserError: the truth names places in the text, which would no longer be right.
        """
        yield from self.expand_all([example], rng, Scene())

    def expand_all(self, examples: Sequence[Example], rng: np.random.Generator, scene: Scene) -> Iterable[Example]:
        """Yield each example (where it is kept) and its changed copies; a copy that is no different is left out.

        Labelled places that the scene can mark stay whole, and take their labels along where they move.

        Raises:
            UserError: the truth names places in the text, which would no longer be right.
        """
        marked = [scene.marked(example) for example in examples]
        texts: list[str] = []
        shown: list[Mapping[int, str]] = []
        for example, mark in zip(examples, marked, strict=True):
            if mark is None and not (example.target is None or isinstance(example.target, str | int | float)):
                raise UserError(
                    f"augmentations: '{self.name()}' moves words, and the truth of {example.where or example.id} may "
                    "name places in the text. Use it for labels that belong to the whole text."
                )
            given = [mark.text] if mark else [v for v in example.fields.values() if isinstance(v, str)]
            texts += given * self.copies
            shown += [mark.shown if mark else {}] * (len(given) * self.copies)
        changed = iter(self.change_all(texts, shown, rng, scene))
        for example, mark in zip(examples, marked, strict=True):
            yield from self._copies(example, mark, changed)

    def _copies(self, example: Example, mark: Marked | None, changed: Iterator[str]) -> Iterator[Example]:
        example = example if mark is None else mark.example
        found = []
        for number in range(1, self.copies + 1):
            new: Example | None
            if mark is None:
                fields = {k: next(changed) if isinstance(v, str) else v for k, v in example.fields.items()}
                new = None if fields == dict(example.fields) else replace(example, fields=fields)
            else:
                text = next(changed)
                new = None if text == mark.text else mark.back(text)
            if new is not None:
                found.append(replace(new, id=f"{example.id}+{self.name()}{number}"))
        if self.keep or not found:
            yield example  # no row is lost for having nothing to change
        yield from found

    def chosen(self, places: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Return the places that change, in order: the share `rate` of them, at least one."""
        if not places:
            return []
        count = max(1, round(self.rate * len(places)))
        return sorted(int(places[i]) for i in rng.choice(len(places), size=count, replace=False))


class ManyTexts(TextAugmentation):
    """Changes many texts in one go, since a model or a table stands behind it."""

    @abstractmethod
    def change_all(
        self, texts: Sequence[str], shown: Sequence[Mapping[int, str]], rng: np.random.Generator, scene: Scene
    ) -> list[str]:
        """Return the changed texts; `shown` says for each what the signs in it stand for, which must stay whole."""

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the changed text, the same one where there is nothing to change."""
        return self.change_all([text], [{}], rng, Scene())[0]
