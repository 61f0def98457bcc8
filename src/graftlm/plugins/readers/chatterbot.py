"""The YAML of the ChatterBot corpus, a file or a folder of them: lists of what is said in turn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import yaml

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, records
from graftlm.core import textfile
from graftlm.core.errors import DataError

_FORM = re.compile(rb"(?m)^conversations:\s*$")


class ChatterBot(Reader):
    """Reads questions with their answers, or whole dialogues, and the category of each file."""

    source: ClassVar[str] = "github.com/gunthercox/chatterbot-corpus (file format)"
    turns: Literal["first", "all"] = "first"
    """first: the first two lines of each list, `question` and `answer` (further lines mostly are other answers);
    all: each list as `messages` of user and assistant in turn, an unanswered last one left out."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path):
            return 0.0
        if given.is_dir():
            first = next(iter(_files(given)), None)
            return 0.9 if first is not None and _FORM.search(textfile.head(first)) else 0.0
        return 0.9 if given.suffix.lower() in (".yml", ".yaml") and _FORM.search(head) else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        given = Path(given)
        files = _files(given) if given.is_dir() else [given]
        if not files:
            raise DataError(f"{given}: expected .yml files with 'conversations:' in them, found none.")
        faults = Faults(bad_rows)
        rows: list[dict[str, Any]] = []
        places: list[str] = []
        for file in files:
            category, talks = _opened(file)
            inside = file.relative_to(given).as_posix() if given.is_dir() else ""
            for number, talk in enumerate(talks, 1):
                place = f"{inside}:{number}" if inside else str(number)
                wrong = _wrong(talk)
                if wrong is not None:
                    faults.lost(f"{given}/{place}" if inside else f"{given}:{place}", wrong)
                    continue
                rows.append({"category": category, **self._row(talk)})
                places.append(place)
        facts = {"form": f"ChatterBot YAML, {len(files)} files" if given.is_dir() else "ChatterBot YAML"}
        lines = pa.array(places, pa.string()) if given.is_dir() else pa.array(map(int, places), pa.int64())
        return Corpus(records(rows), str(given), lines, facts, **faults.drain())

    def _row(self, talk: list[str]) -> dict[str, Any]:
        if self.turns == "first":
            return {"question": talk[0], "answer": talk[1]}
        even = talk[: len(talk) // 2 * 2]
        return {"messages": [{"role": ("user", "assistant")[n % 2], "content": said} for n, said in enumerate(even)]}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".yml", ".yaml") and path.is_file())


def _opened(file: Path) -> tuple[str, list[Any]]:
    """Return the category and the conversations of a file; its values stay text (`yes` is no truth value)."""
    encoding = textfile.encoding(file, None)
    try:
        text = b"".join(textfile.chunks(file)).decode(encoding.codec, "graftlm-mark")
        tree = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes nothing but text, lists and mappings
    except (yaml.YAMLError, textfile.Truncated) as fault:
        raise DataError(f"{file}: this is no YAML that can be read ({' '.join(str(fault).split())[:200]}).") from None
    talks = tree.get("conversations") if isinstance(tree, dict) else None
    if not isinstance(talks, list) or not talks:
        raise DataError(f"{file}: expected a list under 'conversations', found none.")
    categories = tree.get("categories")
    return ", ".join(map(str, categories)) if isinstance(categories, list) else file.stem, talks


def _wrong(talk: Any) -> str | None:
    if not isinstance(talk, list) or not all(isinstance(said, str) for said in talk):
        return f"expected a list of texts, found {talk!r:.80}"
    if len(talk) < 2:
        return "nobody answers: the list holds fewer than two texts"
    if not all(said.strip() for said in talk):
        return "one of the texts is empty"
    return textfile.spoilt("\n".join(talk))
