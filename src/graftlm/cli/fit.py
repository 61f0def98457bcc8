"""Carry a pretrained model over to your data, and judge whether it helped."""

from __future__ import annotations

from typing import Any

import click

from graftlm.cli._options import DATA, TRAINING, given, options


@click.command()
@click.argument("data")
@options(DATA, TRAINING)
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json at the end.")
def command(data: str, as_json: bool, **arguments: Any) -> None:
    r"""Fit a model to DATA, or run the recipe DATA (a .yaml file).

    DATA is csv, tsv, jsonl, json, parquet, xlsx, a folder with one sub-folder for each class, or a Hub data
    set. Format, encoding and columns are found out and said.

    \b
      graft fit train.csv --test test.csv
      graft fit train.csv --method probe --out runs/probe
      graft fit reviews.tsv --column text=内容 --column label=标签
      graft fit recipe.yaml --set train.epochs=3
    """
    from graftlm.cli._watch import Screen
    from graftlm.core import processes
    from graftlm.verbs.fitting import fit

    with Screen(quiet=processes.follows()) as screen:
        run = fit(data, watch=screen, **given(arguments))
    finish(run, as_json)


def finish(run: Any, as_json: bool) -> None:
    """Print the end of a run, once where several processes have made it."""
    import json

    from graftlm.core import processes

    if processes.follows():
        return

    if as_json:
        click.echo(json.dumps(run.metrics, ensure_ascii=False, indent=2))
        return
    from graftlm.report import terminal

    terminal.show(run.metrics, findings=run.findings, folder=run.folder)
