"""A JSON file, gzipped or not: an array of objects, or an object that holds one such array."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, a_file, records, shown
from graftlm.core import textfile
from graftlm.core.errors import DataError, listing
from graftlm.core.textfile import Piped, Truncated


class Json(Reader):
    """Reads the whole document at once: large data are better kept as JSON lines."""

    source: ClassVar[str] = "RFC 8259"
    encoding: str | None = None
    """Encoding such as "gb18030"; None: found out."""
    key: str | None = None
    """Key of the array inside an object; None: the only one that holds objects."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path | Piped) or textfile.binary(head):
            return 0.0
        if isinstance(given, Path) and str(given).lower().removesuffix(".gz").endswith(".json"):
            return 0.7
        return 0.5 if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        given = a_file(given)
        encoding = textfile.encoding(given, self.encoding)
        faults = Faults(bad_rows)
        try:
            text = b"".join(textfile.chunks(given)).decode(encoding.codec, "graftlm-mark")
        except Truncated as fault:
            raise DataError(f"{given}: {fault}. A JSON document cannot be read in part; get the file anew.") from None
        if not text.strip():
            raise DataError(f"{given}: the file is empty; expected a JSON array of objects.")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as fault:
            raise DataError(
                f"{given}: this is not JSON ({fault}). Expected an array of objects such as "
                '[{"text": ..., "label": ...}]; for one object a line name the file .jsonl.'
            ) from None
        rows = self._rows(given, document)
        kept: list[dict[str, Any]] = []
        numbers: list[int] = []
        for number, row in enumerate(rows, 1):
            where = f"{shown(given)}:{number}"
            if not isinstance(row, dict):
                faults.lost(where, f"expected an object, found {json.dumps(row, ensure_ascii=False)[:60]}")
                continue
            whole = json.dumps(row, ensure_ascii=False)
            wrong = textfile.spoilt(whole) or ("a NUL character" if "\\u0000" in whole else None)
            if wrong is not None:
                if not faults.kept(where, wrong):
                    continue
                row = json.loads(textfile.mended(whole).replace("\\u0000", "\ufffd"))
            kept.append(row)
            numbers.append(number)
        facts = {"encoding": encoding.name, "form": "array of objects"}
        return Corpus(records(kept), shown(given), pa.array(numbers, pa.int64()), facts, **faults.drain())

    def _rows(self, given: Any, document: Any) -> list[Any]:
        if isinstance(document, list):
            return document
        if not isinstance(document, dict):
            raise DataError(f"{given}: expected an array of objects, found {str(document)[:60]!r}.")
        if self.key is not None:
            if not isinstance(document.get(self.key), list):
                raise DataError(f"{given}: there is no array '{self.key}'; keys: {listing(list(document))}.")
            return document[self.key]
        lists = {k: v for k, v in document.items() if isinstance(v, list) and v and isinstance(v[0], dict)}
        if len(lists) == 1:
            return next(iter(lists.values()))
        if lists:
            raise DataError(
                f"{given}: the document holds several arrays of objects ({listing(list(lists))}); name one with the "
                "reader's field 'key': reader: {use: json, key: ...}."
            )
        raise DataError(
            f"{given}: expected an array of objects, or an object with one such array; "
            f"found an object with the keys {listing(list(document))}."
        )
