"""The cache on disk: folders of files that are costly to make again, bounded, checked, never believed when torn.

An entry is a folder `KIND-KEY` with its files and `entry.json`, which tells their sizes and CRC-32 and is written
last; the folder gets its name when it is complete. An entry that is not what `entry.json` says is removed and made
again. A disk that is full or cannot be written means a note and going on without.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from graftlm.core import log
from graftlm.core.errors import UserError

FOLDER, LIMIT = "GRAFTLM_CACHE", "GRAFTLM_CACHE_LIMIT"
USUAL_LIMIT = 5 * 2**30
MARK = "entry.json"
FORMAT = 1
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_NAME = re.compile(r"[a-z]+-[0-9a-f]{16,64}")
_STALE = 24 * 3600.0  # seconds after which a folder that was never finished is swept away


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its kind, key, bytes on disk, when it was last used (seconds since 1970), and what it is of."""

    kind: str
    key: str
    bytes: int
    used: float
    about: str

    def as_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return asdict(self)


def folder() -> Path:
    """Return the folder of the cache: GRAFTLM_CACHE, else graftlm in the user's cache folder."""
    if given := os.environ.get(FOLDER):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "graftlm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home() / "AppData" / "Local"))) / "graftlm" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graftlm"


def limit() -> int:
    """Return how many bytes the cache may hold: GRAFTLM_CACHE_LIMIT ("500M", "5G", "0" for none), 5 GiB by itself.

    Raises:
        UserError: the variable is no size.
    """
    given = os.environ.get(LIMIT)
    if not given:
        return USUAL_LIMIT
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", given.lower())
    if found is None:
        raise UserError(f"{LIMIT}: expected a size such as 500M, 5G or 0; got '{given}'.")
    return int(float(found[1]) * _UNITS[found[2]])


def find(kind: str, key: str) -> Path | None:
    """Return the folder of an entry that is whole, and mark it as used; None where there is none."""
    place = folder() / f"{kind}-{key}"
    if not place.is_dir():
        return None
    if not _whole(place):
        log.note(f"cache: an entry is not what was written; made again ({place.name[:24]})")
        shutil.rmtree(place, ignore_errors=True)
        return None
    try:
        os.utime(place / MARK)
    except OSError:
        pass  # a cache that cannot be written can be read all the same
    return place


def put(kind: str, key: str, write: Callable[[Path], None], about: str = "") -> Path | None:
    """Make an entry with `write(folder)` and return its folder; None where it cannot be kept, which is told."""
    most = limit()
    if most <= 0:
        return None
    root = folder()
    place, temporary = root / f"{kind}-{key}", root / f".tmp-{uuid.uuid4().hex[:12]}"
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        files = {path.name: [path.stat().st_size, _crc(path)] for path in sorted(temporary.iterdir())}
        size = sum(one[0] for one in files.values())
        if size > most:
            log.note(f"cache: {size / 2**20:,.0f} MiB are more than {LIMIT} allows; not kept")
            return None
        _trim(most - size, temporary)
        mark = {"format": FORMAT, "files": files, "about": about, "made": time.time()}
        (temporary / MARK).write_text(json.dumps(mark, ensure_ascii=False), encoding="utf-8")
        try:
            temporary.rename(place)
        except OSError:
            if not _whole(place):  # else another process was quicker: its entry is as good
                raise
        return place
    except OSError as fault:
        log.note(f"cache: going on without, since '{root}' cannot be written ({fault.strerror or fault})")
        return None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def entries() -> list[Entry]:
    """Return what the cache holds, the last used first."""
    root = folder()
    found = []
    for place in root.iterdir() if root.is_dir() else ():
        if not _NAME.fullmatch(place.name):
            continue
        try:
            mark = json.loads((place / MARK).read_text(encoding="utf-8"))
            size = sum(path.stat().st_size for path in place.iterdir())
            used = (place / MARK).stat().st_mtime
        except (OSError, ValueError):
            continue
        kind, _, key = place.name.partition("-")
        found.append(Entry(kind, key, size, used, str(mark.get("about", ""))))
    return sorted(found, key=lambda entry: -entry.used)


def clear() -> int:
    """Remove every entry, and what was left unfinished; return the bytes that are free now.

    Raises:
        UserError: the cache cannot be written.
    """
    root, freed = folder(), sum(entry.bytes for entry in entries())
    for place in root.iterdir() if root.is_dir() else ():
        if _NAME.fullmatch(place.name) or place.name.startswith(".tmp-"):
            try:
                shutil.rmtree(place)
            except OSError as fault:
                raise UserError(f"The cache entry '{place}' cannot be removed: {fault.strerror or fault}.") from None
    return freed


def _trim(room: int, own: Path) -> None:
    """Remove the entries that were not used for the longest time until the rest takes no more than `room` bytes.

    What others left unfinished is swept away by its age beside `own`, the folder that was made just now: the clock on
    the wall may have jumped since.
    """
    root, held = folder(), 0
    for entry in entries():
        held += entry.bytes
        if held > room:
            shutil.rmtree(root / f"{entry.kind}-{entry.key}", ignore_errors=True)
    for place in root.glob(".tmp-*"):
        try:
            if place != own and own.stat().st_mtime - place.stat().st_mtime > _STALE:
                shutil.rmtree(place, ignore_errors=True)
        except OSError:
            continue  # another process was quicker


def _whole(place: Path) -> bool:
    try:
        mark = json.loads((place / MARK).read_text(encoding="utf-8"))
        files = mark["files"]
        return (
            mark["format"] == FORMAT
            and {path.name for path in place.iterdir()} == {*files, MARK}
            and all((place / name).stat().st_size == size for name, (size, _) in files.items())
            and all(_crc(place / name) == crc for name, (_, crc) in files.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _crc(path: Path) -> int:
    found = 0
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            found = zlib.crc32(block, found)
    return found
