"""Lists and mappings that became text on their way through a table: JSON, or as Python prints them."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_ARRAY = re.compile(r"\barray\(\s*(\[.*?\])\s*(?:,\s*dtype=[\w.'<>]+\s*)?\)", re.DOTALL)


def written(text: str) -> Any | None:
    """Return the list or mapping that a text writes out, numpy's arrays as lists; None where it writes none."""
    if text.lstrip()[:1] not in ("[", "{", "("):
        return None
    for read in (json.loads, ast.literal_eval):
        for form in (text, _ARRAY.sub(r"\1", text)):
            try:
                found = read(form.strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
            return list(found) if isinstance(found, tuple) else found
    return None
