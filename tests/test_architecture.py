"""What holds the whole together: layers, ratchets, and what may be imported when.

A number here only ever goes down. Where it must go up, the change says why.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import graftlm
from graftlm.cli import main as cli

PACKAGE = Path(graftlm.__file__).parent
ROOT = PACKAGE.parent.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

LONGEST_FILE = 400
ROOT_NAMES = 24
COMMAND_LINE_OPTIONS = 74  # --task of predict and evaluate, --task and --out of export
TYPE_IGNORES = 28
SECONDS_TO_START = 0.5
HEAVY = ("torch", "transformers", "sklearn", "datasets", "pandas", "accelerate", "scipy", "pyarrow", "numpy")


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def loaded(program: str, among: tuple[str, ...]) -> str:
    """Return which of some packages a program has imported at its end."""
    return python(f"import sys\n{program}\nprint([name for name in {among!r} if name in sys.modules])")


def test_the_layers_hold():
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_is_too_long():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    longest = max(lengths, key=lengths.__getitem__)
    assert lengths[longest] <= LONGEST_FILE, f"{longest.relative_to(PACKAGE)} has {lengths[longest]} lines: split it"


def test_files_are_small_on_the_whole():
    assert statistics.median(len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES) <= 120


def test_the_root_has_few_names_and_each_of_them_is_there():
    assert len(graftlm.__all__) <= ROOT_NAMES
    assert graftlm.__all__ == sorted(graftlm.__all__)
    for name in graftlm.__all__:
        assert getattr(graftlm, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = graftlm.no_such_name


def test_names_for_people_and_names_for_type_checkers_are_the_same():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {f"{node.module}.{alias.name}" for node in block.body for alias in node.names}
    lazy = {f"graftlm.{home}.{name}" for home, names in graftlm._HOMES.items() for name in names}
    assert typed == lazy
    assert {each.rpartition(".")[2] for each in lazy} | {"__version__"} == set(graftlm.__all__)


def test_every_verb_of_the_command_line_is_a_function():
    others = {"list": "list_plugins"}
    for verb in cli.verbs():
        assert callable(getattr(graftlm, others.get(verb, verb))), verb


def test_the_command_line_has_few_options():
    import click

    total = 0
    for verb in cli.verbs():
        command = cli.root.get_command(click.Context(cli.root), verb)
        total += sum(isinstance(each, click.Option) and each.name not in ("debug", "help") for each in command.params)
    assert total <= COMMAND_LINE_OPTIONS, f"{total} options; --set path=value reaches every field"


def test_type_ignores_become_fewer():
    count = sum(path.read_text(encoding="utf-8").count("# type: " + "ignore") for path in SOURCES)
    assert count <= TYPE_IGNORES


def test_no_user_error_is_an_assert_and_nothing_is_left_to_do():
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(text))), path
        assert not marks.search(text), path


def test_importing_the_package_imports_nothing_heavy():
    assert loaded("import graftlm", (*HEAVY, "pydantic", "yaml", "rich")) == "[]"


@pytest.mark.parametrize(
    "program",
    [
        "from graftlm.cli.main import main; main(['--help'])",
        "from graftlm.cli.main import main; main(['--version'])",
        "from graftlm.cli.main import main; main(['no_such_verb'])",
    ],
)
def test_help_imports_nothing_heavy(program):
    assert loaded(program, (*HEAVY, "pydantic", "yaml")).splitlines()[-1] == "[]"


def test_listing_and_new_names_import_no_torch():
    assert loaded("from graftlm.cli.main import main; main(['list'])", HEAVY).splitlines()[-1] == "[]"


def test_every_verbs_help_is_quick_to_come(capfd):
    program = "from graftlm.cli.main import main, verbs; [main([verb, '--help']) for verb in verbs()]"
    assert loaded(program, ("torch", "transformers", "sklearn", "datasets", "pandas")).splitlines()[-1] == "[]"


def test_reading_a_recipe_imports_no_torch():
    program = "from graftlm import recipe; recipe.build({'methods': 'freeze', 'data': {'train': 'a.csv'}}).as_yaml()"
    assert loaded(program, ("torch", "transformers", "sklearn", "datasets")) == "[]"


@pytest.mark.parametrize("arguments", [["-c", "import graftlm"], ["-m", "graftlm", "--help"]])
def test_starting_takes_no_time(arguments):
    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < SECONDS_TO_START
