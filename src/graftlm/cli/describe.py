"""Explain one plug-in: what it does, when to use it, its source and its fields."""

from __future__ import annotations

import json

import click

from graftlm.verbs.describing import Description, describe


@click.command()
@click.argument("kind")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str, name: str, as_json: bool) -> None:
    """Explain the plug-in NAME of KIND, such as: graft describe method freeze."""
    found = describe(kind, name)
    click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if as_json else _page(found))


def _page(found: Description) -> str:
    parts = [f"{found.kind} {found.name}: {found.summary}", found.about]
    if found.when:
        parts.append(f"When: {found.when}")
    parts.append(f"Source: {found.source}")
    if found.facts:
        parts.append("Facts:\n" + "\n".join(f"  {key}: {_value(value)}" for key, value in found.facts.items()))
    if not found.fields:
        parts.append("Fields: none")
    else:
        parts.append("Fields:")
    for field in found.fields:
        bounds = f" ({', '.join(field.bounds)})" if field.bounds else ""
        default = "required" if field.required else f"default {json.dumps(field.default, ensure_ascii=False)}"
        parts.append(f"  {field.name}: {field.type}{bounds}, {default}\n      {field.about}")
    return "\n\n".join(part for part in parts if part)


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
