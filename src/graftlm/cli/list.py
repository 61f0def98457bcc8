"""Show what can be named in a recipe, one line each.

Imports no plug-in, so it answers at once.
"""

from __future__ import annotations

import json

import click

from graftlm.verbs.listing import list_plugins


@click.command()
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str | None, as_json: bool) -> None:
    """Show the plug-ins of KIND (method, loss, task, ...), or of every kind."""
    entries = list_plugins(kind)
    if as_json:
        click.echo(json.dumps([entry.as_json() for entry in entries], ensure_ascii=False, indent=2))
        return
    if not entries:
        click.echo(f"There is no {kind} yet. `graft new {kind} NAME` writes one.")
    width = max((len(entry.name) for entry in entries), default=0)
    last = None
    for entry in entries:
        if entry.kind != last:
            click.echo(("" if last is None else "\n") + click.style(entry.kind, bold=True))
            last = entry.kind
        click.echo(f"  {entry.name:<{width}}  {entry.summary}")
