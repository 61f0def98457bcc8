"""Files as people bring them, through the real command: read, or refused by one message; every lost row is named."""

from __future__ import annotations

import gzip
import json
import random
import re

import pytest

from graftlm.cli.main import main

ROWS = [(f"some words of row {n}", "ab"[n % 2]) for n in range(1, 5201)]


def lines(rows=ROWS, header="text,label"):
    return [header, *(f"{text},{label}" for text, label in rows)]


def csv(change=None, ends="\n", rows=ROWS[:40]):
    found = lines(rows)
    if change:
        change(found)
    return ends.join([*found, ""]).encode("utf-8", "surrogateescape")


def put(number, line):
    def change(found):
        found[number] = line

    return change


def quoted(found):
    for number in range(1, len(found)):
        text, _, label = found[number].rpartition(",")
        found[number] = f'"{text}",{label}'
    found[7] = '"never closed,a'


def jsonl(change=None):
    found = [json.dumps({"text": text, "label": label}) for text, label in ROWS[:40]]
    if change:
        change(found)
    return "\n".join([*found, ""]).encode()


def check(capsys, path, policy, *more):
    """Run graft check; return its exit code, its JSON (None where there is none) and what it said in the end."""
    code = main(["check", str(path), "--json", "--set", f"data.bad_rows={policy}", *more])
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    return code, json.loads(told.out) if told.out else None, told.err


BROKEN = {
    # name: file name, bytes, line that is lost, what the message says, rows seen, rows of which a part can be kept
    "broken UTF-8 in row 5,000": (
        "a.csv", csv(put(5000, "some \udcff\udcfe words,a"), rows=ROWS), 5001, "0xff 0xfe", 5200, 1,
    ),
    "a row too wide": ("a.csv", csv(put(7, "a,b,c,d")), 8, "expected 2 columns (text, label), found", 40, 1),
    "a row with too few columns": ("a.csv", csv(put(7, "alone")), 8, "found 1 column", 40, None),
    "an unclosed quote": ("a.csv", csv(quoted), 8, "a quote is opened and never closed", 40, 1),
    "a NUL byte": ("a.csv", csv(put(7, "some \0 words,a")), 8, "a NUL byte at character 6", 40, 1),
    "NUL in JSON lines": ("a.jsonl", jsonl(put(7, '{"text": "a\\u0000b", "label": "a"}')), 8, "a NUL byte", 40, 1),
    "half a character in JSON lines": (
        "a.jsonl", jsonl(put(7, '{"text": "so \\ud83d sad", "label": "a"}')), 8, "half of a surrogate pair", 40, 1,
    ),
    "a line that is no JSON": ("a.jsonl", jsonl(put(7, '{"text": "a"')), 8, "this is not JSON", 40, 0),
    "a line that is no object": ("a.jsonl", jsonl(put(7, '["a", "b"]')), 8, "expected a JSON object", 40, 0),
    "half a character in CSV": ("a.csv", csv(put(7, "so \udced\udca0\udcbd sad,a")), 8, "0xed 0xa0 0xbd", 40, 1),
    "a row without its label": ("a.csv", csv(put(7, "some words,")), 8, "column 'label' is empty", 40, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_stops_is_skipped_or_is_kept_in_part(tmp_path, capsys, name):
    file, data, line, reason, rows, mendable = BROKEN[name]
    path = tmp_path / file
    path.write_bytes(data)
    code, told, said = check(capsys, path, "stop")
    assert (code, told) == (2, None)
    assert f"{path}:{line}: " in said
    assert reason in said
    assert "data.bad_rows" in said
    for policy, kept in (("skip", rows - 1), ("keep", rows - 1 + (mendable or 0))):
        code, told, _ = check(capsys, path, policy)
        source = told["sources"]["train"]
        assert code == 0
        assert source["read"] == rows == source["kept"] + source["skipped"]
        assert source["kept"] == kept == sum(split["rows"] for split in told["splits"].values())
        (fault,) = source["faults"]
        assert fault["where"] == f"{path}:{line}"
        # None: what is left of the row has no label
        assert (reason if mendable is not None or policy == "skip" else "column 'label' is empty") in fault["reason"]
        assert fault["done"] == ("skipped" if kept == rows - 1 else "kept in part")


def test_every_skipped_row_is_named_however_many(tmp_path, capsys):
    path = tmp_path / "a.csv"
    found = lines(ROWS[:300])
    bad = sorted(random.Random(0).sample(range(1, 301), 90))
    for number in bad:
        found[number] = "one,two,three"
    path.write_text("\n".join(found) + "\n")
    _, told, _ = check(capsys, path, "skip")
    source = told["sources"]["train"]
    assert [fault["where"] for fault in source["faults"]] == [f"{path}:{number + 1}" for number in bad]
    assert (source["read"], source["kept"], source["skipped"]) == (300, 210, 90)


SOUND = {
    "mixed line ends": ("a.csv", csv().replace(b"b\n", b"b\r\n", 7).replace(b"a\n", b"a\r", 3), 40),
    "ends of the old Macintosh": ("a.csv", csv(ends="\r"), 40),
    "a line of 5 MB": ("a.csv", csv(put(7, "word " * 1_000_000 + ",a")), 40),
    "5 MB in JSON lines": ("a.jsonl", jsonl(put(7, json.dumps({"text": "word " * 1_000_000, "label": "a"}))), 40),
    "no header": ("a.csv", csv().split(b"\n", 1)[1], 40),
    "semicolons": ("a.csv", csv().replace(b",", b";"), 40),
    "Latin-1 with CRLF": ("a.csv", csv(ends="\r\n").replace(b"some", "caf\xe9".encode("latin-1")), 40),
    "a workbook": ("a.xlsx", None, 40),
    "JSON objects printed over several lines, one after the other": (
        "a.json", "\n".join(json.dumps({"text": t, "label": lab}, indent=2) for t, lab in ROWS[:40]).encode(), 40),
    "numbers where texts should be": ("a.jsonl", jsonl(put(7, '{"text": 5.0, "label": 1}')), 40),
    "gzipped without saying so": ("a.csv", gzip.compress(csv()), 40),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_what_is_merely_odd_is_read_whole(tmp_path, capsys, name):
    file, data, rows = SOUND[name]
    path = tmp_path / file
    if data is None:
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for row in [("text", "label"), *ROWS[:40]]:
            book.active.append(row)
        book.save(path)
    else:
        path.write_bytes(data)
    code, told, said = check(capsys, path, "stop")
    source = told["sources"]["train"]
    assert (code, source["read"], source["kept"], source["faults"]) == (0, rows, rows, []), said
    if "Latin" in name:
        assert source["format"]["encoding"] == "Latin-1"
    if "semicolons" in name:
        assert source["format"]["delimiter"] == "semicolon"
    if "header" in name:
        assert source["format"]["header"].startswith("none")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_gzip_loses_what_is_not_there_and_says_so(tmp_path, capsys, share):
    data = gzip.compress(csv(rows=ROWS))
    path = tmp_path / "a.csv.gz"
    path.write_bytes(data[: int(share * len(data))])
    code, _, said = check(capsys, path, "stop")
    assert code == 2
    assert "the gzip data end too soon; the file was probably not copied whole" in said
    code, told, _ = check(capsys, path, "skip")
    source = told["sources"]["train"]
    assert code == 0
    assert 0.2 * share * 5200 < source["kept"] < 5200
    assert source["read"] == source["kept"] + 1  # the row in which the file breaks off
    assert source["faults"][0]["where"] == f"{path}:{source['kept'] + 2}"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image"),
        (bytes(range(256)) * 40, "binary"),
        (b"%PDF-1.7", "a PDF document"),
    ],
)
def test_a_binary_file_named_csv_is_refused_by_its_kind(tmp_path, capsys, data, what):
    path = tmp_path / "photo.csv"
    path.write_bytes(data)
    code, told, said = check(capsys, path, "keep")
    assert (code, told) == (2, None)
    assert what in said
    assert str(path) in said
    assert len(said.strip().splitlines()) == 1


def test_a_label_that_no_training_row_has_stops_is_skipped_or_counts_as_wrong(tmp_path, capsys):
    train, dev = tmp_path / "train.csv", tmp_path / "dev.csv"
    train.write_bytes(csv())
    dev.write_text("text,label\nnew words,a\nother words,c\nmore,b\n")
    code, _, said = check(capsys, train, "stop", "--valid", str(dev))
    assert code == 2
    assert "1 of 3 rows of valid have a truth that no training row has: 'c'" in said
    assert f"{dev}:3" in said
    code, told, _ = check(capsys, train, "skip", "--valid", str(dev))
    source = told["sources"]["valid"]
    assert code == 0
    assert (source["read"], source["kept"], source["skipped"], told["counts"]["valid"]["rows"]) == (3, 2, 1, 2)
    assert source["faults"] == [{"where": f"{dev}:3", "reason": "no training row has the truth 'c'", "done": "skipped"}]
    code, told, _ = check(capsys, train, "keep", "--valid", str(dev))
    assert code == 0
    assert told["counts"]["valid"]["rows"] == 3
    assert any("they count as wrong" in finding["message"] for finding in told["findings"])


def test_a_fit_names_the_skipped_rows_in_data_json(tmp_path, capsys):
    train, out = tmp_path / "train.csv", tmp_path / "run"
    train.write_bytes(csv(put(7, "some \0 words,a")))
    asked = ["fit", str(train), "--base", "tiny", "--out", str(out), "--baselines", "none"]
    assert main([*asked, "--set", "train.epochs=1"]) == 2
    assert not out.exists()
    assert main([*asked, "--set", "train.epochs=1", "--set", "data.bad_rows=skip"]) == 0
    told = json.loads((out / "data.json").read_text())
    assert told["sources"]["train"]["faults"] == [
        {"where": f"{train}:8", "reason": "a NUL byte at character 6", "done": "skipped"}
    ]
    assert re.search(r"1 of 40 rows were left out", json.dumps(told["findings"]))
    capsys.readouterr()


@pytest.mark.data
def test_every_raw_file_is_read_or_refused_by_one_message(data_folder, tmp_path, capsys):
    from graftlm.core.errors import UserError
    from graftlm.stages.reading.sources import find

    files = sorted(path for path in data_folder.glob("*/raw/**/*") if path.is_file())
    assert len(files) > 50
    read = 0
    for path in files:
        try:
            reader, given = find(str(path))
            corpus = reader.read(given)
        except UserError as fault:
            said = str(fault)
            assert path.name in said
            assert 40 < len(said) < 900, said
            assert re.search(r"Save|Mend|Name|set |convert|Use", said), said  # what to do
            continue
        read += 1
        assert corpus.table.num_rows
        assert corpus.read == corpus.table.num_rows + len(corpus.skipped)
        assert main(["check", str(path), "--json", "--task", "classification"]) in (0, 2)
        told = capsys.readouterr()
        assert "Traceback" not in told.err
    assert read >= 20
