"""Files of text: opened plain or gzipped, their encoding found out, broken bytes marked where they stand."""

from __future__ import annotations

import codecs
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from graftlm.core.errors import DataError

HEAD = 1 << 16
_CHUNK = 1 << 20
_MARKED = re.compile("[\ud800-\udfff]+")
_SPOILT = re.compile("[\ud800-\udfff\0]+")
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig", "UTF-8 with BOM"),
    (b"\xff\xfe\0\0", "utf-32", "UTF-32"),
    (b"\0\0\xfe\xff", "utf-32", "UTF-32"),
    (b"\xff\xfe", "utf-16", "UTF-16"),
    (b"\xfe\xff", "utf-16", "UTF-16"),
)
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive (as .xlsx and .docx are)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x80\x04\x95", "a Python pickle, which is never opened"),
)


class Truncated(Exception):
    """A compressed file ends, or breaks, before its end; everything readable was handed out before."""


def _mark(fault: UnicodeError) -> tuple[str, int]:
    """Put a lone surrogate, which no text holds, in the place of each broken byte."""
    if not isinstance(fault, UnicodeDecodeError):
        raise fault
    return "".join(chr(0xDC00 + byte) for byte in fault.object[fault.start : fault.end]), fault.end


codecs.register_error("graftlm-mark", _mark)


def spoilt(text: str) -> str | None:
    """Return what is wrong with a text (broken bytes, lone surrogates, NUL), or None."""
    found = _SPOILT.search(text)
    if found is None:
        return None
    first = found[0][0]
    if first == "\0":
        return f"a NUL byte at character {found.start() + 1}"
    if 0xDC80 <= ord(first) <= 0xDCFF:
        shown = " ".join(f"0x{ord(c) - 0xDC00:02x}" for c in found[0][:4] if 0xDC00 <= ord(c) <= 0xDCFF)
        return f"bytes that the file's encoding does not have ({shown}) at character {found.start() + 1}"
    return f"half of a surrogate pair (U+{ord(first):04X}) at character {found.start() + 1}"


def mended(text: str) -> str:
    """Return the text with U+FFFD in the place of everything that `spoilt` would name."""
    return _SPOILT.sub("\ufffd", text)


@dataclass(slots=True)
class Piped:
    """A stream that can be read once, such as standard input."""

    stream: BinaryIO
    name: str = "standard input"
    head: bytes | None = field(default=None)

    def peek(self) -> bytes:
        """Return the first 64 KiB, which stay readable."""
        if self.head is None:
            parts = b""
            while len(parts) < HEAD and (more := self.stream.read(HEAD - len(parts))):
                parts += more
            self.head = parts
        return self.head

    def __str__(self) -> str:
        return self.name


Given = Path | Piped


def _raw(given: Given) -> Iterator[bytes]:
    if isinstance(given, Piped):
        yield given.peek()
        while chunk := given.stream.read(_CHUNK):
            yield chunk
        return
    with given.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            yield chunk


def chunks(given: Given) -> Iterator[bytes]:
    """Yield the bytes of a file, gunzipped where it is gzipped (told by its first bytes, not its name).

    Raises:
        Truncated: the compressed data end too soon or are damaged.
    """
    yield from _plain(_raw(given))


def _plain(raw: Iterator[bytes]) -> Iterator[bytes]:
    unzipped = _unzipped(raw)
    first = next(unzipped, b"")
    for mark, _, _ in _BOMS:  # a file saved twice has two: the second would be taken for the first character
        while first.startswith(mark + mark):
            first = first[len(mark) :]
    yield first
    yield from unzipped


def _unzipped(raw: Iterator[bytes]) -> Iterator[bytes]:
    first = next(raw, b"")
    if not first.startswith(b"\x1f\x8b"):
        yield first
        yield from raw
        return
    unzip = zlib.decompressobj(31)
    data: bytes | None = first
    while data is not None:
        before = unzip.copy()
        try:
            out = unzip.decompress(data)
        except zlib.error as fault:
            yield _up_to_the_fault(before, data)
            raise Truncated(f"the gzip data are damaged ({fault})") from None
        if out:
            yield out
        if unzip.eof:
            data = unzip.unused_data.lstrip(b"\0") or next(raw, None)
            if data is not None:
                unzip = zlib.decompressobj(31)
        else:
            data = next(raw, None)
    if not unzip.eof:
        raise Truncated("the gzip data end too soon; the file was probably not copied whole")


def _up_to_the_fault(unzip: Any, data: bytes) -> bytes:
    """Return what can be read of damaged data: a call that fails gives nothing of what it read before."""
    parts: list[bytes] = []
    try:
        for place in range(len(data)):
            parts.append(unzip.decompress(data[place : place + 1]))
    except zlib.error:
        pass
    return b"".join(parts)


def head(given: Given, size: int = HEAD) -> bytes:
    """Return the first bytes of a file, gunzipped."""
    parts: list[bytes] = []
    total = 0
    try:
        for chunk in _plain(iter([given.peek()])) if isinstance(given, Piped) else chunks(given):
            parts.append(chunk)
            total += len(chunk)
            if total >= size:
                break
    except Truncated:
        pass  # whoever reads the whole file meets it again, with its place
    return b"".join(parts)[:size]


class Flow(io.RawIOBase):
    """The bytes of a file as a stream; where compressed data break off it ends, and `fault` says why."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._left = memoryview(b"")
        self.fault: str | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def _next(self) -> bytes:
        """Return bytes of the source that are not empty, or none at its end."""
        try:
            return next((chunk for chunk in self._source if chunk), b"")
        except Truncated as fault:
            self.fault = str(fault)
            return b""

    def readinto(self, target: Any) -> int:
        """Fill a buffer, up to a carriage return where one would be the last byte; 0 at the end.

        Arrow takes a line feed that begins the next block for the second half of one, in quoted values too, and
        drops it.
        """
        while not self._left:
            if not (more := self._next()):
                return 0
            self._left = memoryview(more)
        if len(self._left) == 1 and self._left[0] == 13:
            self._left = memoryview(b"\r" + self._next())
        size = min(len(target), len(self._left))
        if size > 1 and self._left[size - 1] == 13:
            size -= 1
        target[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def binary(start: bytes) -> str | None:
    """Return what a file is that is no text ("a PDF document"), or None where it may be text."""
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    if start.startswith(tuple(bom for bom, _, _ in _BOMS)) or _wide(start):
        return None
    odd = sum(start.count(code) for code in range(32) if code not in (9, 10, 12, 13, 27))
    return "binary data, not text" if odd > max(2, 0.05 * len(start)) else None


def _wide(start: bytes) -> str | None:
    """Return the codec of UTF-16 without BOM, which shows in NULs at every other place."""
    half = len(start) // 2
    if half < 4:
        return None
    even, odd = start[0::2].count(0) / half, start[1::2].count(0) / half
    if odd > 0.3 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.3 and odd < 0.05 else None


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the bytes of a file mean characters: Python's codec, the name that is shown.

    `clean` says that the whole file decodes without a fault and holds no NUL.
    """

    codec: str
    name: str
    clean: bool


def encoding(given: Given, codec: str | None = None) -> Encoding:
    """Find out the encoding of a file; a pipe is judged by its first 64 KiB.

    Raises:
        DataError: the file is no text, or there is no such codec.
    """
    start = head(given)
    if what := binary(start):
        raise DataError(f"{given}: expected text, but the file is {what}. Save the data as UTF-8 CSV or JSON lines.")
    if codec is not None:
        try:
            name = codecs.lookup(codec).name
        except LookupError:
            raise DataError(f"{given}: there is no encoding '{codec}'; try utf-8, gb18030 or latin-1.") from None
        return Encoding(codec, f"{name} (as told)", _clean(given, codec))
    for bom, found, shown in _BOMS:
        if start.startswith(bom):
            return Encoding(found, shown, _clean(given, found))
    if wide := _wide(start):
        return Encoding(wide, "UTF-16 without BOM", _clean(given, wide))
    sample, accented = _not_utf8(given)
    if sample is None:
        return Encoding("utf-8", "UTF-8", not isinstance(given, Piped) and _clean(given, "utf-8"))
    found, shown = _eight_bits(sample, accented)
    return Encoding(found, shown, found != "utf-8" and _clean(given, found))


def _clean(given: Given, codec: str) -> bool:
    if isinstance(given, Piped):
        return False
    try:
        return not any("\0" in text for text in decoded(given, codec))
    except (UnicodeDecodeError, Truncated):
        return False


def decoded(given: Given, codec: str) -> Iterator[str]:
    """Yield the text of a file in pieces; raises UnicodeDecodeError at the first broken byte."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    for chunk in chunks(given):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", True)


def _not_utf8(given: Given) -> tuple[bytes | None, bool]:
    """Return bytes round the first place that is not UTF-8 (None: there is none), and whether UTF-8 went before."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    accented = False
    if isinstance(given, Piped):
        start = head(given)
        return (None if _decodes(start) else start), False
    try:
        for chunk in chunks(given):
            try:
                accented |= not decoder.decode(chunk).isascii()
            except UnicodeDecodeError as fault:
                valid = fault.object[: fault.start]
                return chunk[max(0, fault.start - HEAD) : fault.start + HEAD], accented or not valid.isascii()
    except Truncated:
        pass
    return None, accented


def _decodes(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _eight_bits(sample: bytes, accented: bool) -> tuple[str, str]:
    """Choose among broken UTF-8, GB18030, Windows-1252 and Latin-1 by the bytes from 0x80 on."""
    high = sum(byte >= 0x80 for byte in sample)
    bad = sum(map(len, _MARKED.findall(sample.decode("utf-8", "graftlm-mark"))))
    if accented and high - bad >= bad or high - bad > 4 * bad or not re.search(rb"[\x80-\xfd]", sample):
        return "utf-8", "UTF-8, with broken rows"
    if b"\xed" in sample and bad == sum(map(len, re.findall(rb"\xed[\xa0-\xbf][\x80-\xbf]", sample))):
        return "utf-8", "UTF-8, with broken rows"  # halves of surrogate pairs, as a text cut in UTF-16 leaves them
    paired = sum(map(len, re.findall(rb"(?:[\xa1-\xf7][\xa1-\xfe])+", sample)))
    if paired >= 0.85 * high:
        return "gb18030", "GB18030"
    letters = sum(byte >= 0x80 or chr(byte).isalpha() for byte in sample)
    if high > 0.3 * letters:  # no Western language has that many accents
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        if best is not None and best.encoding not in ("ascii", "utf_8"):
            return best.encoding, f"{best.encoding} (guessed by charset-normalizer)"
    if re.search(rb"[\x80-\x9f]", sample) and not re.search(rb"[\x81\x8d\x8f\x90\x9d]", sample):
        return "cp1252", "Windows-1252"
    return "latin-1", "Latin-1"


class Lines:
    """The physical lines of a file with their ends, broken bytes marked; `fault` says why it ended early."""

    def __init__(self, given: Given, codec: str) -> None:
        self._flow = Flow(chunks(given))
        self._text = io.TextIOWrapper(io.BufferedReader(self._flow), codec, "graftlm-mark", newline="")

    def __iter__(self) -> Iterator[str]:
        with self._text:
            yield from self._text

    @property
    def fault(self) -> str | None:
        """Return why the file ended before its end, or None."""
        return self._flow.fault
