import datetime

import openpyxl
import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.xlsx import Xlsx


def book(path, sheets):
    work = openpyxl.Workbook()
    work.remove(work.active)
    for name, rows in sheets.items():
        sheet = work.create_sheet(name)
        for row in rows:
            sheet.append(row)
    work.save(path)
    return path


def test_reads_the_first_sheet_with_its_header(tmp_path):
    rows = [["内容", "标签", "when"], ["很好", 1, datetime.date(2026, 1, 31)], [], ["不好", 0, None]]
    corpus = Xlsx().read(book(tmp_path / "a.xlsx", {"数据": rows, "other": [["x"]]}))
    assert corpus.table.column("内容").to_pylist() == ["很好", "不好"]
    assert corpus.table.column("标签").to_pylist() == [1, 0]
    assert corpus.table.column("when")[0].as_py().startswith("2026-01-31")
    assert corpus.where(1) == f"{tmp_path}/a.xlsx:4"
    assert corpus.facts == {"sheet": "数据", "header": "first row"}


def test_another_sheet_by_name(tmp_path):
    path = book(tmp_path / "a.xlsx", {"one": [["text"], ["a"]], "two": [["text"], ["b"]]})
    assert Xlsx(sheet="two").read(path).table.to_pylist() == [{"text": "b"}]
    with pytest.raises(DataError, match="there is no sheet 'tow'. Did you mean 'two'"):
        Xlsx(sheet="tow").read(path)


def test_mixed_cells_become_text(tmp_path):
    corpus = Xlsx().read(book(tmp_path / "a.xlsx", {"s": [["text", "label"], ["a", 1], ["b", "one"], ["c", 2.5]]}))
    assert corpus.table.column("label").to_pylist() == ["1", "one", "2.5"]


def test_empty_and_broken_books(tmp_path):
    with pytest.raises(DataError, match="sheet 's' is empty"):
        Xlsx().read(book(tmp_path / "a.xlsx", {"s": []}))
    bad = tmp_path / "b.xlsx"
    bad.write_text("text,label\n")
    with pytest.raises(DataError, match="cannot be read as an Excel workbook"):
        Xlsx().read(bad)
