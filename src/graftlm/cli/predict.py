"""Answer texts from a file or standard input: one JSON line a row, in their order."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from graftlm.cli._columns import columns_option, task_option

PRECISION = click.Choice(["auto", "fp32", "bf16"])


@click.command()
@click.argument("run")
@click.argument("source", metavar="FILE|-")
@click.option("--out", type=click.Path(path_type=Path), help="Write here, all at once at the end, not to the screen.")
@click.option("--all-probabilities", is_flag=True, help="The probability of every label, not of the chosen one alone.")
@click.option("--precision", type=PRECISION, default="auto", show_default=True, help="auto looks at the processor.")
@click.option("--batch-tokens", type=click.IntRange(1), help="Tokens that go through the model at once.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@click.option("--bad-rows", type=click.Choice(["stop", "skip", "keep"]), default="stop", show_default=True,
              help="What to do with a row that cannot be read.")  # fmt: skip
@task_option
@columns_option
def command(
    run: str,
    source: str,
    out: Path | None,
    all_probabilities: bool,
    precision: str,
    batch_tokens: int | None,
    device: str,
    bad_rows: str,
    task: str | None,
    columns: dict[str, str | list[str]],
) -> None:
    r"""Answer the rows of FILE (csv, tsv, jsonl, json, txt, parquet; - for standard input) with the bundle of RUN.

    \b
      graft predict runs/mine new.csv > answers.jsonl
      cat new.txt | graft predict runs/mine -
      graft predict runs/mine new.csv --out answers.jsonl --all-probabilities
    """
    from graftlm.verbs.predicting import predict

    lines = predict(
        run,
        source,
        task=task,
        columns=columns,
        all_probabilities=all_probabilities,
        precision=precision,  # type: ignore[arg-type]
        batch_tokens=batch_tokens,
        device=device,
        bad_rows=bad_rows,  # type: ignore[arg-type]
    )
    started = time.monotonic()
    with _target(out) as handle:
        count, told = 0, started
        for line in lines:
            handle.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
            if sys.stderr.isatty() and time.monotonic() - told > 0.5:
                told = time.monotonic()
                click.echo(f"\r{count} rows, {count / (told - started):.0f} rows/s", err=True, nl=False)
        handle.flush()
    if sys.stderr.isatty():
        click.echo(f"\r{count} rows in {time.monotonic() - started:.1f} s" + (f", {out}" if out else ""), err=True)


@contextlib.contextmanager
def _target(out: Path | None) -> Iterator[TextIO]:
    """Yield the file to write to; one that was named appears when it is complete."""
    from graftlm.core import files

    if out is None:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        yield sys.stdout
        return
    with files.writing(out) as temporary, temporary.open("w", encoding="utf-8") as handle:
        yield handle
