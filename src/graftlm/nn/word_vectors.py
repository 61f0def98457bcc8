"""Vectors of words: read from a text file, and the words that are nearest to each other by cosine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from graftlm.core.errors import UserError
from graftlm.nn.nearest import search


def read(path: str, most: int) -> tuple[list[str], np.ndarray]:
    """Return the first `most` words of a file in word2vec's or GloVe's text format, and their vectors (N, D).

    Raises:
        UserError: it cannot be read, or is of another form; the message names the line.
    """
    file = Path(path).expanduser()
    try:
        stamp = os.stat(file).st_mtime_ns
    except OSError as fault:
        raise UserError(f"The word vectors '{path}' cannot be read: {fault.strerror}.") from None
    return _read(file, most, stamp)


@lru_cache(maxsize=2)
def _read(file: Path, most: int, stamp: int) -> tuple[list[str], np.ndarray]:
    words: list[str] = []
    rows: list[np.ndarray] = []
    size = 0
    try:
        with file.open(encoding="utf-8") as handle:
            for number, line in enumerate(handle, 1):
                parts = line.rstrip("\r\n ").split(" ")
                if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                    size = int(parts[1])  # word2vec tells at first how many words and numbers there are
                    continue
                size = size or len(parts) - 1
                if size < 2 or len(parts) <= size:
                    raise ValueError(f"line {number} has {len(parts) - 1} numbers, expected {size or 'some'}")
                rows.append(np.array(parts[-size:], dtype=np.float32))
                words.append(" ".join(parts[:-size]))
                if len(words) == most:
                    break
    except (OSError, ValueError) as fault:
        raise UserError(
            f"The word vectors '{file}' cannot be read: {fault}. Expected text, a word and its numbers a line with "
            "spaces between, as word2vec (not its binary form) and GloVe write it."
        ) from None
    if not rows:
        raise UserError(f"The word vectors '{file}' hold no word.")
    return words, np.stack(rows)


def neighbours(
    asked: Sequence[str], table: Mapping[str, int], vectors: np.ndarray, most: int, floor: float
) -> dict[str, list[str]]:
    """Return for each word asked up to `most` others of a table whose cosine is at least `floor`, the nearest first.

    `table` says which row of `vectors` (N, D) a word has; words that have none are left out.
    """
    words = list(table)
    own = vectors[[table[word] for word in words]].astype(np.float32)
    own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    place = {word: number for number, word in enumerate(words)}
    known = [word for word in asked if word in place]
    if not known:
        return {}
    queries = own[[place[word] for word in known]]
    near = search(own, "exact")(queries, most + 1)
    found = {}
    for word, query, numbers in zip(known, queries, near, strict=True):
        cosines = own[numbers] @ query
        others = [words[n] for n, c in zip(numbers, cosines, strict=True) if c >= floor and words[n] != word]
        if others:
            found[word] = others[:most]
    return found
