"""Fit the embedded model on sample data: some three minutes, no download."""

from __future__ import annotations

from typing import Any

import click

from graftlm.cli._options import TRAINING, given, options


@click.command()
@options(TRAINING)
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="Set anything in the recipe.")
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json at the end.")
def command(as_json: bool, **arguments: Any) -> None:
    """Run the main job on Banking77 (13,083 questions to a bank, 77 intents) with the embedded model.

    Training gets 110 seconds; `graft demo --set train.epochs=4` trains as long as `graft fit` would.
    """
    from graftlm.cli._watch import Screen
    from graftlm.cli.fit import finish
    from graftlm.core import processes
    from graftlm.verbs.demonstrating import demo

    with Screen(quiet=processes.follows()) as screen:
        run = demo(watch=screen, **given(arguments))
    finish(run, as_json)
