import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.core import textfile
from graftlm.core.errors import DataError
from graftlm.core.textfile import Lines, Piped, Truncated


def found(tmp_path, data: bytes):
    path = tmp_path / "x.txt"
    path.write_bytes(data)
    return textfile.encoding(path)


def test_utf8_stays_utf8_when_a_row_of_it_is_broken(tmp_path):
    text = "很好，下次再来\n" * 50
    encoding = found(tmp_path, text.encode() + b"\xff\xfe\n" + text.encode())
    assert (encoding.codec, encoding.clean) == ("utf-8", False)


def test_a_late_accent_is_still_seen(tmp_path):
    encoding = found(tmp_path, b"plain text\n" * 200_000 + "déjà vu à Paris\n".encode("latin-1"))
    assert (encoding.codec, encoding.clean) == ("latin-1", True)


def test_a_character_cut_by_a_chunk_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(textfile, "_CHUNK", 7)
    encoding = found(tmp_path, "很好，下次再来😀".encode())
    assert (encoding.codec, encoding.clean) == ("utf-8", True)


def test_utf16_without_bom(tmp_path):
    assert found(tmp_path, "plain words in a wide coat\n".encode("utf-16-le")).codec == "utf-16-le"
    assert found(tmp_path, "plain words in a wide coat\n".encode("utf-16-be")).codec == "utf-16-be"


def test_another_script_is_asked_of_charset_normalizer(tmp_path):
    text = "Это очень хороший отель, мы обязательно вернёмся сюда ещё раз.\n" * 20
    encoding = found(tmp_path, text.encode("cp1251"))
    assert text.encode("cp1251").decode(encoding.codec) == text


def test_an_encoding_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a")
    with pytest.raises(DataError, match="there is no encoding 'utf-9'"):
        textfile.encoding(path, "utf-9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fine 😀 很好", None),
        ("a\0b", "a NUL byte at character 2"),
        ("ab\udcff", r"bytes that the file's encoding does not have \(0xff\) at character 3"),
        ("\ud83d", r"half of a surrogate pair \(U\+D83D\) at character 1"),
    ],
)
def test_what_is_wrong_with_a_text(text, message):
    import re

    wrong = textfile.spoilt(text)
    assert wrong is None if message is None else re.fullmatch(message, wrong)
    assert textfile.spoilt(textfile.mended(text)) is None


@given(data=st.binary(max_size=300), cut=st.integers(0, 400), size=st.integers(1, 50))
def test_gzip_gives_the_same_bytes_or_says_that_they_end(data, cut, size):
    whole = gzip.compress(data[:100]) + gzip.compress(data[100:])  # two members, as `cat a.gz b.gz` makes
    stream = Piped(io.BytesIO(whole[:cut]))
    try:
        out = b"".join(textfile.chunks(stream))
    except Truncated:
        assert cut < len(whole)
    else:
        assert out in (data, data[:100]) or cut < 2


def test_a_damaged_gzip_is_told(tmp_path):
    path = tmp_path / "x.gz"
    data = bytearray(gzip.compress(b"some text\n" * 1000))
    data[20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(Truncated):
        list(textfile.chunks(path))
    lines = Lines(path, "utf-8")
    list(lines)
    assert lines.fault is not None


def test_lines_keep_their_ends_and_mark_broken_bytes(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"a\r\nb\rc\n\xff")
    assert list(Lines(path, "utf-8")) == ["a\r\n", "b\r", "c\n", "\udcff"]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_mark_that_stands_twice_is_no_character(tmp_path, codec, zipped):
    data = ("\ufeff\ufeff" + "text,label\n" + "no,0\n" * 20).encode(codec)
    path = tmp_path / "twice.csv"
    path.write_bytes(gzip.compress(data) if zipped else data)
    found = textfile.encoding(path)
    assert next(iter(textfile.Lines(path, found.codec))) == "text,label\n"
    assert "".join(textfile.decoded(path, found.codec)).startswith("text,label\n")
