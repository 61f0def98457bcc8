import json

import numpy as np
import pyarrow as pa
import pytest

from graftlm.contracts.dataset import Dataset
from graftlm.contracts.rows import ID, WHERE, Rows, fingerprint
from graftlm.contracts.values import Finding
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection
from graftlm.stages.checking import check, raise_for
from graftlm.stages.reading import read


def rows(name, pairs, size=2):
    texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    table = pa.table(
        {
            "text": pa.array(texts, pa.string()),
            "label": pa.array(labels, pa.string()),
            ID: [str(i) for i in range(len(pairs))],
            WHERE: [f"{name}.csv:{i + 2}" for i in range(len(pairs))],
        }
    )
    table = pa.Table.from_batches(table.to_batches(max_chunksize=size), table.schema)
    return Rows(name, table, "label", fingerprint(table))


def dataset(**splits):
    return Dataset({name: rows(name, pairs) for name, pairs in splits.items()})


def codes(checked):
    return {finding.code: finding for finding in checked.findings}


TRAIN = [("good food", "a"), ("bad food", "b"), ("Good  food", "a"), ("很好", "a"), ("", "b"), ("bad food", "a")]


def test_duplicates_overlaps_contradictions_and_empty_texts_are_counted_and_named(choosing):
    data = dataset(
        train=TRAIN, valid=[("new", "a")], test=[("bad\tfood ", "b"), ("　很好", "b"), ("", "a"), ("x", "b")]
    )
    checked = check(data, choosing, DataSection())
    found = codes(checked)
    assert found["duplicates"].count == 1  # "Good  food" differs in case, "bad food" is the same
    assert found["duplicates"].rows == ("train.csv:7",)
    assert found["overlap"].count == 2
    assert found["overlap"].rows == ("test.csv:2 = train.csv:3", "test.csv:3 = train.csv:5")
    assert "test: 2 of 4 (50.0 %) texts stand in train too" in found["overlap"].message
    assert "data.overlap to 'remove'" in found["overlap"].message
    assert found["contradictions"].count == 2  # bad food, 很好
    assert "in 5 rows" in found["contradictions"].message
    assert set(found["contradictions"].rows) == {
        "train.csv:3",
        "train.csv:7",
        "test.csv:2",
        "train.csv:5",
        "test.csv:3",
    }
    assert [f.count for f in checked.findings if f.code == "empty_text"] == [1, 1]
    assert found["task"].message == "the task saw train, valid, test"
    assert checked.dataset is data
    assert checked.counts["train"] == {
        "rows": 6, "removed": 0, "kept": 6, "empty": 1, "repeated": 1, "shared": 3,
        "characters": {"median": 8.0, "longest": 9},
    }  # fmt: skip
    json.dumps(checked.as_json())


def test_wide_letters_and_spaces_of_other_scripts_are_the_same_text(choosing):
    data = dataset(train=[("ｇｏｏｄ　ｆｏｏｄ", "a"), ("x", "b")], test=[("good\u2003food\u00a0", "a")])
    assert codes(check(data, choosing, DataSection()))["overlap"].count == 1


def test_overlapping_training_rows_are_removed_on_request(choosing):
    data = dataset(train=TRAIN, valid=[("很好", "a")], test=[("bad food", "b"), ("", "a")])
    checked = check(data, choosing, DataSection(overlap="remove"))
    assert checked.dataset.train.column("text") == ["good food", "Good  food", ""]
    assert len(checked.dataset.splits["test"]) == 2
    assert checked.counts["train"]["removed"] == 3
    assert checked.counts["train"]["kept"] == 3
    overlaps = [finding for finding in checked.findings if finding.code == "overlap"]
    assert {finding.level for finding in overlaps} == {"note"}
    assert any("the 2 rows of train with them were removed" in finding.message for finding in overlaps)


def test_nothing_left_is_an_error(choosing):
    checked = check(dataset(train=[("a", "x")], test=[("a", "x")]), choosing, DataSection(overlap="remove"))
    with pytest.raises(DataError, match="every training row stands in another split too"):
        raise_for(checked.findings)


def test_two_pairs_are_the_same_only_if_both_texts_are(choosing):
    def pairs(name, second):
        one = rows(name, [("same", "a"), ("other", "b")])
        table = one.table.append_column("text_pair", pa.array(second))
        return Rows(name, table, "label", fingerprint(table))

    data = Dataset({"train": pairs("train", ["x", "y"]), "test": pairs("test", ["z", "y"])})
    assert codes(check(data, choosing, DataSection()))["overlap"].count == 1


def test_texts_that_are_too_long_in_tokens(choosing):
    data = dataset(train=[("w " * n, "a") for n in (1, 2, 3, 10, 20)])
    checked = check(
        data, choosing, DataSection(), limit=8,
        lengths=lambda given: np.array([len(text.split()) for text in given.column("text")]),
    )  # fmt: skip
    found = codes(checked)["long_text"]
    assert (found.level, found.count) == ("warning", 2)
    assert found.rows == ("train.csv:6", "train.csv:5")
    assert found.message == (
        "train: 2 of 5 (40.0 %) texts are longer than 8 tokens and are cut there; 38.9 % of all tokens are lost, "
        "the longest text has 20."
    )
    assert "95 % at most" in codes(check(data, choosing, DataSection()))["lengths"].message


def test_counts_that_do_not_add_up_are_an_error(choosing):
    data = read(DataSection(), choosing, {"train": [{"text": f"t{i}", "label": i % 2} for i in range(20)]})
    checked = check(data, choosing, DataSection())
    raise_for(checked.findings)
    facts = json.loads(json.dumps(data.facts))
    facts["sources"]["train"]["kept"] -= 1
    with pytest.raises(DataError, match="the counts do not add up: read 20, kept 19"):
        raise_for(check(Dataset(data.splits, facts), choosing, DataSection()).findings)


def test_only_empty_texts_are_an_error(choosing):
    checked = check(dataset(train=[("", "a"), (None, "b"), ("　", "b")]), choosing, DataSection())
    with pytest.raises(DataError, match=r"train: 3 of 3 \(100.0 %\) texts are empty. \(train.csv:2, "):
        raise_for(checked.findings)


def test_all_errors_are_raised_together():
    raise_for([Finding("warning", "w", "mind this")])
    with pytest.raises(DataError) as caught:
        raise_for([Finding("error", "a", "first"), Finding("note", "n", "no"), Finding("error", "b", "second")])
    assert str(caught.value) == "The data have several faults:\n  1. first\n  2. second"


@pytest.mark.data
def test_chnsenticorp_repeats_its_test_and_dev_texts_in_train(data_folder, choosing):
    folder = data_folder / "chnsenticorp"
    section = DataSection(**{s: str(folder / f) for s, f in
                             (("train", "train.jsonl"), ("valid", "dev.jsonl"), ("test", "test.jsonl"))})  # fmt: skip
    checked = check(read(section, choosing), choosing, section)
    overlap = {
        f.message.split(":")[0]: f.count for f in checked.findings if f.code == "overlap" and "in train" in f.message
    }
    assert 325 <= overlap["test"] <= 335
    assert 330 <= overlap["valid"] <= 340
    removed = check(read(section, choosing), choosing, section.model_copy(update={"overlap": "remove"}))
    again = check(removed.dataset, choosing, section)
    assert not any("in train" in f.message for f in again.findings if f.code == "overlap")


def test_checking_does_not_import_torch():
    import subprocess
    import sys

    code = (
        "import sys; from graftlm.stages import checking, reading; from graftlm.core import registry;"
        "[registry.load('reader', n) for n in registry.names('reader')];"
        "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'datasets', 'sklearn', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
