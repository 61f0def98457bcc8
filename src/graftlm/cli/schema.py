"""Print the JSON schema of a recipe, the fields of every plug-in included.

Give it to an editor, and it completes and checks recipes while they are written.
"""

from __future__ import annotations

import json

import click

from graftlm.verbs.schema import schema


@click.command()
def command() -> None:
    """Print the JSON schema of a recipe, the fields of every plug-in included."""
    click.echo(json.dumps(schema(), ensure_ascii=False, indent=2))
