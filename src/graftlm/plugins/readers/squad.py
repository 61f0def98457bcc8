"""SQuAD JSON, versions 1.1 and 2.0, and CMRC's forms of it: one row a question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, a_file
from graftlm.core import textfile
from graftlm.core.errors import DataError
from graftlm.core.textfile import Piped, Truncated

_QUESTIONS = re.compile(rb'"qas"\s*:\s*\[')
_CONTEXT = ("context", "context_text")
_QUESTION = ("question", "query_text")
_ID = ("id", "query_id")
_ANSWERS = pa.list_(pa.struct([("text", pa.string()), ("answer_start", pa.int64())]))


class Squad(Reader):
    """Reads `id`, `title`, `context`, `question`, `answers` (text and start) and `is_impossible`.

    A row's place is the number of its question in the file.
    """

    source: ClassVar[str] = "Rajpurkar et al. 2018, arXiv:1806.03822; Cui et al. 2019, arXiv:1810.07366"
    encoding: str | None = None
    """Encoding such as "gb18030"; None: found out."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path | Piped) or textfile.binary(head):
            return 0.0
        begins = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
        if not begins or str(given).lower().removesuffix(".gz").endswith((".jsonl", ".ndjson")):
            return 0.0
        long = len(head) >= textfile.HEAD and b'"paragraphs"' in head  # a context longer than the head
        return 0.97 if _QUESTIONS.search(head) or long else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        given = a_file(given)
        encoding = textfile.encoding(given, self.encoding)
        try:
            document = json.loads(b"".join(textfile.chunks(given)).decode(encoding.codec, "graftlm-mark"))
        except Truncated as fault:
            raise DataError(f"{given}: {fault}. A JSON document cannot be read in part; get the file anew.") from None
        except ValueError as fault:
            raise DataError(f"{given}: this is not JSON ({fault}); expected the form of SQuAD.") from None
        faults = Faults(bad_rows)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("id", "title", "context", "question", "answers", "is_impossible")
        }
        numbers: list[int] = []
        for number, (row, reason) in enumerate(_rows(given, document), 1):
            where = f"{given}:{number}"
            if reason:
                faults.lost(where, reason)
                continue
            if wrong := textfile.spoilt("".join(filter(None, (row["context"], row["question"])))):
                if not faults.kept(where, wrong):
                    continue
                row = {name: textfile.mended(v) if isinstance(v, str) else v for name, v in row.items()}
            for name, values in columns.items():
                values.append(row[name])
            numbers.append(number)
        kinds = {"answers": _ANSWERS, "is_impossible": pa.bool_()}
        table = pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()})
        version = document.get("version") if isinstance(document, dict) else None
        facts = {"encoding": encoding.name, "form": f"SQuAD {version}" if version else "SQuAD"}
        return Corpus(table, str(given), pa.array(numbers, pa.int64()), facts, **faults.drain())


def _rows(given: Any, document: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each question's row, or why it is none."""
    articles = document.get("data") if isinstance(document, dict) else document
    if not isinstance(articles, list):
        raise DataError(f'{given}: expected the form of SQuAD, {{"data": [{{"paragraphs": [...]}}]}}; found none.')
    for article in articles:
        if not isinstance(article, dict):
            yield {}, f"expected an article with paragraphs, found {_shown(article)}"
            continue
        # CMRC 2018 as it was first published has the text and its questions at the top
        for paragraph in article.get("paragraphs", [article]):
            context = _of(paragraph, _CONTEXT)
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(questions, list):
                yield {}, f"expected a paragraph with context and qas, found {_shown(paragraph)}"
                continue
            for one in questions:
                yield _row(article, context, one)


def _row(article: dict[str, Any], context: Any, one: Any) -> tuple[dict[str, Any], str]:
    if not isinstance(one, dict):
        return {}, f"expected a question, found {_shown(one)}"
    if not isinstance(context, str):
        return {}, f"the question {_shown(_of(one, _ID))} has no context"
    answers = one.get("answers")
    found = []
    for answer in answers if isinstance(answers, list) else [] if answers is None else [answers]:
        if isinstance(answer, str):
            answer = {"text": answer}
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            return {}, f"expected answers with text and answer_start, found {_shown(answers)}"
        start = answer.get("answer_start")
        found.append({"text": answer["text"], "answer_start": start if isinstance(start, int) else None})
    if one.get("is_impossible") is True and any(answer["text"].strip() for answer in found):
        return {}, f"the question {_shown(_of(one, _ID))} is said to have no answer (is_impossible), and has one"
    question, ident, title = _of(one, _QUESTION), _of(one, _ID), article.get("title")
    row = {
        "id": None if ident is None else str(ident),
        "title": None if title is None else str(title),
        "context": context,
        "question": None if question is None else str(question),
        "answers": found,
        "is_impossible": bool(one["is_impossible"]) if "is_impossible" in one else None,
    }
    return row, ""


def _of(one: Any, names: tuple[str, ...]) -> Any:
    return next((one[name] for name in names if name in one), None) if isinstance(one, dict) else None


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]
