"""The sample data is what its source published, and says whose it is."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
from pathlib import Path

import pytest

from graftlm import samples
from graftlm.core.errors import UserError

# sha256sum of banking_data/train.csv and test.csv
PUBLISHED = {
    "train": (10_003, "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b"),
    "test": (3_080, "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d"),
}


@pytest.mark.parametrize("split", PUBLISHED)
def test_banking77_is_the_published_file(split):
    rows, digest = PUBLISHED[split]
    raw = gzip.decompress(samples.path("banking77", split).read_bytes())
    table = list(csv.DictReader(raw.decode("utf-8").splitlines(keepends=True)))
    assert hashlib.sha256(raw).hexdigest() == digest
    assert len(table) == rows
    assert set(table[0]) == {"text", "category"}
    assert len({row["category"] for row in table}) == 77


@pytest.mark.data
@pytest.mark.parametrize("split", PUBLISHED)
def test_banking77_equals_the_copy_in_the_data_folder(split):
    if not (folder := os.environ.get("GRAFTLM_DATA")):
        pytest.skip("GRAFTLM_DATA names no folder of public data sets")
    copy = Path(folder) / "banking77" / "raw" / f"{split}.csv"
    assert gzip.decompress(samples.path("banking77", split).read_bytes()) == copy.read_bytes()


def test_every_sample_has_splits_and_carries_its_licence():
    assert "banking77" in samples.names()
    for name in samples.names():
        assert samples.splits(name)
        assert "Licence:" in samples.licence(name)
        assert name.lower() in samples.licence(name).lower()
    assert "CC BY 4.0" in samples.licence("banking77")


def test_an_unknown_name_or_split_is_refused_with_the_near_one():
    with pytest.raises(UserError, match=r"no sample data called 'banking7'\. Did you mean 'banking77'\? Known: "):
        samples.path("banking7", "train")
    with pytest.raises(UserError, match="'banking77' has no split called 'tests'. Did you mean 'test'"):
        samples.path("banking77", "tests")
