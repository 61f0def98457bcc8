"""A data set of the Hugging Face Hub by its name: `owner/name`, or `owner/name:split`."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Reader
from graftlm.core.errors import DataError, listing
from graftlm.core.optional import need

_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(:[\w.+-]+)?")
_FILES = re.compile(r"\.(csv|tsv|tab|txt|text|jsonl?|ndjson|parquet|pq|xlsx?|gz|zip|ya?ml|conll)(:|$)", re.IGNORECASE)
_PATIENCE = 4.0  # seconds until the network counts as absent


class Hub(Reader):
    """Downloads through `datasets` and its cache; class numbers become class names. No code of the Hub is run."""

    source: ClassVar[str] = "huggingface.co/docs/datasets"
    config: str | None = None
    """Configuration of the data set, where it has several."""
    revision: str | None = None
    """Branch, tag or commit."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, str) or not _NAME.fullmatch(given) or _FILES.search(given) or Path(given).exists():
            return 0.0
        return 0.6 if "/" in given or ":" in given else 0.4

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        datasets = need("datasets", "hub", f"The Hub data set '{given}'")
        name, _, split = str(given).partition(":")
        online = _reachable()
        try:
            with contextlib.nullcontext() if online else _offline(datasets):
                loaded = datasets.load_dataset(name, self.config, revision=self.revision)
        except Exception as fault:  # the library raises a dozen kinds, all of them for what the user named
            why = " ".join(str(fault).split())[:300]
            if not online:
                raise DataError(
                    f"There is no file or folder '{name}', and the Hub cannot be reached to look for a data set of "
                    "that name; no copy is in the cache either. Check the path, or connect to the network, or "
                    "download the data on another machine and name the files."
                ) from None
            raise DataError(
                f"There is no file or folder '{name}', and the Hub gives no such data set ({why})."
            ) from None
        splits = list(loaded)
        wanted = split or ("train" if "train" in splits else splits[0] if len(splits) == 1 else "")
        if wanted not in splits:
            raise DataError(
                f"The Hub data set '{name}' has no split '{wanted or 'train'}'; splits: {listing(splits)}. "
                f"Name one, such as {name}:{splits[0]}."
            )
        return _corpus(loaded[wanted], f"{name}:{wanted}", self.revision)


@contextlib.contextmanager
def _offline(datasets: Any) -> Iterator[None]:
    """Let the library look into its cache alone: it would ask the network again and again otherwise."""
    from huggingface_hub import constants

    switches: tuple[Any, ...] = (datasets.config, constants)
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch in switches:
            switch.HF_HUB_OFFLINE = True
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = value


def _corpus(data: Any, source: str, revision: str | None) -> Corpus:
    table = data.with_format("arrow")[:]
    for name, feature in data.features.items():
        place = table.column_names.index(name)
        if hasattr(feature, "int2str"):
            numbers = table.column(name).to_pylist()
            names = [None if n is None or n < 0 else feature.int2str(n) for n in numbers]
            table = table.set_column(place, name, pa.array(names, pa.string()))
        elif pa.types.is_large_string(table.schema.field(name).type):
            table = table.set_column(place, name, table.column(name).cast(pa.string()))
    facts = {"form": "Hub data set", "revision": revision or "newest", "fingerprint": str(data._fingerprint)}
    return Corpus(table, source, None, facts)


def _reachable() -> bool:
    """Tell within a few seconds whether the Hub answers at all; proxies of the environment are used."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PATIENCE).close()
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, ValueError):
            return
        else:
            answered.set()

    # Looking a name up has no time limit of its own.
    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(_PATIENCE)
    return answered.is_set()
