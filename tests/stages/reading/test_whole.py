import json

import pyarrow as pa
import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.csv import Csv
from graftlm.recipe import DataSection
from graftlm.stages.reading import read, read_rows, stream

ROWS = [{"text": f"text number {i}", "label": "ab"[i % 2]} for i in range(40)]


def table(path, rows=ROWS, header=None):
    names = header or list(rows[0])
    lines = [",".join(names), *(",".join(str(row.get(n, "")) for n in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_validation_rows_are_cut_stratified_and_seeded(tmp_path, choosing):
    section = DataSection(train=table(tmp_path / "train.csv"))
    one, same, other = (read(section, choosing, seed=seed) for seed in (0, 0, 1))
    assert {name: len(rows) for name, rows in one.splits.items()} == {"train": 36, "valid": 4}
    assert sorted(one.splits["valid"].column("label")) == ["a", "a", "b", "b"]
    assert one.fingerprints() == same.fingerprints() != other.fingerprints()
    assert one.facts["splits"]["valid"] == {
        "rows": 4,
        "from": "train",
        "made": {"by": "stratified", "share": 0.1, "seed": 0},
    }
    both = {row["text"] for rows in one.splits.values() for row in rows.table.to_pylist()}
    assert both == {row["text"] for row in ROWS}
    json.dumps(one.facts)


def test_rows_carry_ids_places_and_facts(tmp_path, choosing):
    path = table(tmp_path / "a.csv", [{"id": f"row-{i}", **row} for i, row in enumerate(ROWS)])
    data = read(DataSection(train=path, test=table(tmp_path / "b.csv", ROWS[:4])), choosing)
    example = data.splits["test"].examples()[3]
    assert (example.id, example.where, example.target) == ("4", f"{tmp_path}/b.csv:5", "b")
    assert data.train.examples(0, 1)[0].id.startswith("row-")
    source = data.facts["sources"]["train"]
    assert (source["reader"], source["read"], source["kept"], source["skipped"]) == ("csv", 40, 40, 0)
    assert source["columns"]["label"] == {"column": "label", "why": "by its name"}
    assert source["columns"]["id"] == {"column": "id", "why": "by its name"}


def test_labels_that_are_numbers_become_text(choosing):
    rows = [{"text": f"t{i}", "label": float(i % 2)} for i in range(10)]
    assert set(read(DataSection(), choosing, {"train": rows}).train.column("label")) == {"0", "1"}


def test_objects_take_the_place_of_files(tmp_path, choosing):
    section = DataSection(train="nowhere.csv", split={"valid": 0})
    data = read(section, choosing, {"train": pa.Table.from_pylist(ROWS), "test": ROWS[:2]})
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 40, "test": 2}


def test_splits_from_a_column(tmp_path, choosing):
    rows = [{**row, "fold": ["train", "train", "dev", "测试"][i % 4]} for i, row in enumerate(ROWS)]
    data = read(DataSection(train=table(tmp_path / "a.csv", rows), split={"column": "fold"}), choosing)
    assert {name: len(found) for name, found in data.splits.items()} == {"train": 20, "valid": 10, "test": 10}
    assert data.facts["splits"]["test"]["made"] == {"by": "column", "column": "fold"}
    with pytest.raises(DataError, match="is given twice: by data.test and by column 'fold'"):
        read(
            DataSection(train=str(tmp_path / "a.csv"), test=str(tmp_path / "a.csv"), split={"column": "fold"}), choosing
        )


def test_test_and_validation_shares_are_of_all_rows(choosing):
    data = read(DataSection(split={"valid": 0.25, "test": 0.25}), choosing, {"train": ROWS})
    assert {name: len(found) for name, found in data.splits.items()} == {"train": 20, "valid": 10, "test": 10}


def test_by_group_and_by_time(choosing):
    rows = [{**row, "user": f"u{i % 5}", "when": i} for i, row in enumerate(ROWS)]
    data = read(DataSection(split={"by": "group", "group": "user", "valid": 0.2}), choosing, {"train": rows})
    assert len(data.splits["valid"]) == 8
    texts = set(data.splits["valid"].column("text"))
    assert len({row["user"] for row in rows if row["text"] in texts}) == 1
    data = read(
        DataSection(split={"by": "time", "time": "when", "valid": 0.1, "test": 0.1}), choosing, {"train": rows[::-1]}
    )
    assert sorted(data.splits["test"].column("text")) == [f"text number {i}" for i in range(36, 40)]
    assert sorted(data.splits["valid"].column("text")) == [f"text number {i}" for i in range(32, 36)]
    with pytest.raises(DataError, match="data.split.by is 'group': name the column with data.split.group"):
        read(DataSection(split={"by": "group"}), choosing, {"train": rows})
    with pytest.raises(DataError, match="there is no column 'usr' .*Did you mean 'user'"):
        read(DataSection(split={"by": "group", "group": "usr"}), choosing, {"train": rows})


def test_a_limit_leaves_rows_unused_and_counts_them(choosing):
    data = read(DataSection(limit=10), choosing, {"train": ROWS})
    assert len(data.train) == 10
    assert data.facts["unused"] == 26
    other = read(DataSection(limit=10), choosing, {"train": ROWS}, seed=5)
    assert other.train.fingerprint != data.train.fingerprint


def test_rows_without_target_follow_the_policy(tmp_path, choosing):
    rows = [*ROWS[:5], {"text": "no label here", "label": " "}, *ROWS[5:]]
    path = table(tmp_path / "a.csv", rows)
    with pytest.raises(DataError, match=r"a.csv:7: column 'label' is empty; expected the row's target"):
        read(DataSection(train=path), choosing)
    data = read(DataSection(train=path, bad_rows="skip", split={"valid": 0}), choosing)
    source = data.facts["sources"]["train"]
    assert (source["read"], source["kept"], source["skipped"]) == (41, 40, 1)
    assert source["faults"] == [{"where": f"{path}:7", "reason": "column 'label' is empty", "done": "skipped"}]
    assert [finding.code for finding in data.findings] == ["skipped"]


def test_ids_count_the_rows_that_were_left_out(tmp_path, choosing):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfirst,a\nbad,bad,bad\nthird,b\n")
    rows = read_rows(str(path), choosing, reader=Csv(), bad_rows="skip", need_target=True)
    assert [(e.id, e.fields["text"]) for e in rows.examples()] == [("1", "first"), ("3", "third")]


def test_repeated_ids_are_replaced_and_it_is_said(choosing):
    rows = [{"id": "same", **row} for row in ROWS]
    data = read(DataSection(split={"valid": 0}), choosing, {"train": rows})
    assert [e.id for e in data.train.examples(0, 3)] == ["1", "2", "3"]
    assert data.findings[0].code == "ids"
    assert "repeats 39 ids" in data.findings[0].message


def test_rows_to_judge_may_go_without_a_target(choosing):
    rows = read_rows([{"text": "a"}, {"text": "b"}], choosing)
    assert (len(rows), rows.target) == (2, None)
    rows = read_rows([{"text": "a", "label": 1}], choosing)
    assert (rows.target, rows.column("label")) == ("label", ["1"])
    with pytest.raises(DataError, match="no column was found for 'label'"):
        read_rows([{"text": "a"}, {"text": "b"}], choosing, need_target=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("text,label\n", "found the header alone \\('text', 'label'\\)"),
        ("\n\n", "the file is empty"),
        ("alpha,beta\nlong text one,long text two\n" * 30, "no column was found|columns"),
    ],
)
def test_files_without_rows_or_columns(tmp_path, choosing, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read(
            DataSection(train=str(path), bad_rows="stop", columns={"label": "nope"} if "alpha" in text else {}),
            choosing,
        )
    assert "a.csv" in str(caught.value)


def test_when_no_row_can_be_read_the_first_reason_is_told(tmp_path, choosing):
    path = tmp_path / "a.jsonl"
    path.write_text("not json\nnot json either\n")
    with pytest.raises(DataError, match=r"none of 2 rows could be read; the first: .*a.jsonl:1: this is not JSON"):
        read(DataSection(train=str(path), bad_rows="skip"), choosing)


def test_no_data_and_odd_splits_are_refused(choosing):
    with pytest.raises(DataError, match="No training data are named; set data.train"):
        read(DataSection(), choosing)
    with pytest.raises(DataError, match="There is no split 'tset'"):
        read(DataSection(), choosing, {"train": ROWS, "tset": ROWS})


@pytest.mark.data
def test_real_files_read_or_say_why_not(data_folder, choosing):
    refused = {}
    for path in sorted(data_folder.glob("*/raw/*")):
        try:
            data = read(DataSection(train=str(path)), choosing)
        except DataError as fault:
            refused[path] = str(fault)
        else:
            assert sum(map(len, data.splits.values())) == data.facts["sources"]["train"]["kept"]
    for path, message in refused.items():
        assert path.name in message
        assert len(message) > 60
    conll = data_folder / "conll2003" / "raw" / "eng.testa"
    with pytest.raises(DataError, match="no column was found for 'text'.*tokens.*tags"):
        read(DataSection(train=str(conll)), choosing)
    intents = read(DataSection(train=str(data_folder / "banking77" / "raw" / "train.csv")), choosing)
    assert sum(map(len, intents.splits.values())) == 10_003


@pytest.fixture
def choosy(choosing):
    class Choosy(type(choosing)):
        """Finds fault with texts that hold a seven."""

        def fault(self, example):
            return f"a seven for {example.target}" if "7" in example.fields["text"] else None

    return Choosy()


def test_rows_that_the_task_finds_fault_with_follow_the_policy(tmp_path, choosy):
    path = table(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a.csv:9: a seven for b\. 3 more rows have faults\. Mend the row"):
        read(DataSection(train=path), choosy)
    data = read(DataSection(train=path, bad_rows="skip", split={"valid": 0}), choosy)
    assert (len(data.train), data.facts["sources"]["train"]["skipped"]) == (36, 4)
    assert data.facts["sources"]["train"]["faults"][0] == {
        "where": f"{path}:9",
        "reason": "a seven for b",
        "done": "skipped",
    }
    heard = []
    rows = [one for chunk in stream(path, choosy, bad_rows="skip", on_fault=heard.append) for one in chunk]
    assert len(rows) == 36
    assert [fault.where[-2:] for fault in heard] == [":9", "19", "29", "39"]
    with pytest.raises(DataError, match="a.csv:9: a seven for None"):
        list(stream(path, choosy))


def test_guessed_columns_are_told_beside_a_fault(tmp_path, choosy):
    path = tmp_path / "a.csv"
    path.write_text(
        "x,y\n" + "".join(f"some words with a 7 in row {n},{'ab'[n % 2]}\n" for n in range(30)), encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"a seven for a\..*Columns were guessed.*: 'x' as text, 'y' as label"):
        read(DataSection(train=str(path)), choosy)
    with pytest.raises(DataError) as caught:
        read(DataSection(train=str(path), columns={"text": "x", "label": "y"}), choosy)
    assert "Columns were guessed" not in str(caught.value)
