"""A hook of MkDocs: writes the reference pages from the registry and the recipe's schema, and orders the pages.

Nothing in the reference is kept by hand: a new plug-in has its entry as soon as its file stands.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from graftlm.core import registry
from graftlm.recipe import Recipe, Section
from graftlm.verbs.describing import BOUNDS, Description, describe, type_text

FOLDER = "reference"


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages and put all pages into the order that `extra.order` names; what it lacks comes last."""
    from mkdocs.structure.files import File, file_sort_key
    from mkdocs.utils import nest_paths

    for name, text in pages().items():
        files.append(File.generated(config, f"{FOLDER}/{name}", content=text))
    order = list(config.extra.get("order", []))

    def place(file: Any) -> tuple[int, Any]:
        return next((n for n, start in enumerate(order) if file.src_uri.startswith(start)), len(order)), file_sort_key(
            file
        )

    shown = [file for file in sorted(files.documentation_pages(), key=place) if file.inclusion.is_in_nav()]
    config.nav = nest_paths(file.src_uri for file in shown)
    return files


def pages() -> dict[str, str]:
    """Return the text of each page of the reference by its file name."""
    found = {f"{kind}.md": of_kind(kind) for kind in registry.kinds() if registry.names(kind)}
    return {"index.md": overview(), "recipe.md": of_recipe(), "composition.md": _composition(), **found}


def _composition() -> str:
    """Return the page of what goes with what, which needs a model."""
    spec = importlib.util.spec_from_file_location("composition", Path(__file__).with_name("composition.py"))
    if spec is None or spec.loader is None:
        raise FileNotFoundError("scripts/composition.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.page())


def overview() -> str:
    """Return the table of all plug-ins."""
    parts = [
        "# Reference",
        "Every page of this section is written from the files of the package when the documentation is built. "
        "`graft list` and `graft describe` say the same in a terminal.",
        "[The keys of a recipe](recipe.md)",
    ]
    for kind in registry.kinds():
        names = registry.names(kind)
        if not names:
            continue
        rows = [f"| [`{name}`]({kind}.md#{name}) | {_cell(registry.summary(kind, name))} |" for name in names]
        parts.append("\n".join([f"## {kind}", "", "| name | what it is |", "|---|---|", *rows]))
    empty = [kind for kind in registry.kinds() if not registry.names(kind)]
    if empty:
        parts.append(
            "## Kinds without a plug-in yet\n\n"
            f"{', '.join(f'`{kind}`' for kind in empty)}: the contract stands in `src/graftlm/contracts/`, and "
            "`graft new KIND NAME` writes a plug-in and its test."
        )
    return "\n\n".join(parts) + "\n"


def of_kind(kind: str) -> str:
    """Return the page of one kind: each plug-in with its text, its source and its fields."""
    parts = [f"# {kind}", f"`graft list {kind}` shows these; `graft describe {kind} NAME` shows one of them."]
    found = [describe(kind, name) for name in registry.names(kind)]
    rows = [f"| [`{one.name}`](#{one.name}) | {_cell(one.when)} |" for one in found if one.when]
    if rows:
        parts.append("\n".join(["| name | when to use it |", "|---|---|", *rows]))
    parts += [of_plugin(one) for one in found]
    return "\n\n".join(parts) + "\n"


def of_plugin(found: Description) -> str:
    """Return the entry of one plug-in."""
    parts = [f"## {found.name} {{ #{found.name} }}", found.summary, found.about]
    if found.when:
        parts.append(f"*When:* {found.when}")
    parts.append(f"*Source:* {found.source}")
    if found.facts:
        parts.append("*Facts:* " + "; ".join(f"`{key}` = `{_json(value)}`" for key, value in found.facts.items()))
    if found.fields:
        rows = [
            f"| `{field.name}` | {_type(field.type)}{_bounds(field.bounds)} | "
            f"{'required' if field.required else f'`{_cell(_json(field.default))}`'} | {_cell(field.about)} |"
            for field in found.fields
        ]
        parts.append("\n".join(["| field | type | default | what it does |", "|---|---|---|---|", *rows]))
    else:
        parts.append("It has no fields.")
    return "\n\n".join(part for part in parts if part)


def of_recipe() -> str:
    """Return the page of the recipe's keys."""
    parts = [
        "# The keys of a recipe",
        "A recipe is a YAML file; `graft fit recipe.yaml` runs it. Everything has a default. Unknown keys are refused, "
        "and all faults are told together. `--set path=value` and `settings={'path': value}` reach every key here. "
        "`graft schema` prints the JSON schema, with the fields of every plug-in, for an editor.",
        "A place for a plug-in takes its bare name, or a mapping with `use` and its fields.",
        _section("", Recipe),
    ]
    return "\n\n".join(parts) + "\n"


def _section(path: str, section: type[Section]) -> str:
    rows, inner = [], []
    for name, info in section.model_fields.items():
        here = f"{path}.{name}".lstrip(".")
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            inner.append(_section(here, kind))
            rows.append(f"| [`{here}`](#{here.replace('.', '-')}) | section | | {_cell(info.description or '')} |")
            continue
        plugin = _plugin_kind(section, name)
        shown = _linked(plugin) if plugin else _type(type_text(kind))
        if plugin and str(section.model_json_schema()["properties"][name]).find("'array'") >= 0:
            shown += ", or a list of them"
        bounds = [t.format(getattr(m, k)) for m in info.metadata for k, t in BOUNDS.items() if hasattr(m, k)]
        default = info.get_default(call_default_factory=True)
        about = _cell(info.description)
        rows.append(f"| `{here}` | {shown}{_bounds(bounds)} | `{_cell(_default(default))}` | {about} |")
    table = "\n".join(["| key | type | default | what it does |", "|---|---|---|---|", *rows])
    head = f"## {path} {{ #{path.replace('.', '-')} }}\n\n{(section.__doc__ or '').strip()}\n\n" if path else ""
    return "\n\n".join([head + table, *inner])


def _plugin_kind(section: type[Section], name: str) -> str | None:
    """Return the kind of plug-in that a key takes, from its mark in the schema."""
    text = json.dumps(section.model_json_schema()["properties"][name])
    return text.partition('"x-kind": "')[2].partition('"')[0] or None


def _linked(kind: str) -> str:
    return f"[{kind}]({kind}.md)" if registry.names(kind) else kind


def _type(text: str) -> str:
    return f"`{text.replace(' | ', ' or ')}`"


def _default(value: Any) -> str:
    if isinstance(value, list):
        return _json([item.name() if hasattr(item, "name") else item for item in value])
    return value.name() if hasattr(value, "as_use") else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _bounds(bounds: Any) -> str:
    return f" {', '.join(bounds)}" if bounds else ""


def _cell(text: Any) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
