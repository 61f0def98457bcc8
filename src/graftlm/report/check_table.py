"""The check of a data set as a short table: sources, splits, findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graftlm.contracts.values import Finding
from graftlm.core.errors import listing

if TYPE_CHECKING:
    from rich.console import RenderableType

_ORDER = {"error": 0, "warning": 1, "note": 2}
_STYLE = {"error": "bold red", "warning": "yellow", "note": "dim"}


def check_table(
    facts: Mapping[str, Any], counts: Mapping[str, Mapping[str, Any]], findings: Sequence[Finding], places: int = 3
) -> RenderableType:
    """Return what a data set's facts, and the counts and findings of its check, say; `places` rows are named."""
    from rich.console import Group

    return Group(_sources(facts), _splits(facts, counts), _findings(findings, places))


def _sources(facts: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    lines = []
    for name, source in facts.get("sources", {}).items():
        form = ", ".join(f"{key} {value}" for key, value in source["format"].items() if value)
        roles = "; ".join(
            f"{role} = {_named(found['column'])} ({found['why']})" for role, found in source["columns"].items()
        )
        if unread := source.get("unread"):
            roles += f"; not read: {listing(unread, 10)}"
        mended = f", {source['mended']:,} in part" if source["mended"] else ""
        counts = f"read {source['read']:,} = kept {source['kept']:,}{mended} + skipped {source['skipped']:,}"
        lines.append(f"{name}: {source['source']} ({source['reader']}: {form})\n  {roles}\n  {counts}")
    if unused := facts.get("unused"):
        lines.append(f"{unused:,} training rows are not used (data.limit)")
    return Text("\n".join(lines))


def _named(column: str | Sequence[str]) -> str:
    return f"'{column}'" if isinstance(column, str) else listing(list(column))


def _splits(facts: Mapping[str, Any], counts: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("split")
    for title in ("rows", "removed", "kept", "empty", "repeated", "in other splits", "characters"):
        table.add_column(title, justify="right")
    table.add_column("made")
    for name, found in counts.items():
        how = facts.get("splits", {}).get(name, {}).get("made", {})
        numbers = [f"{found[key]:,}" for key in ("rows", "removed", "kept", "empty", "repeated", "shared")]
        size = f"{found['characters']['median']:.0f} (max {found['characters']['longest']:,})"
        share = f" {100 * how['share']:.0f} % of train" if "share" in how else ""
        table.add_row(name, *numbers, size, f"{how['by']}{share}" if how else "")
    return table


def _findings(findings: Sequence[Finding], places: int) -> RenderableType:
    from rich.text import Text

    text = Text()
    for finding in sorted(findings, key=lambda finding: _ORDER.get(finding.level, 3)):
        text.append(f"{finding.level:8}", _STYLE.get(finding.level, ""))
        text.append(finding.message)
        if finding.rows and places:
            more = " ..." if len(finding.rows) > places or finding.count > places else ""
            text.append(f"\n        {', '.join(finding.rows[:places])}{more}", "dim")
        text.append("\n")
    if not findings:
        text.append("Nothing was found.\n")
    text.rstrip()
    return text


def memory_table(found: Mapping[str, Any]) -> RenderableType:
    """Return what an estimate of memory says, as `Estimate.as_json()` gives it: parts from the largest, and the sum."""
    from rich.table import Table

    batch = found["largest_batch"]
    where = "memory of the process" if found["device"] == "cpu" else f"memory of {found['device']}"
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", title_style="")
    table.add_column(f"{where}, at most")
    table.add_column("MiB", justify="right")
    for name, size in sorted(found["parts"].items(), key=lambda part: -part[1]):
        table.add_row(name, f"{size / 2**20:,.0f}")
    table.add_row("in all, estimated", f"{found['peak_memory_bytes'] / 2**20:,.0f}", style="bold")
    table.caption = f"Largest batch: {batch['rows']:,} sequences, {batch['tokens']:,} tokens with padding. " + " ".join(
        f"{note[0].upper()}{note[1:]}." for note in found["notes"]
    )
    table.caption_justify, table.caption_style = "left", "dim"
    return table
