"""Augmentations: more training examples from one. Never on validation or test rows."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.values import Example
from graftlm.core.errors import UserError
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np


class Augmentation(Plugin):
    """Expands examples of the training split."""

    kind: ClassVar[str] = "augmentation"

    @abstractmethod
    def expand(self, example: Example, rng: np.random.Generator) -> Iterable[Example]:
        """Yield the examples that replace this one (itself among them, if it is to stay)."""


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

    def expand(self, example: Example, rng: np.random.Generator) -> Iterable[Example]:
        """Yield the example (where it is kept) and its changed copies; a copy that is no different is left out.

        Raises:
            UserError: the truth names places in the text, which would no longer be right.
        """
        if not (example.target is None or isinstance(example.target, str | int | float)):
            raise UserError(
                f"augmentations: '{self.name()}' moves words, and the truth of {example.where or example.id} may name "
                "places in the text. Use it for labels that belong to the whole text."
            )
        if self.keep:
            yield example
        for number in range(1, self.copies + 1):
            fields = {k: self.change(v, rng) if isinstance(v, str) else v for k, v in example.fields.items()}
            if fields != dict(example.fields):
                yield replace(example, id=f"{example.id}+{self.name()}{number}", fields=fields)
            elif not self.keep and number == self.copies:
                yield example  # no row is lost for having nothing to change

    def chosen(self, places: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Return the places that change, in order: the share `rate` of them, at least one."""
        if not places:
            return []
        count = max(1, round(self.rate * len(places)))
        return sorted(int(places[i]) for i in rng.choice(len(places), size=count, replace=False))
