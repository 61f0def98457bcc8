"""Write a new plug-in: one source file and one test file, blanks marked."""

from __future__ import annotations

from pathlib import Path

import click

from graftlm.verbs.scaffolding import BLANK, new


@click.command()
@click.argument("kind")
@click.argument("name")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Write here, for a package of yours.")
def command(kind: str, name: str, folder: Path | None) -> None:
    """Write the plug-in NAME of KIND and its test, such as: graft new loss focal."""
    written = new(kind, name, folder)
    click.echo(f"Wrote {written.source}\nWrote {written.test}")
    click.echo(f"Now fill in the places that begin with '{BLANK.strip()}' and the empty facts of the class.")
    if written.entry_point:
        click.echo(f"Then let your package's pyproject.toml name it:\n\n{written.entry_point}\n")
