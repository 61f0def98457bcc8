"""The cache on disk: what is whole is found, what is torn is made again, and it stays within its bounds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from graftlm.core import cache
from graftlm.core.errors import UserError

KEY = "ab" * 32


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))
    monkeypatch.delenv(cache.LIMIT, raising=False)
    return tmp_path / "kept"


def writes(content=b"x" * 1000):
    return lambda folder: (folder / "a.bin").write_bytes(content) and None


def key(number):
    return f"{number:064x}"


def test_what_is_put_is_found():
    assert cache.find("tokens", KEY) is None
    made = cache.put("tokens", KEY, writes(), "ten rows")
    assert cache.find("tokens", KEY) == made
    (entry,) = cache.entries()
    assert (entry.kind, entry.key, entry.about) == ("tokens", KEY, "ten rows")
    assert entry.bytes > 1000


@pytest.mark.parametrize("spoil", ["flip", "cut", "gone", "more", "mark", "mark gone"])
def test_what_is_torn_is_removed_and_told(spoil, caplog):
    made = cache.put("tokens", KEY, writes())
    file = made / "a.bin"
    if spoil == "flip":
        file.write_bytes(b"x" * 500 + b"y" + b"x" * 499)
    elif spoil == "cut":
        file.write_bytes(b"x" * 999)
    elif spoil == "gone":
        file.unlink()
    elif spoil == "more":
        (made / "b.bin").write_bytes(b"")
    elif spoil == "mark":
        (made / cache.MARK).write_text("{")
    else:
        (made / cache.MARK).unlink()
    caplog.set_level("INFO", "graftlm")
    assert cache.find("tokens", KEY) is None
    assert "made again" in caplog.text
    assert not made.exists()
    assert cache.put("tokens", KEY, writes()) == made


def test_the_entry_not_used_for_longest_goes_first(monkeypatch):
    monkeypatch.setenv(cache.LIMIT, "4k")
    for number in range(3):
        made = cache.put("tokens", key(number), writes())
        os.utime(made / cache.MARK, (number, number))
    assert cache.find("tokens", key(0)) is not None  # used again
    cache.put("tokens", key(3), writes())
    held = {entry.key for entry in cache.entries()}
    assert key(0) in held
    assert key(3) in held
    assert key(1) not in held


def test_more_than_the_limit_is_not_kept(monkeypatch, place):
    monkeypatch.setenv(cache.LIMIT, "500")
    assert cache.put("tokens", KEY, writes()) is None
    monkeypatch.setenv(cache.LIMIT, "0")
    assert cache.put("tokens", KEY, writes()) is None
    assert cache.entries() == []
    assert not list(place.glob(".tmp*"))


@pytest.mark.parametrize(("given", "size"), [("500M", 500 * 2**20), ("1.5g", 3 * 2**29), ("10 KB", 10240), ("7", 7)])
def test_sizes(given, size, monkeypatch):
    monkeypatch.setenv(cache.LIMIT, given)
    assert cache.limit() == size


def test_a_size_that_is_none_is_told(monkeypatch):
    monkeypatch.setenv(cache.LIMIT, "much")
    with pytest.raises(UserError, match=r"500M, 5G or 0; got 'much'"):
        cache.limit()


def test_a_fault_while_writing_leaves_nothing(place, caplog):
    def full(folder):
        (folder / "a.bin").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    caplog.set_level("INFO", "graftlm")
    assert cache.put("tokens", KEY, full) is None
    assert "going on without" in caplog.text
    assert list(place.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "file" / "inside"))
    caplog.set_level("INFO", "graftlm")
    assert cache.put("tokens", KEY, writes()) is None
    assert "going on without" in caplog.text


def test_kill_9_while_writing_leaves_nothing_that_counts(place):
    program = (
        "import os, signal; from graftlm.core import cache\n"
        "def write(folder):\n"
        "    (folder / 'a.bin').write_bytes(b'x'); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"cache.put('tokens', '{KEY}', write)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    assert cache.find("tokens", KEY) is None
    assert cache.entries() == []
    assert cache.put("tokens", KEY, writes()) is not None


def test_the_quicker_of_two_wins():
    def slow(folder):
        cache.put("tokens", KEY, writes())
        (folder / "a.bin").write_bytes(b"z" * 10)

    made = cache.put("tokens", KEY, slow)
    assert (made / "a.bin").read_bytes() == b"x" * 1000


def test_clearing_leaves_strangers_alone(place):
    cache.put("tokens", KEY, writes())
    (place / "mine.txt").write_text("keep")
    assert cache.clear() > 1000
    assert [path.name for path in place.iterdir()] == ["mine.txt"]
