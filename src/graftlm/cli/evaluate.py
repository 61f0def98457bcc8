"""Judge a bundle on rows whose truth is known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from graftlm.cli._columns import columns_option, task_option

if TYPE_CHECKING:
    from graftlm.verbs.evaluating import Evaluation


@click.command()
@click.argument("run")
@click.argument("data")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the figures of each class.")
@click.option("--metric", "metrics", multiple=True, metavar="MODULE:FUNCTION", help="A metric of your own.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@task_option
@columns_option
def command(
    run: str,
    data: str,
    as_json: bool,
    metrics: tuple[str, ...],
    precision: str,
    device: str,
    task: str | None,
    columns: dict[str, str | list[str]],
) -> None:
    r"""Judge the bundle of RUN on the labelled rows of DATA.

    \b
      graft evaluate runs/mine test.csv
      graft evaluate runs/mine test.csv --metric figures:cost --json
    """
    from graftlm.verbs.evaluating import evaluate

    found = evaluate(
        run,
        data,
        task=task,
        columns=columns,
        metrics=metrics,
        precision=precision,  # type: ignore[arg-type]
        device=device,
    )
    click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if as_json else _page(found))


def _page(found: Evaluation) -> str:
    width = max(len(name) for name in found.scores.by_name)
    lines = [f"{found.task} on {found.rows} rows of {found.source} ({found.precision})", ""]
    for name, score in found.scores.by_name.items():
        interval = "" if score.low is None or score.high is None else f"  [{score.low:.4f}, {score.high:.4f}]"
        lines.append(f"  {name:<{width}}  {score.value:.4f}{interval}")
    return "\n".join([*lines, "", "In brackets: 95 % intervals (bootstrap over rows)."])
