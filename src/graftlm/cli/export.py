"""Write one task of a run of several as a plain checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from graftlm.cli._columns import task_option


@click.command()
@click.argument("run")
@click.option("--out", "--output", "out", type=click.Path(path_type=Path), required=True, help="A new folder.")
@task_option
def command(run: str, out: Path, task: str | None) -> None:
    r"""Write the plain bundle of one task of RUN, a run of several tasks.

    \b
      graft export runs/joint --task intent --out intent
    """
    from graftlm.verbs.exporting import export

    click.echo(f"bundle  {export(run, out, task=task)}")
