"""The end of a fit in a terminal: the figure, baselines beside it, the verdict, warnings, where things lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts.values import Finding
from graftlm.report.figures import contenders, duration, signed, title, with_interval

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {"helped": "green", "no measurable difference": "yellow", "negative transfer": "red"}
_MOST = 8  # warnings shown; the page has all


def show(
    metrics: Mapping[str, Any],
    *,
    findings: Sequence[Finding] = (),
    folder: Path | str | None = None,
    console: Console | None = None,
) -> None:
    """Print the end of a run from the tree of metrics.json; plain lines where the output is no terminal."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    plain = not console.is_terminal
    if "tasks" in metrics:
        _several(metrics, folder, console)
        return
    if metrics.get("primary"):
        split = metrics["primary"]["split"]
        console.print(Text(_headline(metrics, split), style="" if plain else "bold"), soft_wrap=plain)
        if metrics["baselines"]:
            for line in _lines(metrics, split) if plain else [_table(metrics, split)]:
                console.print(line, soft_wrap=plain, markup=False)
    else:
        console.print("There were no validation or test rows to judge the model on.", markup=False)
    if transfer := metrics.get("transfer"):
        colour = _COLOURS.get(transfer["verdict"], "")
        console.print(Text(transfer["sentence"], style="" if plain else f"bold {colour}"), soft_wrap=plain)
    if remembered := metrics.get("remember"):
        console.print(Text(remembered["sentence"], style="" if plain or remembered["kept"] else "red"), soft_wrap=plain)
    warnings = [finding for finding in findings if finding.level != "note"]
    for finding in warnings[:_MOST]:
        console.print(Text(f"{finding.level}: {finding.message}", style="" if plain else "yellow"), soft_wrap=plain)
    if len(warnings) > _MOST:
        console.print(f"and {len(warnings) - _MOST} more, in the report", markup=False)
    for line in _timing(metrics.get("timing", {})):
        console.print(Text(line, style="" if plain else "dim"), soft_wrap=plain)
    for name, place in _places(folder):
        console.print(f"{name:8}{place}", markup=False, soft_wrap=True)


def _several(metrics: Mapping[str, Any], folder: Path | str | None, console: Console) -> None:
    """Print the end of a run of several tasks: each one's own, then how it stands to training it alone."""
    from rich.text import Text

    plain = not console.is_terminal
    for name, one in metrics["tasks"].items():
        console.print(Text(f"\n{name}", style="" if plain else "bold cyan"))
        alone = {**one, "timing": {}}  # time and memory are told once, of all tasks
        show(alone, folder=None if folder is None else Path(folder) / "tasks" / name, console=console)
    for name, gap in metrics.get("single", {}).items():
        word = "hurt" if gap["hurt"] else "did not measurably hurt"
        points = signed(gap, bool(gap["alone"]["percent"]))
        text = f"{name}: training together {word}: {points} against training it alone"
        console.print(Text(text, style="red" if gap["hurt"] and not plain else ""), soft_wrap=plain)
    console.print()
    for line in _timing(metrics.get("timing", {})):
        console.print(Text(line, style="" if plain else "dim"), soft_wrap=plain)
    for name, place in _places(folder):
        console.print(f"{name:8}{place}", markup=False, soft_wrap=True)


def _headline(metrics: Mapping[str, Any], split: str) -> str:
    primary = metrics["primary"]
    rows = {"test": "test rows", "valid": "validation rows"}.get(split, f"rows of {split}")
    return f"{title(primary['name'])} {with_interval(primary, sign=True)} on {primary['n']:,} {rows}"


def _cells(metrics: Mapping[str, Any], split: str) -> tuple[list[str], list[list[str]]]:
    names = list(metrics["metrics"][split])
    titles = [title(name, metrics["metrics"][split][name]) for name in names]
    rows = [
        [who, *(with_interval(scores[name]) if name in scores else "–" for name in names)]
        for who, scores in contenders(metrics, split).items()
    ]
    return ["", *titles], rows


def _table(metrics: Mapping[str, Any], split: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    titles, rows = _cells(metrics, split)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for place, name in enumerate(titles):
        table.add_column(name, justify="right" if place else "left", no_wrap=place < 2)
    for place, row in enumerate(rows):
        table.add_row(*(Text(cell) for cell in row), style="bold" if place == 0 else "")
    return table


def _lines(metrics: Mapping[str, Any], split: str) -> Iterator[str]:
    titles, rows = _cells(metrics, split)
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    for row in [titles, *rows]:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([first, *others]).rstrip()


def _timing(timing: Mapping[str, Any]) -> Iterator[str]:
    parts = []
    if seconds := timing.get("seconds"):
        parts.append(f"{duration(sum(seconds.values()))} in all")
    if speed := timing.get("examples_per_second"):
        parts.append(f"training {speed:,.0f} examples/s")
    if memory := timing.get("peak_memory_bytes"):
        parts.append(f"at most {memory / 2**30:.1f} GiB of memory")
    if parts:
        yield ", ".join(parts)


def _places(folder: Path | str | None) -> Iterator[tuple[str, Path]]:
    if folder is None:
        return
    for name, part in (("model", "bundle"), ("report", "report.html"), ("figures", "metrics.json")):
        if (place := Path(folder) / part).exists():
            yield name, place
