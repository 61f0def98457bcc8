"""Atomic files: whole or not at all."""

from __future__ import annotations

import json

import pytest

from graftlm.core import files


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path):
    files.write_text(tmp_path / "deep" / "a.txt", "grüße 文\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "grüße 文\n".encode()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), files.writing(path) as temporary:  # noqa: PT012
        temporary.write_text("new")
        assert path.read_text() == "old"
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "bundle"
    with files.writing_folder(folder) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a").write_text("1")
    with files.writing_folder(folder) as temporary:
        (temporary / "b").write_text("2")
        assert (folder / "inner" / "a").read_text() == "1"
    assert [p.name for p in folder.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_failure_keeps_the_old_folder(tmp_path):
    folder = tmp_path / "bundle"
    with files.writing_folder(folder) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(RuntimeError), files.writing_folder(folder) as temporary:  # noqa: PT012
        (temporary / "b").write_text("2")
        raise RuntimeError
    assert [p.name for p in folder.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_swap_that_fails_brings_the_old_folder_back(tmp_path, monkeypatch):
    folder = tmp_path / "bundle"
    with files.writing_folder(folder) as temporary:
        (temporary / "a").write_text("1")
    replace, calls = files.os.replace, []

    def fail_second(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk gone")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", fail_second)
    with pytest.raises(OSError, match="disk gone"), files.writing_folder(folder) as temporary:
        (temporary / "b").write_text("2")
    assert [p.name for p in folder.iterdir()] == ["a"]


def test_json_keeps_order_and_text_and_refuses_nan(tmp_path):
    path = tmp_path / "m.json"
    files.write_json(path, {"b": "文", "a": [1, 2.5, None]})
    assert path.read_text(encoding="utf-8").startswith('{\n  "b": "文",\n  "a"')
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": "文", "a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, float("nan"))
    assert json.loads(path.read_text(encoding="utf-8"))["a"] == [1, 2.5, None]
