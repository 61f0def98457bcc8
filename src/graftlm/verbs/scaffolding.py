"""A new plug-in: one source file and one test file, written from the contract of its kind.

There are no templates to keep: the verbs, their types and the facts to fill in are read from the
contract's own file, so a new kind can be scaffolded as soon as its contract stands.
"""

from __future__ import annotations

import ast
import keyword
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import graftlm
from graftlm.core import files, registry
from graftlm.core.errors import UserError

PACKAGE = Path(graftlm.__file__).parent
WIDTH = 120
BLANK = "(fill in: "
"""What every place begins with that the author has to fill in."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and the entry point that a package of a third party needs (None in a checkout)."""

    source: Path
    test: Path
    entry_point: str | None


def new(kind: str, name: str, folder: Path | str | None = None) -> Written:
    """Write a plug-in and its test.

    In a checkout of this package they go where they belong; elsewhere into `folder` (the current one,
    if None) and `folder/tests`.

    Raises:
        UserError: the kind is unknown, the name is taken or cannot name a file of Python, a file is in the way.
    """
    kind = registry.kind_named(kind)
    _check_name(kind, name)
    root = _checkout()
    inside = root is not None and folder is None
    if root is not None and folder is None:
        source = PACKAGE / "plugins" / registry.FOLDERS[kind] / f"{name}.py"
        test = root / "tests" / "plugins" / registry.FOLDERS[kind] / f"test_{name}.py"
    else:
        base = Path(folder or ".")
        source, test = base / f"{name}.py", base / "tests" / f"test_{name}.py"
    for path in (source, test):
        if path.exists():
            raise UserError(f"'{path}' exists already. Choose another name, or move the file away.")
    files.write_text(source, text_of_source(kind, name))
    files.write_text(test, text_of_test(kind, name))
    point = None if inside else f'[project.entry-points."graftlm.{kind}"]\n{name} = "your_package.{name}"'
    return Written(source, test, point)


def _check_name(kind: str, name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower() or name.startswith("_"):
        raise UserError(
            f"'{name}' cannot name a plug-in. Expected a lower-case Python name, no keyword, such as 'my_{kind}'."
        )
    if name in registry.names(kind):
        raise UserError(f"The {kind} '{name}' exists already: {registry.where(kind, name)}.")


def _checkout() -> Path | None:
    """Return the root of the checkout that this package runs from, or None."""
    root = PACKAGE.parent.parent
    settings = root / "pyproject.toml"
    if PACKAGE.parent.name != "src" or not (root / "tests").is_dir() or not settings.is_file():
        return None
    return root if '\nname = "graftlm"\n' in settings.read_text(encoding="utf-8") else None


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def text_of_source(kind: str, name: str) -> str:
    """Return the source file of a plug-in, its blanks unfilled."""
    tree = ast.parse((PACKAGE / "contracts" / f"{kind}.py").read_text(encoding="utf-8"))
    contract = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == _camel(kind))
    facts = [_fact(node) for node in contract.body if isinstance(node, ast.AnnAssign) and _is_blank_fact(node)]
    verbs = [node for node in contract.body if isinstance(node, ast.FunctionDef) and _is_abstract(node)]
    methods = [_verb(node) for node in verbs]
    used = {n.id for part in [*facts, *methods] for n in ast.walk(ast.parse(part)) if isinstance(n, ast.Name)}
    plain, typing_only = _imports(tree, kind, used | {"ClassVar", contract.name})
    title = _camel(name)
    own = title if title not in used | {contract.name} else f"{title}{contract.name}"
    body = ['    source: ClassVar[str] = ""', *(f"    {fact}" for fact in facts)]
    parts = [f'"""{title}: {BLANK}what it does, in one line)."""', "from __future__ import annotations", plain]
    if typing_only:
        block = "\n".join(f"    {line}" if line else "" for line in typing_only.split("\n"))
        parts.append("if TYPE_CHECKING:\n" + block)
    doc = f'    """{BLANK}the formula, when to use it, which neighbour to prefer otherwise)."""'
    text = "\n\n".join([*parts, f"\nclass {own}({contract.name}):\n{doc}\n\n" + "\n".join(body)])
    return text + "".join("\n\n" + _indented(method) for method in methods) + "\n"


def _is_blank_fact(node: ast.AnnAssign) -> bool:
    """Tell whether a class fact is declared empty, for each plug-in to state."""
    name = node.target.id if isinstance(node.target, ast.Name) else ""
    empty = node.value is not None and ast.unparse(node.value) in ("''", "()")
    return name not in ("kind", "source") and empty and "ClassVar" in ast.unparse(node.annotation)


def _fact(node: ast.AnnAssign) -> str:
    return ast.unparse(node).replace("''", '""')


def _is_abstract(node: ast.FunctionDef) -> bool:
    return any(isinstance(mark, ast.Name) and mark.id == "abstractmethod" for mark in node.decorator_list)


def _verb(node: ast.FunctionDef) -> str:
    """Return a verb's head as the contract has it, wrapped, with a body that asks to be filled in."""
    about = (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".").replace('"', "'")
    about = about[:1].lower() + about[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = re.sub(r"(: [\w\[\], |.]+)=", r"\1 = ", ast.unparse(node.args).replace("'", '"'))
    head = f"def {node.name}({arguments}){returns}:"
    if len(head) + 4 > WIDTH:
        head = f"def {node.name}(\n    {arguments}\n){returns}:"
    text = f'"{BLANK}{textwrap.shorten(about, WIDTH - 30)})"'
    body = f"raise NotImplementedError({text})"
    if len(body) + 8 > WIDTH:
        body = f"raise NotImplementedError(\n        {text}\n    )"
    return f"{head}\n    {body}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.split("\n"))


def _imports(tree: ast.Module, kind: str, used: set[str]) -> tuple[str, str]:
    """Return the import lines for the names in use: those for running, those for types alone."""
    module = f"graftlm.contracts.{kind}"
    plain: dict[str, set[str]] = {}
    typed: dict[str, set[str]] = {}
    aliased: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            _collect(node, plain, used)
        elif isinstance(node, ast.ClassDef) and node.name in used:
            plain.setdefault(module, set()).add(node.name)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id in used:
                    plain.setdefault(module, set()).add(target.id)
        elif isinstance(node, ast.If):
            for inner in node.body:
                if isinstance(inner, ast.ImportFrom):
                    _collect(inner, typed, used)
                elif isinstance(inner, ast.Import):
                    aliased += [ast.unparse(ast.Import([a])) for a in inner.names if (a.asname or a.name) in used]
    if typed or aliased:
        plain.setdefault("typing", set()).add("TYPE_CHECKING")
    plain.setdefault("typing", set()).add("ClassVar")
    return _sorted(plain, []), _sorted(typed, aliased)


def _collect(node: ast.ImportFrom, into: dict[str, set[str]], used: set[str]) -> None:
    found = {ast.unparse(alias) for alias in node.names if (alias.asname or alias.name) in used}
    if found and node.module:
        into.setdefault(node.module, set()).update(found)


def _sorted(found: dict[str, set[str]], aliased: list[str]) -> str:
    """Return import lines in the order that ruff wants: `import` first, then by module; three sections."""
    lines = [(_section(line.split()[1]), 0, line) for line in sorted(aliased)]
    for module in sorted(found):
        names = sorted(found[module], key=lambda name: (not name.isupper(), name))
        lines.append((_section(module), 1, f"from {module} import {', '.join(names)}"))
    lines.sort(key=lambda item: item[:2])
    sections = [[line for section, _, line in lines if section == wanted] for wanted in range(3)]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _section(module: str) -> int:
    top = module.partition(".")[0]
    return 0 if top in sys.stdlib_module_names else 2 if top == "graftlm" else 1


def text_of_test(kind: str, name: str) -> str:
    """Return the test file of a plug-in, its blank unfilled."""
    return f'''"""{_camel(name)}: {BLANK}what these tests compare it with)."""

from __future__ import annotations

import pytest

from graftlm.core import registry


def test_it_is_made_from_its_own_options():
    plugin = registry.make("{kind}", "{name}")
    assert registry.make("{kind}", plugin.as_use()) == plugin


def test_it_does_what_its_source_says():
    pytest.fail("{BLANK}compare with a closed form, a reference implementation or a figure of the source)")
'''
