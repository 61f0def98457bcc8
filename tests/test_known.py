"""What is known of large files from an earlier run: taken while all is as it was, made anew when anything changed."""

from __future__ import annotations

import json

import pytest

from graftlm import pipeline
from graftlm.core import cache, environment
from graftlm.pipeline import known
from graftlm.plugins.readers.csv import Csv
from graftlm.stages import checking
from graftlm.verbs.arguments import recipe_of


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))
    monkeypatch.setattr(known, "KEPT_FROM", 1)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"words of row {n % 90},{'abc'[n % 3]}" for n in range(100)]
    path.write_text("text,label\n" + "\n".join([*lines, "too,many,cells", ""]), encoding="utf-8")
    return path


def checked(path, *settings, **more):
    recipe, given = recipe_of(str(path), base="tiny", settings=["data.bad_rows=skip", *settings], **more)
    return pipeline.check(recipe, given, opened=recipe.backbone.open_on)


def kinds():
    return sorted(entry.kind for entry in cache.entries())


def never(*_, **__):
    raise AssertionError("done again")


def test_the_second_time_nothing_is_read_or_checked_again(path, monkeypatch):
    first = checked(path)
    assert kinds() == ["checks", "rows"]
    monkeypatch.setattr(Csv, "read", never)
    monkeypatch.setattr(checking, "check", never)
    again = checked(path)
    assert again.as_json() == first.as_json()
    assert json.loads(json.dumps(again.as_json())) == again.as_json()
    for name, rows in first.dataset.splits.items():
        other = again.dataset.splits[name]
        assert (other.name, other.target, other.fingerprint) == (rows.name, rows.target, rows.fingerprint)
        assert other.table.equals(rows.table)
    assert again.as_json()["sources"]["train"]["faults"][0]["where"] == f"{path}:102"


@pytest.mark.parametrize("change", ["content", "policy", "seed", "split", "program", "name"])
def test_whatever_changes_the_rows_makes_them_anew(path, monkeypatch, tmp_path, change):
    checked(path)
    settings = {"policy": ["data.bad_rows=keep"], "seed": ["train.seed=5"], "split": ["data.split.valid=0.2"]}
    if change == "content":
        path.write_text(path.read_text().replace("words of row 5,", "other words,"))
    if change == "program":
        monkeypatch.setattr(environment, "code_mark", lambda: "another")
    if change == "name":
        path = path.rename(tmp_path / "b.csv")
    checked(path, *settings.get(change, []))
    assert kinds().count("rows") == 2


def test_a_check_with_other_options_is_another_one(path):
    whole = checked(path)
    assert whole.counts["train"]["removed"] == 0
    removed = checked(path, "data.overlap=remove")
    assert removed.counts["train"]["removed"] > 0
    assert kinds().count("rows") == 1
    again = checked(path, "data.overlap=remove")
    assert again.dataset.fingerprints() == removed.dataset.fingerprints()


def test_small_files_objects_and_a_cache_of_nothing_are_not_kept(path, monkeypatch):
    recipe, given = recipe_of([{"text": f"a {n}", "label": "ab"[n % 2]} for n in range(40)])
    pipeline.check(recipe, given)
    monkeypatch.setenv(cache.LIMIT, "0")
    checked(path)
    assert kinds() == []
    monkeypatch.delenv(cache.LIMIT)
    monkeypatch.setattr(known, "KEPT_FROM", 1 << 20)
    checked(path)
    assert kinds() == []


def test_a_torn_entry_is_made_again(path):
    first = checked(path)
    entry = next(entry for entry in cache.entries() if entry.kind == "rows")
    file = cache.folder() / f"rows-{entry.key}" / "train.arrow"
    content = bytearray(file.read_bytes())
    content[300] ^= 1
    file.unlink()
    file.write_bytes(content)
    assert checked(path).as_json() == first.as_json()


def test_the_second_run_takes_the_figures_of_baselines_and_the_probe_too(tmp_path, monkeypatch):
    from tests.test_pipeline import QUICK, TEST, TRAIN

    from graftlm.pipeline import compare
    from graftlm.plugins.baselines.tfidf import Tfidf
    from graftlm.stages.training import encoding, features
    from graftlm.verbs.fitting import fit

    for module, name in ((compare, "KEPT_FROM"), (features, "KEPT_FROM"), (encoding, "CACHED_FROM")):
        monkeypatch.setattr(module, name, 10)
    first = fit(TRAIN, test=TEST, out=str(tmp_path / "first"), **QUICK)
    assert {"baselines", "probes", "tokens", "targets"} <= set(kinds())
    monkeypatch.setattr(Tfidf, "fit", never)
    monkeypatch.setattr(features.Features, "_solve", never)
    again = fit(TRAIN, test=TEST, out=str(tmp_path / "second"), **QUICK)
    for name in ("primary", "metrics", "baselines", "transfer"):
        assert again.metrics[name] == first.metrics[name]


def test_the_probe_of_very_many_rows_looks_at_a_part_of_every_class(monkeypatch):
    from graftlm.core import registry
    from graftlm.stages.reading import read_rows
    from graftlm.stages.training import features

    monkeypatch.setattr(features, "MOST_ROWS", 50)
    task = registry.make("task", "classification")
    rows = read_rows(
        [{"text": f"t {n}", "label": "rare" if n == 7 else "ab"[n % 2]} for n in range(400)], task, need_target=True
    )
    part = features._part(rows, 0)
    labels = part.column("label")
    assert len(part) == 51
    assert (labels.count("rare"), labels.count("a"), labels.count("b")) == (1, 25, 25)
    assert features._part(part.take(range(20)), 0).fingerprint == part.take(range(20)).fingerprint
