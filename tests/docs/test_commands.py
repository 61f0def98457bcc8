"""Every command in the README and the documentation is real, and is run, in the order of its page.

`<!-- quick -->` on a line of its own before a block marks what is run always; the others run with the slow tests, on
files and runs that are made for them. All run with a small part of the sample data, on the tiny backbone; what needs
the network or a GPU is left out, and said.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

import graftlm
from graftlm import samples
from graftlm.cli import main as cli
from graftlm.core import registry

sys.path.insert(0, str(Path(__file__).parent))
import materials

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"^(?P<indent> *)(?P<mark><!-- quick -->\n+ *)?```(?P<kind>\w+)[^\n]*\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
PROGRAMS = {"graft", "make", "pip", "python", "cd", "git", "cat", "echo", "head", "hf"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    kind: str
    text: str
    quick: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        indent = len(match["indent"])
        body = "".join(line[indent:] if line[:indent].isspace() else line for line in match["text"].splitlines(True))
        line = text.count("\n", 0, match.start("text"))
        found.append(Block(page, line, match["kind"], body, bool(match["mark"])))
    return found


@dataclass(frozen=True)
class Command:
    """One command of a shell block: its words, what it reads from (words of another command), where it writes to."""

    words: tuple[str, ...]
    source: tuple[str, ...] = ()
    target: str | None = None


def commands(text: str) -> list[Command]:
    """Return the commands of a shell block: one a line, `a | b`, `a > file`, `# comment`, a `\\` at the end."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|><")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = list(lexer)
        if not words:
            continue
        target = None
        if ">" in words:
            place = words.index(">")
            target, words = words[place + 1], words[:place]
        parts: list[list[str]] = [[]]
        for word in words:
            if word == "|":
                parts.append([])
            else:
                parts[-1].append(word)
        before: tuple[str, ...] = ()
        for number, part in enumerate(parts):
            found.append(Command(tuple(part), before, target if number == len(parts) - 1 else None))
            before = tuple(part)
    return found


SHELL = [block for page in PAGES for block in blocks(page) if block.kind in ("bash", "sh", "console")]
PYTHON = [block for page in PAGES for block in blocks(page) if block.kind == "python"]
YAML = [block for page in PAGES for block in blocks(page) if block.kind == "yaml"]
# The Chinese README shows the commands of the English one, as another test holds.
QUICK = sorted({block.page for block in [*SHELL, *PYTHON] if block.quick and block.page.name != "README.zh-CN.md"})


def test_there_are_commands_to_check():
    assert len(SHELL) > 20
    assert len(PYTHON) > 5
    assert {page.name for page in QUICK} >= {"README.md", "first-steps.md"}


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_is_real(block: Block):
    for command in commands(block.text):
        program = Path(command.words[0]).name
        if "=" in program:  # NAME=value command
            command = Command(command.words[1:])
            program = Path(command.words[0]).name
        assert program in PROGRAMS or (ROOT / command.words[0]).is_file(), f"{block}: {command.words}"
        if program == "graft":
            _parses(command.words[1:], block)
        elif program == "make":
            targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            for word in command.words[1:]:
                assert word in targets or re.match(r"[A-Z_]+=", word), f"{block}: no target {word}"
        elif program == "pip":
            _installs(command.words, block)
        elif program == "python" and not command.words[1].startswith("-"):
            assert (ROOT / command.words[1]).is_file(), f"{block}: {command.words}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("graft serve runs/mine", "there is no verb serve"),
        ("graft fit a.csv --no-such-option 1", "No such option"),
        ("graft fit a.csv --method lorra", "no method called 'lorra'"),
        ("graft fit a.csv --set train.epoch=3", "'train.epoch' is not a key"),
        ("graft fit a.csv --set methods.0.layers=2", "has no field 'layers'"),
        ("graft describe method lorra", "no method lorra"),
        ("graft predict runs/mine", "Missing argument"),
        ("make coffee", "no target coffee"),
        ("pip install '.[everything]'", "no extra everything"),
        ("curl example.org", "curl"),
    ],
)
def test_a_command_that_is_not_real_is_found(text: str, fault: str):
    block = Block(ROOT / "README.md", 0, "bash", text, False)
    with pytest.raises((AssertionError, click.ClickException, graftlm.GraftError)) as found:
        test_every_command_is_real(block)
    shown = found.value.format_message() if isinstance(found.value, click.ClickException) else str(found.value)
    assert fault in shown


def _parses(words: tuple[str, ...], block: Block) -> None:
    """Hold a call of `graft` against the verb's own parser, its plug-ins and its recipe."""
    if words[0].startswith("-"):
        assert words[0] in ("--help", "--version"), f"{block}: {words}"
        return
    verb = words[0]
    assert verb in cli.verbs(), f"{block}: there is no verb {verb}"
    command = cli.root.get_command(click.Context(cli.root), verb)
    assert command is not None
    try:
        context = command.make_context(verb, list(words[1:]), parent=click.Context(cli.root, obj=cli.State()))
    except click.exceptions.Exit:
        return  # --help
    given = {key: value for key, value in context.params.items() if value not in (None, (), False)}
    if _made_here(words, block):
        return  # a plug-in that the page itself adds; the page's own test follows it
    if verb in ("list", "describe", "new") and "kind" in given:
        kind = registry.kind_named(given["kind"])
        if verb == "describe":
            assert given["name"] in registry.names(kind), f"{block}: no {kind} {given['name']}"
    if verb in ("fit", "check", "demo"):
        from graftlm.verbs.arguments import recipe_of

        data = given.pop("data", "")
        for key in ("as_json", "tokens", "memory", "resume"):
            given.pop(key, None)
        recipe_of(_recipe_above(block) if data.endswith(".yaml") else {}, **given)


def _made_here(words: tuple[str, ...], block: Block) -> bool:
    """Tell whether a command names a plug-in that its page makes with `graft new`."""
    if words[0] == "new":
        return False
    made = re.findall(r"^graft new \w+ (\w+)", block.page.read_text(encoding="utf-8"), re.MULTILINE)
    return any(name in words for name in made)


def _recipe_above(block: Block) -> dict[str, Any]:
    """Return the recipe that a page shows before a block, which a command of it runs."""
    import yaml

    above = [each for each in blocks(block.page) if each.kind == "yaml" and each.line < block.line]
    return yaml.safe_load(above[-1].text) if above else {}


def _installs(words: tuple[str, ...], block: Block) -> None:
    """Hold the extras of an install command against the package's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        if extras := re.search(r"\[(.*)\]", word):
            for extra in extras[1].split(","):
                assert extra in project["optional-dependencies"], f"{block}: no extra {extra}"


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_every_python_block_compiles_and_names_what_is_there(block: Block):
    compile(block.text, str(block), "exec")
    for name in re.findall(r"\bgraftlm\.([a-z_]\w*)", block.text):
        assert name in graftlm.__all__ or (ROOT / "src" / "graftlm" / name).exists() or name in ("recipe",), name


@pytest.mark.parametrize("block", YAML, ids=str)
def test_every_recipe_is_one(block: Block):
    import yaml

    from graftlm import recipe

    tree = yaml.safe_load(block.text)
    if "runs" in tree:
        from graftlm.verbs.running import read_plan

        read_plan(tree)
    else:
        recipe.build(tree)


def test_the_readmes_hold_the_demo_word_for_word():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import refresh_demo
    finally:
        sys.path.pop(0)
    output = refresh_demo.OUTPUT.read_text(encoding="utf-8")
    for name in refresh_demo.READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert refresh_demo.refreshed(text, output) == text, f"{name} is stale: python scripts/refresh_demo.py"
        assert f"```text\n{output.rstrip()}\n```" in text


def test_refreshing_replaces_what_is_between_the_markers_and_nothing_else():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import refresh_demo
    finally:
        sys.path.pop(0)
    before = "# A\n<!-- demo -->\nold\n<!-- /demo -->\nend \\1\n"
    assert refresh_demo.refreshed(before, "new \\1\n") == (
        "# A\n<!-- demo -->\n```text\nnew \\1\n```\n<!-- /demo -->\nend \\1\n"
    )
    with pytest.raises(ValueError, match="found them 0 times"):
        refresh_demo.refreshed("# A\n", "new")


def test_both_readmes_show_the_same_commands():
    english, chinese = (
        [line for block in blocks(ROOT / name) if block.kind in ("bash", "python", "yaml") for line in _code(block)]
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese


def _code(block: Block) -> list[str]:
    """Return the lines of a block without comments and without what a reader would name in his own language."""
    lines = [re.sub(r"\s*#.*", "", line).rstrip() for line in block.text.splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_inside_the_repository_lead_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        generated = "reference/" in f"{page.parent.name}/{target}" and target.endswith(".md")
        assert generated or (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_no_path_of_one_machine(page: Path):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(home|root|work|tmp|Users|opt)/", text)


class _Blend(io.TextIOWrapper):
    """Standard output that can be written to as text and reconfigured, as the command line does."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


@pytest.fixture
def playground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files that the pages speak of, small; the default backbone is the tiny one there."""
    rows: dict[str, list[str]] = {}
    for split, most in (("train", 24), ("test", 8)):
        with gzip.open(samples.path("banking77", split), "rt", encoding="utf-8", newline="") as handle:
            head, *lines = handle.read().splitlines()
        wanted = ("card_arrival", "exchange_rate", "age_limit")
        kept = [line for label in wanted for line in [x for x in lines if x.endswith(f",{label}")][:most]]
        rows[split] = kept
        (tmp_path / f"{split}.csv").write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    texts = [line.rpartition(",")[0] for line in rows["test"]]
    (tmp_path / "new.csv").write_text("\n".join(["text", *texts]) + "\n", encoding="utf-8")
    (tmp_path / "new.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (tmp_path / "my_metrics.py").write_text(
        "def cost(true, predicted):\n    return sum(t != p for t, p in zip(true, predicted)) / len(true)\n\n\n"
        "cost.higher_is_better = False\n",
        encoding="utf-8",
    )
    make = registry.make

    def smaller(kind: str, given: Any) -> Any:
        if kind == "backbone" and given in ("minilm", {"use": "minilm"}):
            given = "tiny"
        return make(kind, given)

    monkeypatch.setattr(registry, "make", smaller)
    monkeypatch.setattr("graftlm.stages.training.planning.FEWEST_STEPS", 4)
    monkeypatch.setattr("graftlm.stages.training.planning.USUAL_EPOCHS", 2.0)
    monkeypatch.setattr(samples, "path", lambda name, split: tmp_path / f"{split}.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("page", QUICK, ids=lambda page: page.relative_to(ROOT).as_posix())
@pytest.mark.timeout(600)
def test_quick_blocks_run(page: Path, playground: Path, monkeypatch: pytest.MonkeyPatch):
    for block in blocks(page):
        if not block.quick:
            continue
        if block.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.text, str(block), "exec"), {})  # noqa: S102
        elif block.kind == "yaml":
            (playground / "recipe.yaml").write_text(block.text, encoding="utf-8")
        else:
            _run(block, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.zh-CN.md"], ids=lambda p: p.name)
@pytest.mark.timeout(1800)
def test_all_other_commands_run(page: Path, playground: Path, monkeypatch: pytest.MonkeyPatch):
    """Run every block of a page, the quick ones with them: later ones may read what they made."""
    import yaml

    monkeypatch.setattr("graftlm.verbs.scaffolding._checkout", lambda: None)  # plug-ins go into the current folder
    monkeypatch.setenv("GRAFTLM_CACHE", str(playground / "cache"))
    recipes: list[str] = []
    left: list[str] = []
    for block in blocks(page):
        if block.kind == "yaml":
            recipes.append(block.text)
        if block.kind not in ("bash", "sh", "console"):
            continue
        for command in commands(block.text):
            if Path(command.words[0]).name != "graft" or command.words[1].startswith("-"):
                continue
            words = command.words[1:]
            if _made_here(words, block):
                continue
            below = [each.text for each in blocks(page) if each.kind == "yaml" and each.line > block.line]
            for word in words:
                if word.endswith(".yaml") and not Path(word).exists():
                    given = ROOT / word
                    text = given.read_text(encoding="utf-8") if given.is_file() else [*below[::-1], *recipes][-1]
                    Path(word).parent.mkdir(parents=True, exist_ok=True)
                    Path(word).write_text(text, encoding="utf-8")
            tree = next((yaml.safe_load(Path(w).read_text(encoding="utf-8")) for w in words if w.endswith(".yaml")), {})
            if reason := materials.out_of_reach(words):
                left.append(f"graft {' '.join(words)}: needs {reason}")
                continue
            run = functools.partial(_call, block=block)
            materials.provide(words, tree, run)
            if command.source:
                materials.provide(command.source[1:], {}, run)
                piped = subprocess.run(command.source, capture_output=True, check=True).stdout
                monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped), encoding="utf-8"))
            text = _call(words, block, gates="--require-gain" in words or "--forget-at-most" in words)
            if command.target:
                Path(command.target).write_text(text, encoding="utf-8")
    for line in left:
        print("left out:", line)


def _call(words: Any, block: Block, gates: bool = False) -> str:
    """Carry out a call of `graft`; return what it printed."""
    out, errors = _Blend(), io.StringIO()
    with _swapped(out), contextlib.redirect_stderr(errors):
        code = cli.main(list(words))
    told = f"{block}: graft {' '.join(words)} gave {code}: {errors.getvalue()[-2000:]}"
    assert code == 0 or (gates and code == 3), told
    return out.text()


def _run(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = commands(block.text)
    for number, command in enumerate(listed):
        if Path(command.words[0]).name != "graft":
            assert command.words in [each.source for each in listed[number + 1 :]], f"{block}: {command.words}"
            continue
        if command.source:
            piped = subprocess.run(command.source, capture_output=True, check=True).stdout
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped), encoding="utf-8"))
        text = _call(command.words[1:], block)
        if command.target:
            Path(command.target).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _swapped(out: Any) -> Iterator[None]:
    before, sys.stdout = sys.stdout, out
    try:
        yield
    finally:
        sys.stdout = before
