from rich.console import Console

from graftlm.contracts.values import Finding
from graftlm.report.check_table import check_table

FACTS = {
    "sources": {
        "train": {
            "source": "train.csv", "reader": "csv", "format": {"encoding": "GB18030", "header": "first row"},
            "read": 12_000, "kept": 11_990, "skipped": 10, "mended": 3,
            "columns": {"text": {"column": "内容", "why": "by its name"}}, "unread": ["备注", "neg"],
        }
    },
    "splits": {"train": {"rows": 10_791, "from": "train"},
               "valid": {"rows": 1199, "from": "train", "made": {"by": "stratified", "share": 0.1, "seed": 0}}},
    "unused": 5,
}  # fmt: skip
COUNTS = {
    name: {"rows": n, "removed": 1, "kept": n - 1, "empty": 2, "repeated": 3, "shared": 4,
           "characters": {"median": 57.0, "longest": 2000}}
    for name, n in (("train", 10_791), ("valid", 1199))
}  # fmt: skip


def shown(findings, **options):
    console = Console(width=160, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(check_table(FACTS, COUNTS, findings, **options))
        return console.export_text()


def test_says_what_was_read_how_it_was_split_and_what_was_found():
    text = shown(
        [Finding("note", "n", "small thing"), Finding("error", "e", "great [thing]", 7, ("a:1", "a:2", "a:3", "a:4"))]
    )
    assert "train: train.csv (csv: encoding GB18030, header first row)" in text
    assert "text = '内容' (by its name); not read: '备注', 'neg'" in text
    assert "read 12,000 = kept 11,990, 3 in part + skipped 10" in text
    assert "5 training rows are not used (data.limit)" in text
    assert "57 (max 2,000)" in text
    assert "stratified 10 % of train" in text
    assert text.index("great [thing]") < text.index("small thing")
    assert "a:1, a:2, a:3 ..." in text


def test_nothing_found_is_said():
    assert "Nothing was found." in shown([])
