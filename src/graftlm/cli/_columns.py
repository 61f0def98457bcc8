"""The option `--column role=column`, which the verbs that read data share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def _pairs(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        role, equals, column = text.partition("=")
        if not equals or not role.strip() or not column:
            raise click.BadParameter(f"expected role=column, such as text=内容; got '{text}'.")
        found[role.strip()] = column
    return found


columns_option: Callable[[Any], Any] = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="ROLE=COLUMN",
    callback=_pairs,
    help="Which column plays which role; may be given again. What is not named is guessed.",
)
