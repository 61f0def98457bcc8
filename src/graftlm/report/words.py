"""What the pages say, in English and Chinese; both stand in each page, and a switch shows one of them."""

from __future__ import annotations

import locale
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graftlm.report.figures import title
from graftlm.report.vocabulary import COLUMNS, FINDINGS, METRICS, SENTENCES, STAGES, TITLES

LANGUAGES = ("en", "zh")
_HAN = ("\u4e00", "\u9fff")


@dataclass(frozen=True, slots=True)
class Both:
    """One text in both languages; a template that prints it prints both, and the page hides one."""

    en: str
    zh: str

    def __html__(self) -> str:
        """Return both texts, escaped, or one where they are the same."""
        return self.tagged("span")

    def tagged(self, tag: str) -> Any:
        """Return both texts as elements of this tag: `tspan` inside a drawing."""
        from markupsafe import Markup, escape

        if self.en == self.zh:
            return escape(self.en)
        found = "".join(
            f'<{tag} class="{name}" lang="{name}">{escape(getattr(self, name))}</{tag}>' for name in LANGUAGES
        )
        return Markup(found)  # noqa: S704 - its parts are escaped

    def attribute(self, name: str, language: str) -> Any:
        """Return an attribute in the page's first language, with both for the switch: ` aria-label="..."`."""
        from markupsafe import Markup, escape

        shown = f'{name}="{escape(getattr(self, language))}"'
        if self.en != self.zh:
            shown += "".join(f' data-{one}-{name}="{escape(getattr(self, one))}"' for one in LANGUAGES)
        return Markup(shown)  # noqa: S704 - its parts are escaped

    def __add__(self, other: str | Both) -> Both:
        more = both(other)
        return Both(self.en + more.en, self.zh + more.zh)


def both(text: Any) -> Both:
    """Return a text that is the same in both languages, or what is in both already."""
    return text if isinstance(text, Both) else Both(str(text), str(text))


def say(key: str, **values: Any) -> Both:
    """Return a sentence of the vocabulary with values put in."""
    english, chinese = SENTENCES[key]
    found = {name: both(value) for name, value in values.items()}
    return Both(
        english.format(**{name: one.en for name, one in found.items()}),
        chinese.format(**{name: one.zh for name, one in found.items()}),
    )


def metric(name: str, score: Mapping[str, Any] | None = None) -> Both:
    """Return a metric's name with its unit."""
    english = title(name, score)
    unit = " %" if score and score.get("percent") else ""
    return Both(english, f"{METRICS[name]}{unit}" if name in METRICS else english)


def column(name: str) -> Both:
    """Return a column's name; one that the vocabulary does not hold stays as it is written, without underscores."""
    english = title(name)
    if name in COLUMNS:
        return Both(*COLUMNS[name])
    return Both(english, METRICS.get(name, english))


def given(text: str) -> Both:
    """Return a title, or a line below one, that a task gives; one that the vocabulary does not hold stays as it is."""
    return Both(text, TITLES.get(text, text))


def stage(name: str) -> Both:
    """Return the name of a stage of a run, such as "baseline tfidf"."""
    first, _, rest = name.partition(" ")
    if first not in STAGES:
        return both(name)
    english, chinese = STAGES[first]
    return Both(f"{english} {rest}".rstrip(), f"{chinese} {rest}".rstrip())


def rows_of(split: str) -> Both:
    """Return "test rows" and the like."""
    known = {"test": "rows_test", "valid": "rows_valid", "train": "rows_train"}
    return say(known[split]) if split in known else say("rows_other", split=split)


def level(name: str) -> Both:
    """Return the level of a finding."""
    return say(f"level_{name}") if f"level_{name}" in SENTENCES else both(name)


def finding(code: str) -> str:
    """Return what a finding's code means in Chinese; empty where the vocabulary does not hold it."""
    return FINDINGS.get(code, "")


def choose(wanted: str, texts: Iterable[str]) -> str:
    """Return the language that a page opens in: the wanted one, else that of the data, else that of the machine."""
    if wanted in LANGUAGES:
        return wanted
    letters = han = 0
    for text in texts:
        for sign in text:
            if sign.isalpha():
                letters += 1
                han += _HAN[0] <= sign <= _HAN[1]
    if letters and han > 0.3 * letters:
        return "zh"
    names = [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    spoken = next((name for name in names if name), "") or (locale.getlocale()[0] or "")
    return "zh" if spoken.lower().startswith(("zh", "chinese")) else "en"
