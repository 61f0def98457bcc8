"""A folder with one sub-folder for each class, a text in each .txt file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, shown
from graftlm.core import textfile
from graftlm.core.errors import DataError, listing, printable
from graftlm.core.textfile import Truncated

_SPLITS = {"train", "training", "valid", "validation", "dev", "test", "训练", "验证", "测试"}


class TextFolder(Reader):
    """Reads `text` from the files and `label` from the names of their folders, both in sorted order."""

    encoding: str | None = None
    """Encoding of all files; None: found out for each."""

    def claims(self, given: Any, head: bytes) -> float:
        return 0.8 if isinstance(given, Path) and given.is_dir() else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        if not (isinstance(given, str | Path) and Path(given).is_dir()):
            raise DataError(
                f"Expected a folder with a sub-folder for each class, got '{str(given)[-80:]}', which is none."
            )
        given = Path(given)
        folders = sorted(item for item in given.iterdir() if item.is_dir() and not item.name.startswith("."))
        files = [file for folder in folders for file in sorted(folder.rglob("*.txt")) if file.is_file()]
        if not files:
            found = listing(sorted(item.name for item in given.iterdir())) or "nothing"
            raise DataError(
                f"{given}: expected a sub-folder for each class with .txt files in it; found {found}. "
                "Name a file, or such a folder."
            )
        if {folder.name.lower() for folder in folders} <= _SPLITS:
            raise DataError(
                f"{given}: the sub-folders {listing([f.name for f in folders])} are splits, not classes. Give each its "
                f"own key, such as train: {folders[-1]}."
            )
        faults = Faults(bad_rows)
        texts: list[str] = []
        labels: list[str] = []
        names: list[str] = []
        encodings: set[str] = set()
        for file in files:
            name = printable(file.relative_to(given).as_posix())
            where = f"{shown(given)}/{name}"
            try:
                encoding = textfile.encoding(file, self.encoding)
                text = b"".join(textfile.chunks(file)).decode(encoding.codec, "graftlm-mark")
            except (DataError, Truncated) as fault:
                faults.lost(where, str(fault).removeprefix(f"{where}: ").rstrip("."))
                continue
            if wrong := textfile.spoilt(text):
                if not faults.kept(where, wrong):
                    continue
                text = textfile.mended(text)
            encodings.add(encoding.name)
            texts.append(text.strip())
            labels.append(printable(file.relative_to(given).parts[0]))
            names.append(name)
        table = pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())})
        facts = {"encoding": ", ".join(sorted(encodings)), "form": f"{len(folders)} folders, one for each class"}
        return Corpus(table, shown(given), pa.array(names, pa.string()), facts, **faults.drain())
