"""One changed byte, one cut: always refused, and the message names the file."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from graftlm.bundle import open_bundle, write
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import BundleError


@pytest.fixture(scope="module", params=["native", "pooled"])
def whole(request, tmp_path_factory, tiny) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "bundle"
    task = registry.make("task", "classification")
    labels = ("差评", "好评", "其他")
    write(folder, tiny.model(request.param, labels), task, Space(labels, 3), max_length=32)
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")


def test_a_changed_byte_is_found(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(whole, copy)
    chance = random.Random(0)
    tried = 0
    for path in _files(copy):
        kept = path.read_bytes()
        places = {0, 1, 7, 8, len(kept) - 1, *(chance.randrange(len(kept)) for _ in range(35))}
        for place in sorted(place for place in places if 0 <= place < len(kept)):
            changed = bytearray(kept)
            changed[place] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            with pytest.raises(BundleError) as caught:
                open_bundle(copy)
            assert path.name in str(caught.value), (path, place, str(caught.value))
            tried += 1
        path.write_bytes(kept)
    open_bundle(copy)
    assert tried >= 190


def test_a_cut_file_is_found(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(whole, copy)
    chance = random.Random(1)
    for path in _files(copy):
        kept = path.read_bytes()
        for size in sorted({0, 1, 8, len(kept) - 1, *(chance.randrange(len(kept)) for _ in range(9))}):
            if size >= len(kept):
                continue
            path.write_bytes(kept[:size])
            with pytest.raises(BundleError) as caught:
                open_bundle(copy)
            assert path.name in str(caught.value)
        path.write_bytes(kept + b"\n")
        with pytest.raises(BundleError) as caught:
            open_bundle(copy)
        assert path.name in str(caught.value)
        path.write_bytes(kept)


def test_a_missing_file_is_found(whole: Path, tmp_path: Path) -> None:
    for path in _files(whole):
        copy = tmp_path / path.name.replace(".", "_")
        shutil.copytree(whole, copy)
        inside = copy / path.relative_to(whole)
        inside.unlink()
        with pytest.raises(BundleError) as caught:
            open_bundle(copy)
        assert inside.name in str(caught.value)
        shutil.rmtree(copy)


def test_swapped_files_are_found(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(whole, copy)
    one, other = copy / "config.json", copy / "tokenizer_config.json"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    with pytest.raises(BundleError, match=r"config\.json: expected \d+ bytes; got \d+ bytes"):
        open_bundle(copy)
