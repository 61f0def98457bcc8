"""What the page says first of several tasks on one backbone: what training them together gained or cost each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.report import charts, words
from graftlm.report.figures import finite, mapping, signed
from graftlm.report.tables import cell, score_cell, table
from graftlm.report.verdicts import p_value
from graftlm.report.words import Both, both, say

SIGNIFICANT = 0.05


def joint(metrics: Mapping[str, Any], pages: Mapping[str, str]) -> dict[str, Any]:
    """Return the verdict on training together, and a table with a row for each task.

    A task is hurt, or helped, where the paired test finds its figure lower, or higher, than that of the model which
    was trained on it alone.
    """
    tasks, single = mapping(metrics.get("tasks")), mapping(metrics.get("single"))
    hurt = [name for name, gap in single.items() if mapping(gap).get("hurt")]
    helped = [name for name, gap in single.items() if _clear(mapping(gap)) and gap["gain"] > 0]
    if not single:
        headline, rest, tone = say("together", n=len(tasks)), say("together_unknown"), "plain"
    elif hurt:
        headline, rest, tone = say("together_hurt", names=_names(hurt)), say("together_hurt_rest"), "bad"
    elif helped:
        headline, rest, tone = say("together_helped", names=_names(helped)), say("together_rest"), "good"
    else:
        headline, rest, tone = say("together_even", n=len(tasks)), say("together_rest"), "even"
    return {"headline": headline, "rest": rest, "tone": tone, "table": _table(tasks, single, pages)}


def _clear(gap: Mapping[str, Any]) -> bool:
    return finite(gap.get("p_value")) and gap["p_value"] < SIGNIFICANT and finite(gap.get("gain"))


def _names(names: Sequence[str]) -> Both:
    return Both(", ".join(names), "、".join(names))


def _table(tasks: Mapping[str, Any], single: Mapping[str, Any], pages: Mapping[str, str]) -> dict[str, Any]:
    columns = ["task", "metric", "together", *(["alone", "difference", "p", "finding"] if single else [])]
    rows = []
    for name, tree in tasks.items():
        primary, gap = mapping(mapping(tree).get("primary")), mapping(single.get(name))
        percent = bool(primary.get("percent"))
        metric = words.metric(str(primary["name"]), primary) if primary.get("name") else both("–")
        row = [{**cell(name), "link": pages.get(name, "")}, cell(None, text=metric), score_cell(primary)]
        if single:
            told = signed(gap, percent).replace(" points", "") if gap else "–"
            better = finite(gap.get("gain")) and gap["gain"] > 0
            word = say("found_better" if better else "found_worse") if _clear(gap) else say("found_even")
            row += [
                score_cell(mapping(gap.get("alone"))),
                cell(gap.get("gain"), text=told),
                cell(gap.get("p_value"), text=p_value(gap.get("p_value"))[2:].removeprefix("= ")),
                {**cell(None, text=word), **({"verdict": word, "right": better} if _clear(gap) else {})},
            ]
        rows.append(row)
    return table(say("by_task"), [words.column(name) for name in columns], rows, titled=True)


def curves(progress: Sequence[Mapping[str, Any]], tasks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the charts of each task's loss, what it weighed where that changed, and its validation metric."""

    def drawn(kind: str) -> list[tuple[str, list[Any]]]:
        found = [(name, [(one.get("step"), _told(one, kind, name, tasks)) for one in progress]) for name in tasks]
        return [(name, points) for name, points in found if any(finite(value) for _, value in points)]

    weights = drawn("weight")
    moved = any(len({f"{value:.6g}" for _, value in points if finite(value)}) > 1 for _, points in weights)
    percent = all(mapping(mapping(tree).get("primary")).get("percent") for tree in tasks.values())
    found = [
        charts.lines(drawn("loss"), x=say("step"), y=say("loss_by_task"), zero=True),
        charts.lines(weights, x=say("step"), y=say("weight_by_task"), zero=True) if moved else None,
        charts.lines(drawn("score"), x=say("step"), y=say("score_by_task"), percent=percent),
    ]
    return [one for one in found if one is not None]


def _told(entry: Mapping[str, Any], kind: str, name: str, tasks: Mapping[str, Any]) -> Any:
    """Return a task's value of an entry of the log; scores are kept so that more is better, and shown as they are."""
    value = entry.get(f"{kind}/{name}")
    primary = mapping(mapping(tasks[name]).get("primary"))
    down = kind == "score" and not primary.get("higher_is_better", True)
    return -value if down and finite(value) else value
