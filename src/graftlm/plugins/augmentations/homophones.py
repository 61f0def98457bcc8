"""Chinese characters for others that sound the same, as slips of a pinyin keyboard are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from graftlm.contracts import groups
from graftlm.contracts.augmentation import Scene, TextAugmentation
from graftlm.core.optional import need

if TYPE_CHECKING:
    import numpy as np


class Homophones(TextAugmentation):
    """Puts in the place of a share of the characters one of the same pinyin among the 3,755 most used (GB 2312-1).

    Readings are those of the text, as pypinyin finds them (银行 is yin hang, 行走 is xing zou). A table of groups of
    characters or words that are taken for each other goes before them; other scripts stay as they are.
    """

    source: ClassVar[str] = "Zhang et al. 2020, arXiv:2005.07421, section 3.2 (homophone confusions in input by pinyin)"
    tones: bool = True
    """Whether the tone is the same too; without, more characters sound alike, as they are typed."""
    pinyin: bool = True
    """Whether characters are looked up by their reading, for which pypinyin is needed; else the table alone counts."""
    table: str | None = None
    """File: a group a line, its words with commas or tabs between, or bare characters (的地得); or JSON
    `{word: [other, ...]}`; UTF-8."""

    @model_validator(mode="after")
    def _something(self) -> Homophones:
        if not self.pinyin and self.table is None:
            raise ValueError("without pinyin a table is needed: name a file of groups with `table`")
        return self

    def check(self, scene: Scene) -> None:
        """Look for pypinyin and the table.

        Raises:
            UserError: the table cannot be read; MissingPackage: pypinyin is not installed.
        """
        if self.pinyin:
            _sounds(self.tones)
        if self.table is not None:
            groups.read(self.table, self.name(), characters=True)

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text with some characters or words replaced.

        Raises:
            UserError: as `check`.
        """
        places: list[tuple[int, int, list[str]]] = []
        if self.table is not None:
            others, pattern = groups.read(self.table, self.name(), characters=True)
            places += [(*match.span(), others[match[0].lower()]) for match in pattern.finditer(text)]
        if self.pinyin:
            taken = {n for start, end, _ in places for n in range(start, end)}
            places += [one for one in self._by_sound(text) if one[0] not in taken]
            places.sort(key=lambda one: one[0])
        out, at = [], 0
        for number in self.chosen(range(len(places)), rng):
            start, end, some = places[number]
            out += [text[at:start], some[int(rng.integers(len(some)))]]
            at = end
        return "".join([*out, text[at:]])

    def _by_sound(self, text: str) -> list[tuple[int, int, list[str]]]:
        read, by_sound = _sounds(self.tones)
        found = []
        for run in re.finditer("[\u4e00-\u9fff]+", text):
            for n, sound in enumerate(read(run[0]), run.start()):
                others = [sign for sign in by_sound.get(sound, ()) if sign != text[n]]
                if others:
                    found.append((n, n + 1, others))
        return found


@lru_cache(maxsize=2)
def _sounds(tones: bool) -> tuple[Any, Mapping[str, list[str]]]:
    """Return the function of a run of characters to their readings, and the most used characters of each reading."""
    pypinyin = need("pypinyin", "chinese", "The augmentation 'homophones'")
    style = pypinyin.Style.TONE3 if tones else pypinyin.Style.NORMAL

    def read(run: str) -> list[str]:
        return [one[0] for one in pypinyin.pinyin(run, style=style, errors=list)]

    by_sound: dict[str, list[str]] = {}
    for row in range(0xB0, 0xD8):  # GB 2312, level 1: rows 16 to 55 of 94 characters, the last one short
        for cell in range(0xA1, 0xFF if row < 0xD7 else 0xFA):
            sign = bytes([row, cell]).decode("gb2312")
            by_sound.setdefault(read(sign)[0], []).append(sign)
    return read, by_sound
