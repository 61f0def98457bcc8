"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.report import charts, figures, joint, tables, verdicts, words
from graftlm.report.confusion import confusion
from graftlm.report.figures import mapping, sequence
from graftlm.report.rendering import render
from graftlm.report.tables import cell, score_cell, table
from graftlm.report.words import Both, both, say

_COLOURS = {"helped": "good", "negative transfer": "bad", "no measurable difference": "even"}


def page(values: Mapping[str, Any]) -> str:
    """Return the report as HTML; every text in it is escaped. All keys but `metrics` may be absent or None.

    ```
    title     heading, such as the name of the run folder
    language  "en" or "zh": what the page opens in; both are in it
    metrics   the tree of metrics.json; with several tasks, one such tree for each below "tasks"
    findings  of the check, as `Finding.as_json()`: level, code, message, count, rows
    progress  the learning curve: [{step, epoch, loss, rate, score}], score None between evaluations
    details   the task's tables for the primary split, as `task.details()`: labels, per_class, confusion, tables,
              curves; with several tasks, by name
    wrong     rows most confidently wrong: [{id, where, text, true, predicted, probability}]; with several, by name
    data      rows by split: {"train": 9002, ...}
    changed   what the recipe sets, by path: {"train.epochs": 3}
    recipe    the filled recipe as YAML text
    lineage   what the model was made from, by name: {"base": ..., "revision": ..., "train": ...}
    pages     with several tasks: the page of each, by name
    ```
    """
    metrics, details, wrong = mapping(values.get("metrics")), mapping(values.get("details")), values.get("wrong")
    tasks = mapping(metrics.get("tasks"))
    parts = [
        _part(name, mapping(tree), mapping(details.get(name)), sequence(mapping(wrong).get(name)))
        for name, tree in tasks.items()
    ] or [_part("", metrics, details, sequence(wrong))]
    primary, progress = mapping(metrics.get("primary")), [mapping(one) for one in sequence(values.get("progress"))]
    name = words.metric(primary["name"], primary) if primary.get("name") else both("score")
    curves = charts.learning(progress, say("validation_metric", name=name), bool(primary.get("percent")))
    if tasks:
        curves = joint.curves(progress, tasks)
    best = [one.get("step") for one in progress if one.get("best")]
    return render(
        "report.html.j2",
        language=values.get("language") or "en",
        title=values.get("title") or "Run",
        kind=str(metrics.get("task") or ", ".join(tasks)),
        parts=parts,
        joint=joint.joint(metrics, mapping(values.get("pages"))) if tasks else None,
        pages=mapping(values.get("pages")),
        learning=curves,
        best=say("best_at", step=f"{best[-1]:,}") if best and figures.finite(best[-1]) and len(curves) > 1 else None,
        remembered=mapping(metrics.get("remember")).get("sentence"),
        findings=[_finding(mapping(one)) for one in sequence(values.get("findings"))],
        data=_rows(values.get("data")),
        timing=_timing(mapping(metrics.get("timing"))),
        machine=_machine(metrics),
        changed=_pairs(values.get("changed"), say("changed")),
        recipe=values.get("recipe") or "",
        lineage=_pairs(values.get("lineage"), say("lineage_caption")),
        versions=[f"{name} {version}" for name, version in mapping(metrics.get("versions")).items()],
    )  # fmt: skip


def _rows(data: Any) -> list[Both]:
    """Return how many rows there are of each split, with several tasks of each task's."""
    found = [
        say("data_rows", n=f"{count:,}", rows=words.rows_of(str(split)))
        for split, count in mapping(data).items()
        if isinstance(count, int)
    ]
    for name, splits in mapping(data).items():
        for place, told in enumerate(_rows(splits) if mapping(splits) else []):
            found.append(both(f"{name}: ") + told if place == 0 else told)
    return found


def _part(name: str, metrics: Mapping[str, Any], details: Mapping[str, Any], wrong: Sequence[Any]) -> dict[str, Any]:
    """Return what is shown of one task."""
    primary = mapping(metrics.get("primary"))
    split = str(primary.get("split"))
    scores = mapping(mapping(metrics.get("metrics")).get(split))
    judged = bool(primary.get("name")) and bool(scores)
    told = verdicts.sentences(metrics)
    transfer = mapping(metrics.get("transfer"))
    rest: Both | None = told[1] if told and told[1].en else None
    if told:
        headline = told[0]
    elif judged:
        headline = words.metric(primary["name"]) + f" {figures.with_interval(primary, sign=True)}"
        rest = say("no_baseline")
    else:
        headline = say("not_judged")
    bars = charts.bars(metrics) if judged else []
    never, matrix = details.get("never_seen"), confusion(details)
    return {
        "name": name,
        "id": f"{name}-" if name else "",
        "headline": headline,
        "rest": rest,
        "tone": _COLOURS.get(str(transfer.get("verdict")), "even") if told else "plain",
        "tiles": [_tile(one, score, primary) for one, score in scores.items() if isinstance(score, Mapping)],
        "rows": _rows_line(primary) if judged else None,
        "bars": bars if len(bars) > 1 else [],
        "bars_title": say("baselines_of", name=words.metric(primary["name"], primary)) if judged else None,
        "contenders": _contenders(metrics, split, scores) if len(bars) > 1 else None,
        "tested": _tested(transfer),
        "confusion": matrix,
        "mistakes": _mistakes(matrix),
        "per_class": tables.per_class(details, say("by_class_caption")),
        "never_seen": say("never_seen", n=f"{never:,}") if figures.finite(never) and never else None,
        "tables": tables.own(details),
        "curves": _curves(details),
        "wrong": _wrong(wrong),
    }


def _tile(name: str, score: Mapping[str, Any], primary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": words.metric(name, score),
        "value": figures.number(score.get("value"), bool(score.get("percent"))),
        "interval": figures.interval(score),
        "first": name == primary.get("name"),
    }


def _rows_line(primary: Mapping[str, Any]) -> Both:
    return say("judged_on", n=f"{primary.get('n') or 0:,}", rows=words.rows_of(str(primary.get("split"))))


def _contenders(metrics: Mapping[str, Any], split: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    found = figures.contenders(metrics, split)
    rows = [
        [cell(who, text=say("this_model") if place == 0 else who), *(score_cell(one.get(name)) for name in scores)]
        for place, (who, one) in enumerate(found.items())
    ]
    titles = [say("contender"), *(words.metric(name, score) for name, score in scores.items())]
    return table(say("all_figures"), titles, rows, sortable=True)


def _tested(transfer: Mapping[str, Any]) -> Both | None:
    if not transfer.get("test") or not figures.finite(transfer.get("p_value")):
        return None
    return say(
        "tested",
        rows=words.rows_of(str(transfer.get("chosen_on"))),
        test=transfer["test"],
        n=f"{transfer.get('n') or 0:,}",
        p=f"{transfer['p_value']:.3g}",
    )


def _mistakes(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not found or not found["mistakes"]:
        return None
    rows = [
        [cell(one["true"]), cell(one["predicted"]), cell(one["count"]), cell(one["of"])] for one in found["mistakes"]
    ]
    titles = [words.column(name) for name in ("true", "answered", "rows", "of")]
    return table(say("mistakes"), titles, rows, sortable=True, titled=True)


def _curves(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for given in map(mapping, sequence(details.get("curves"))):
        drawn = [mapping(one) for one in sequence(given.get("lines"))]
        series = [(tables.words(one.get("name") or ""), sequence(one.get("points"))) for one in drawn]
        x, y = (words.column(tables.words(given.get(axis) or "")) for axis in ("x", "y"))
        chart = charts.lines(series, x=x, y=y)
        if chart is not None:
            about = words.given(tables.words(given["about"])) if given.get("about") else ""
            found.append(
                {**chart, "title": words.given(tables.words(given.get("title") or chart["y"].en)), "about": about}
            )
    return found


def _wrong(rows: Sequence[Any]) -> dict[str, Any] | None:
    kept = [row for row in map(mapping, rows) if row]
    if not kept:
        return None
    body = [
        [
            cell(row.get("where") or row.get("id"), quiet=True),
            {**cell(None, text=str(row.get("text") or "")), "long": True},
            cell(tables.words(row.get("true"))),
            cell(tables.words(row.get("predicted"))),
            cell(row.get("probability"), percent=True),
        ]
        for row in kept
    ]
    titles = [words.column(name) for name in ("row", "text", "true", "answered", "probability")]
    return table(say("wrong"), titles, body, sortable=True, tall=True, titled=True)


def _finding(one: Mapping[str, Any]) -> dict[str, Any]:
    level, rows = str(one.get("level") or "note"), [str(row) for row in one.get("rows") or []]
    more = " …" if len(rows) > 3 or (one.get("count") or 0) > max(3, len(rows)) else ""
    return {
        "level": level if level in ("error", "warning", "note") else "note",
        "name": words.level(level),
        "about": words.finding(str(one.get("code") or "")),
        "message": str(one.get("message") or ""),
        "rows": ", ".join(rows[:3]) + more if rows else "",
    }


def _timing(timing: Mapping[str, Any]) -> dict[str, Any] | None:
    parts = charts.segments(mapping(timing.get("seconds")))
    if not parts:
        return None
    total = figures.duration(sum(one["seconds"] for one in parts))
    rows = [[{**cell(one["name"], text=one["name"]), "colour": one["colour"]}, cell(one["seconds"], text=one["time"]),
             cell(one["share"], text=f"{one['share']:.1f}")] for one in parts]  # fmt: skip
    heads = [words.column(name) for name in ("stage", "time", "share")]
    said = [both(f" {one['time']}") for one in parts]
    names = Both(*(", ".join(getattr(one["name"] + time, language) for one, time in zip(parts, said, strict=True))
                   for language in words.LANGUAGES))  # fmt: skip
    return {
        "parts": parts,
        "label": say("timing_label", total=total, parts=names),
        "total": say("timing_total", total=total),
        "table": table(say("timing_caption"), heads, rows, sortable=True),
    }


def _machine(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    timing = mapping(metrics.get("timing"))
    found: list[tuple[Both, Any]] = []
    for key in ("examples_per_second", "tokens_per_second"):
        if figures.finite(timing.get(key)) and timing[key]:
            found.append((say("speed"), say(key, n=f"{timing[key]:,.0f}")))
    if figures.finite(timing.get("padding_share")):
        found.append((say("padding"), f"{100 * timing['padding_share']:.1f} %"))
    if figures.finite(timing.get("saving_seconds")) and timing["saving_seconds"]:
        found.append((say("saving"), figures.duration(timing["saving_seconds"])))
    if figures.finite(timing.get("peak_memory_bytes")):
        found.append((say("peak"), f"{timing['peak_memory_bytes'] / 2**30:.2f} GiB"))
    if metrics.get("device"):
        found.append((say("device"), ", ".join(str(metrics[k]) for k in ("device", "precision") if metrics.get(k))))
    if not found:
        return None
    return table(say("machine_caption"), ["", ""], [[cell(n, text=n), cell(v, text=v)] for n, v in found], plain=True)


def _pairs(given: Any, caption: Both) -> dict[str, Any] | None:
    rows = []
    for key, value in mapping(given).items():
        name = key if "." in str(key) else words.column(str(key))
        rows.append([cell(key, text=name), {**cell(None, text=tables.words(value)), "code": True}])
    if not rows:
        return None
    return table(caption, ["", ""], rows, plain=True)
