"""Tell whether runs differ on the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from graftlm.verbs.comparing import Comparison, Pair


@click.command()
@click.argument("runs", metavar="RUN RUN [RUN ...]", nargs=-1, required=True)
@click.option("--split", help="Split to compare on; without it test, where all runs have one, else valid.")
@click.option("--out", type=click.Path(path_type=Path), help="Page to write; without it one in the first run's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; a page is written only where --out names one.")
def command(runs: tuple[str, ...], split: str | None, out: Path | None, as_json: bool) -> None:
    r"""Compare runs by paired tests on what they answered to the same rows, and write a page that shows it.

    \b
      graft compare runs/mine runs/probe
      graft compare runs/a runs/b runs/c --split valid --out page.html
    """
    from graftlm.verbs.comparing import compare

    if len(runs) < 2:
        raise click.UsageError(f"Expected two runs or more; got only {runs[0]}.")
    found = compare(
        runs[0], runs[1], *runs[2:], split=split, out=None if as_json and out is None else out or _place(runs)
    )
    click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if as_json else _text(found))


def _place(runs: tuple[str, ...]) -> Path:
    """Return where the page goes: beside the report of the first run, named by the others."""
    names = "-".join(Path(run).resolve().name for run in runs[1:])
    return Path(runs[0]) / f"compared-with-{names[:80]}.html"


def _text(found: Comparison) -> str:
    width = max(map(len, found.runs))
    figures = "\n".join(f"  {run:<{width}}  {value:.4f}" for run, value in zip(found.runs, found.values, strict=True))
    lines = "\n".join(_pair(found, pair) for pair in found.pairs)
    several = f"\np-values with Holm's correction for {len(found.pairs)} comparisons." if len(found.pairs) > 1 else ""
    head = f"{found.metric} on {found.difference.n} rows of {found.split}"
    return f"{head}\n\n{figures}\n\n{lines}{several}\npage  {found.page}"


def _pair(found: Comparison, pair: Pair) -> str:
    scale, unit = (100, " points") if found.percent else (1, "")
    gain, low, high = (scale * x for x in (pair.difference.gain, pair.difference.low, pair.difference.high))
    several, better = len(found.pairs) > 1, pair.first if gain > 0 else pair.second
    if several:
        other = pair.second if gain > 0 else pair.first
        clear, none = f"{better} is better than {other}", f"no measurable difference, {pair.first} to {pair.second}"
    else:
        clear, none = f"{better} is better", "no measurable difference"
    word = clear if pair.holm < 0.05 else none
    p_value = "p < 0.001" if pair.holm < 0.001 else f"p = {pair.holm:.3f}"
    return f"{word}: {gain:+.2f}{unit} [{low:+.2f}, {high:+.2f}], {p_value} ({pair.difference.test})."
