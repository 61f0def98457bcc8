"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graftlm.report import charts, figures


def page(values: Mapping[str, Any]) -> str:
    """Return the report as HTML; every text in it is escaped. All keys but `metrics` may be absent.

    ```
    title     heading, such as the name of the run folder
    metrics   the tree of metrics.json
    findings  of the check, as `Finding.as_json()`: level, code, message, count, rows
    progress  the learning curve: [{step, epoch, loss, rate, score}], score None between evaluations
    details   the task's tables for the primary split, as `task.details()`: labels, per_class, confusion
    wrong     rows most confidently wrong: [{id, where, text, true, predicted, probability}]
    data      rows by split: {"train": 9002, ...}
    recipe    the filled recipe as YAML text
    lineage   what the model was made from, by name: {"base": ..., "revision": ..., "train": ...}
    ```
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("graftlm.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figures.with_interval, "title_of": figures.title, "duration": figures.duration}
    metrics = values["metrics"]
    primary = metrics.get("primary")
    details = values.get("details") or {}
    return environment.get_template("report.html.j2").render(
        title=values.get("title") or "Run",
        metrics=metrics,
        primary=primary,
        contenders=figures.contenders(metrics, primary["split"]) if primary else {},
        bars=charts.bars(metrics) if primary else [],
        curve=charts.curve(values.get("progress") or [], bool(primary and primary.get("percent"))),
        per_class=details.get("per_class") or [],
        confusion=charts.confusion(details),
        never_seen=details.get("never_seen", 0),
        wrong=values.get("wrong") or [],
        findings=values.get("findings") or [],
        data=values.get("data") or {},
        recipe=values.get("recipe") or "",
        lineage=values.get("lineage") or {},
    )
