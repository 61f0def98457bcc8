"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

DATA = (
    click.option("--task", help="What is asked (graft list task). Default: classification."),
    click.option("--base", help="Base model: an embedded name, a folder or a Hub name. Default: minilm."),
    click.option("--valid", help="Validation data; without it a stratified tenth is cut from the training rows."),
    click.option("--test", help="Test data; never looked at before the end."),
    click.option("--column", "columns", multiple=True, metavar="ROLE=COLUMN", help="Name a column, text=内容 say."),
    click.option(
        "--set", "settings", multiple=True, metavar="PATH=VALUE", help="Set anything in the recipe, train.epochs=3 say."
    ),
)

TRAINING = (
    click.option("--method", multiple=True, help="What trains (graft list method). Default: full."),
    click.option("--loss", multiple=True, help="A loss beside the task's own (graft list loss)."),
    click.option("--out", help="Folder of the run; must be new or empty. Default: a new one under runs/."),
    click.option("--seed", type=int, help="Root of every stream of random numbers. Default: 0."),
    click.option("--device", help="auto, cpu, cuda or mps. Default: auto."),
    click.option("--processes", type=int, help="Processes that share each batch, one for each GPU. Default: 1."),
    click.option("--budget", metavar="TIME", help="Time for training, such as 90s or 10m; the schedule ends there."),
    click.option("--baselines", multiple=True, help="A baseline beside the usual ones, such as scratch; or none."),
    click.option("--metric", "metrics", multiple=True, metavar="MODULE:FUNCTION", help="A metric of your own."),
    click.option(
        "--remember", multiple=True, metavar="RUN", help="An earlier run whose task is judged before and after."
    ),
    click.option("--forget-at-most", type=float, metavar="POINTS", help="What those runs may lose; exit 3 beyond it."),
    click.option("--refit", is_flag=True, help="Train once more on training and validation rows at the end."),
    click.option("--require-gain", is_flag=True, help="Exit with 3 unless the transfer measurably helped."),
    click.option("--resume", is_flag=True, help="Go on with the run in --out where it was stopped."),
)


def options(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Return a decorator that adds groups of options, in the order in which they are written."""

    def add(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return add


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the options that stood on the command line: what did not must not win over a recipe file."""
    return {key: value for key, value in arguments.items() if value is not None and value is not False and value != ()}
