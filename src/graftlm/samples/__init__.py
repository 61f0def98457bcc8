"""Sample data that comes with the package, so that the first run needs no download and no file."""

from __future__ import annotations

from pathlib import Path

from graftlm.core.errors import UserError, listing, near

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the sample data sets, sorted."""
    return sorted(folder.name for folder in FOLDER.iterdir() if (folder / "LICENSE").is_file())


def splits(name: str) -> list[str]:
    """Return the splits of a sample data set, sorted.

    Raises:
        UserError: there is no such data set.
    """
    if name not in names():
        raise UserError(f"There is no sample data called '{name}'.{near(name, names())} Known: {listing(names())}.")
    return sorted(file.name.partition(".")[0] for file in (FOLDER / name).glob("*.csv.gz"))


def path(name: str, split: str) -> Path:
    """Return the file of one split: CSV with a header, compressed with gzip.

    Raises:
        UserError: there is no such data set or split.
    """
    if split not in splits(name):
        known = splits(name)
        raise UserError(f"'{name}' has no split called '{split}'.{near(split, known)} Known: {listing(known)}.")
    return FOLDER / name / f"{split}.csv.gz"


def licence(name: str) -> str:
    """Return the licence and the attribution of a sample data set.

    Raises:
        UserError: there is no such data set.
    """
    splits(name)
    return (FOLDER / name / "LICENSE").read_text(encoding="utf-8")
