"""Carry out a plan: a chain of runs, each from the bundle of the one before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from graftlm.verbs.running import Chain


@click.command()
@click.argument("plan", metavar="PLAN")
@click.option("--json", "as_json", is_flag=True, help="Print plan.json at the end.")
def command(plan: str, as_json: bool) -> None:
    r"""Carry out the plan in the file PLAN; after a stop the same command goes on.

    A plan is a YAML file:

    \b
      out: runs/chain
      all: {train: {epochs: 3}}
      runs:
        - {name: first, data: {train: a.csv, test: a_test.csv}}
        - {name: second, data: {train: b.csv, test: b_test.csv}}

    Each run starts from the bundle of the one before (`after: NAME` names another, `after: none` the base model)
    and judges the tasks of all that it stands on. The figures after each run lie in plan.json and chain.html.
    """
    from graftlm.cli._watch import Screen
    from graftlm.verbs.running import run

    with Screen() as screen:
        found = run(plan, watch=screen)
    click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if as_json else _page(found))


def _page(found: Chain) -> str:
    names = list(found.matrix)
    width = max(len(name) for name in ["after", *names]) + 2
    lines = ["".join(name.ljust(width) for name in ["after", *names]).rstrip()]
    for after, row in found.matrix.items():
        cells = [f"{row[name]:.4f}" if name in row else "–" for name in names]
        lines.append("".join(cell.ljust(width) for cell in [after, *cells]).rstrip())
    if found.summary:
        back, lost = (100 * found.summary[name] for name in ("backward_transfer", "forgetting"))
        lines += ["", f"backward transfer {back:+.1f} points, forgetting {lost:.1f} points on average"]
        if (ahead := found.summary.get("forward_transfer")) is not None:
            lines.append(f"forward transfer {100 * ahead:+.1f} points on average, of a linear head on frozen features")
    return "\n".join([*lines, "", f"picture {found.folder / 'chain.html'}"])
