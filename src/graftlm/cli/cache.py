"""Show what is kept on disk for the next run, or clear it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from graftlm.verbs.caching import Kept


@click.command()
@click.argument("action", type=click.Choice(["show", "clear"]), default="show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(action: str, as_json: bool) -> None:
    """Show what is kept on disk for the next run; `graft cache clear` removes it.

    The tokens of 20,000 rows or more are kept, so that the next run on the same rows starts sooner. GRAFTLM_CACHE
    names another folder, GRAFTLM_CACHE_LIMIT another size (500M, 5G; 0 keeps nothing).
    """
    from graftlm.verbs.caching import cache

    found = cache(clear=action == "clear")
    click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2) if as_json else _page(found))


def _page(found: Kept) -> str:
    import datetime

    lines = [f"freed    {_size(found.freed)}"] if found.freed else []
    lines += [f"folder   {found.folder}", f"holds    {_size(found.bytes)} of {_size(found.limit)}"]
    for entry in found.entries:
        used = datetime.datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        lines.append(f"{entry.kind:<9}{_size(entry.bytes):>10}  used {used}  {entry.about}")
    return "\n".join(lines)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
