"""The option `--column role=column`, which the verbs that read data share; a role given again has several columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def _pairs(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for text in given:
        role, equals, column = text.partition("=")
        if not equals or not role.strip() or not column:
            raise click.BadParameter(f"expected role=column, such as text=内容; got '{text}'.")
        found.setdefault(role.strip(), []).append(column)
    return {role: names[0] if len(names) == 1 else names for role, names in found.items()}


task_option: Callable[[Any], Any] = click.option("--task", metavar="NAME", help="Which of several tasks of the run.")

columns_option: Callable[[Any], Any] = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="ROLE=COLUMN",
    callback=_pairs,
    help="Which column plays which role; may be given again, and a role again for each of its columns. What is not "
    "named is guessed.",
)
