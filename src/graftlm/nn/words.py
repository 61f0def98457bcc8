"""Terms of a text: words, and characters where a language writes without spaces."""

from __future__ import annotations

import re
import unicodedata

# Thai to Burmese, Khmer, kana and Han: scripts that put no spaces between words.
_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = re.compile(f"[{_NO_SPACES}]+|[^\\W{_NO_SPACES}]+")
_BARE = re.compile(f"[{_NO_SPACES}]")


def terms(text: str) -> list[str]:
    """Return the terms of a text in their order: words in folded case; characters and pairs of them without spaces."""
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if _BARE.match(run):
            found += [*run, *(run[i : i + 2] for i in range(len(run) - 1))]
        else:
            found.append(run)
    return found
