"""Tell what is wrong with data or a recipe, before any model loads."""

from __future__ import annotations

import json
from typing import Any

import click

from graftlm.cli._options import DATA, given, options


@click.command()
@click.argument("data")
@options(DATA)
@click.option("--tokens", is_flag=True, help="Also count tokens and look at the language, with the base's tokenizer.")
@click.option("--memory", is_flag=True, help="Also estimate the memory that a fit needs at most; weights stay on disk.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(data: str, tokens: bool, memory: bool, as_json: bool, **arguments: Any) -> None:
    r"""Read DATA (or the data of the recipe DATA) and say what was found.

    Exit code 2 when the data cannot be used, 0 otherwise, warnings included.

    \b
      graft check train.csv --test test.csv
      graft check reviews.xlsx --column text=内容 --column label=标签
      graft check train.csv --memory          # the peak of a fit, before it begins
    """
    from graftlm.cli._watch import Screen
    from graftlm.report import check_table
    from graftlm.stages.checking import raise_for
    from graftlm.verbs.checking import check_each

    with Screen():
        each = check_each(data, tokens=tokens, memory=memory, **given(arguments))
    if as_json:
        trees = {n: f.as_json() | ({"memory": f.memory.as_json()} if f.memory else {}) for n, f in each.items()}
        click.echo(json.dumps(trees.get("", {"tasks": trees}), ensure_ascii=False, indent=2))
    else:
        from rich.console import Console

        console = Console(soft_wrap=True)
        for name, found in each.items():
            if name:
                console.print(f"task {name}:")
            console.print(check_table.check_table(found.dataset.facts, found.counts, found.findings))
            if found.memory is not None:
                console.print(check_table.memory_table(found.memory.as_json()))
    for found in each.values():
        raise_for(found.findings)
