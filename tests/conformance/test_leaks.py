"""Nobody names a plug-in: a name chosen in shared code is a special case that the next plug-in cannot have.

Looked at are the strings that decide something: comparisons, `match`, keys and arguments that choose a
plug-in. Defaults of fields in `recipe.py` are the one exception, and a plug-in may state its own name and,
as data, those of others (a task's baselines).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import graftlm
from graftlm.core import registry

PACKAGE = Path(graftlm.__file__).parent
NAMES = {name: kind for kind in registry.kinds() for name in registry.names(kind)}
# Words with a meaning of their own beside the plug-in of that name; a new plug-in does not belong here.
OTHER_MEANINGS = {
    "json": "pydantic's mode",
    "probe": "where a head starts; a stage's time",
    "scratch": "what a baseline may ask for",
    "full": "the whole of something",
    "truncated": "texts longer than the limit",
    "csv": "the file format",
    "hub": "the extra of that name",
    "local": "a place",
    "lines": "rows of a file",
    "memory": "the machine's",
    "generation": "the extra of that name",
    "replay": "a stream of random numbers",
    "no_answer": "the code of a finding",
    "similarity": "a column's name",
    "prefix": "what every source begins with",
    "temperature": "how freely a decoder draws",
    "parallel": "where a bottleneck stands",
    "prompt": "a role of generation, a column's name",
}
DECIDING = ("make", "load", "names", "where", "summary")


def strings(node: ast.AST) -> Iterator[ast.Constant]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner


def deciding(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the strings that choose: compared, matched, or given to the registry or as `use`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.MatchValue) or (isinstance(node, ast.Compare) and not _own_option(node.left)):
            yield from strings(node)
        elif isinstance(node, ast.Call) and _of_registry(node.func):
            for argument in node.args[1:]:
                yield from strings(argument)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "use":
                    yield from strings(value)


def _own_option(left: ast.expr) -> bool:
    """Tell whether `self.field` is compared: the words of a plug-in's own options are its own."""
    return isinstance(left, ast.Attribute) and isinstance(left.value, ast.Name) and left.value.id == "self"


def _of_registry(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in DECIDING
        and isinstance(function.value, ast.Name)
        and function.value.id == "registry"
    )


def leaks(text: str, own: str = "") -> list[str]:
    """Return the plug-ins that a file names, with the line."""
    tree = ast.parse(text)
    chosen = {id(constant) for constant in deciding(tree)}
    return [
        f"line {constant.lineno}: '{constant.value}' is a {NAMES[constant.value]}"
        for constant in strings(tree)
        if constant.value in NAMES
        and constant.value != own
        and (id(constant) in chosen if constant.value in OTHER_MEANINGS else True)
    ]


def is_data(tree_line: str) -> bool:
    return "baselines: ClassVar" in tree_line


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_names_a_plug_in_of_another_file(path):
    if path == PACKAGE / "recipe.py":
        return
    own = path.stem if path.parent.parent == PACKAGE / "plugins" else ""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = [leak for leak in leaks(text, own) if not is_data(lines[int(leak.split()[1].rstrip(":")) - 1])]
    assert not found, f"{path.relative_to(PACKAGE)}: {'; '.join(found)}. Ask the plug-in for a fact of its contract."


def test_a_leak_is_found():
    assert leaks('if method.name() == "probe":\n    pass') == ["line 1: 'probe' is a " + NAMES["probe"]]
    assert leaks('x = registry.make("optimizer", "adamw")') == ["line 1: 'adamw' is a optimizer"]
    assert leaks('x = {"use": "full"}')
    assert leaks('match kind:\n    case "csv":\n        pass')
    assert leaks('y = "freeze"')
    assert not leaks('y = "csv"')
    assert not leaks('y = "freeze"', own="freeze")
