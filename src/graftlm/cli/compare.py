"""Tell whether one run is better than another on the same rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from graftlm.verbs.comparing import Comparison


@click.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@click.option("--split", help="Split to compare on; without it test, where both runs have one, else valid.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(first: str, second: str, split: str | None, as_json: bool) -> None:
    """Compare two runs by a paired test on what they answered to the same rows."""
    from graftlm.verbs.comparing import compare

    found = compare(first, second, split=split)
    click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if as_json else _page(found))


def _page(found: Comparison) -> str:
    scale, unit = (100, " points") if found.percent else (1, "")
    one, other = (f"{value:.4f}" for value in found.values)
    gain, low, high = (scale * x for x in (found.difference.gain, found.difference.low, found.difference.high))
    clear = found.difference.p_value < 0.05
    better = found.first if gain > 0 else found.second
    word = f"{better} is better" if clear else "no measurable difference"
    p_value = "p < 0.001" if found.difference.p_value < 0.001 else f"p = {found.difference.p_value:.3f}"
    width = max(len(found.first), len(found.second))
    return (
        f"{found.metric} on {found.difference.n} rows of {found.split}\n\n"
        f"  {found.first:<{width}}  {one}\n  {found.second:<{width}}  {other}\n\n"
        f"{word}: {gain:+.2f}{unit} [{low:+.2f}, {high:+.2f}], {p_value} ({found.difference.test})."
    )
