"""From values to one HTML file: the templates, the style sheet and the script, all inside it."""

from __future__ import annotations

import functools
from typing import Any

from graftlm.report import words
from graftlm.report.vocabulary import SENTENCES
from graftlm.report.words import both, say

_OF_SCRIPT = ("cell", "cell_none")  # sentences that the script of a page puts values into


def render(template: str, *, language: str, **values: Any) -> str:
    """Return a page from a template of this package; `language` is what it opens in, "en" or "zh"."""
    language = language if language in words.LANGUAGES else words.LANGUAGES[0]
    told = {one: {key: SENTENCES[key][place] for key in _OF_SCRIPT} for place, one in enumerate(words.LANGUAGES)}
    return str(_environment(language).get_template(template).render(language=language, told=told, **values))


@functools.cache
def _environment(language: str) -> Any:
    """Return what holds the templates, compiled once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("graftlm.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def attribute(text: Any, name: str = "aria-label") -> Any:
        return both(text).attribute(name, language)

    def drawn(text: Any) -> Any:
        return both(text).tagged("tspan")

    environment.filters |= {"attribute": attribute, "drawn": drawn}
    environment.globals |= {"say": say}
    return environment
