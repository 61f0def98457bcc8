"""The end of a fit in a terminal and in a pipe."""

from __future__ import annotations

import io

from rich.console import Console

from graftlm.contracts.values import Finding
from graftlm.report import terminal


def shown(metrics, width=120, colour=False, **more):
    console = Console(file=io.StringIO(), width=width, force_terminal=colour, highlight=False)
    terminal.show(metrics, console=console, **more)
    return console.file.getvalue()


def test_plain_lines_where_the_output_is_no_terminal(metrics, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "metrics.json").write_text("{}")
    findings = [Finding("warning", "dup", "12 texts [bold] stand in two splits."), Finding("note", "n", "not shown")]
    assert shown(metrics, width=40, findings=findings, folder=tmp_path).splitlines() == [
        "accuracy 93.1 % [92.2, 94.0] on 3,080 test rows",
        "            accuracy %         log loss",
        "this model  93.1 [92.1, 94.1]  0.277 [0.257, 0.297]",
        "tfidf       89.2 [88.2, 90.2]  0.440 [0.420, 0.460]",
        "majority    1.3 [0.3, 2.3]     4.300 [4.280, 4.320]",
        metrics["transfer"]["sentence"],
        "warning: 12 texts [bold] stand in two splits.",
        "1 min 32 s in all, training 412 examples/s, at most 1.0 GiB of memory",
        f"model   {tmp_path / 'bundle'}",
        f"figures {tmp_path / 'metrics.json'}",
    ]


def test_colours_in_a_terminal(metrics):
    found = shown(metrics, colour=True)
    assert "\x1b[1;32mTransfer helped by 3.9 points" in found
    assert "\x1b[1m" in found.splitlines()[0]
    metrics["transfer"]["verdict"] = "negative transfer"
    assert "\x1b[1;31m" in shown(metrics, colour=True)


def test_many_warnings_are_cut(metrics):
    found = shown(metrics, findings=[Finding("warning", "x", f"number {i}") for i in range(11)])
    assert "number 7" in found
    assert "number 8" not in found
    assert "and 3 more, in the report" in found


def test_nothing_to_judge_on_is_said(bare):
    assert shown(bare) == "There were no validation or test rows to judge the model on.\n"


def test_validation_rows_are_named(metrics):
    metrics["primary"]["split"] = "valid"
    assert "on 3,080 validation rows" in shown(metrics)


def test_the_time_of_several_tasks_is_told_once(metrics):
    timing = {"seconds": {"train": 50.0, "bundle": 10.0}, "examples_per_second": 257.0}
    text = shown({"tasks": {"intent": metrics, "slots": metrics}, "timing": timing})
    assert text.count("in all") == 1
    assert "1 min 00 s in all, training 257 examples/s" in text
