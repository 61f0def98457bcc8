"""What `graft new` writes lints as it is, and passes the conformance suite once its blanks are filled."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graftlm
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.verbs.scaffolding import BLANK, new

PACKAGE = Path(graftlm.__file__).parent
ROOT = PACKAGE.parent.parent
TOOLS = Path(sys.executable).parent

LIKE = 'registry.make("task", "classification")'
# What an author would write in place of the bodies, by kind and verb. The other kinds have no checks of
# their own yet; their bodies are filled with an error.
BODIES = {
    "loss": {"__call__": "return look.outputs.logits.float().square().mean()"},
    "method": {"apply": "return Adaptation()"},
    "optimizer": {
        "build": """from torch.optim import RMSprop

        return RMSprop(list(groups), lr=rate, weight_decay=self.weight_decay)"""
    },
    "baseline": {
        "fit": """found = [str(label) for label in rows.column(rows.target or "")]
        best = max(setting.space.labels, key=found.count)
        return lambda asked: [Answer(best, 1.0)] * len(asked)"""
    },
    "reader": {"claims": "return 0.0", "read": 'raise DataError(f"{given}: nothing is read here")'},
    "transferability": {
        "__call__": """means = [view.features[view.target == c].mean(0) for c in set(view.target.tolist())]
        return float(sum(((mean - view.features.mean(0)) ** 2).sum() for mean in means))"""
    },
    "backbone": {"open": 'raise UserError("there is no model here")'},
    "task": {
        "check": f"return {LIKE}.check(splits)",
        "space": f"return {LIKE}.space(rows)",
        "encode": f"return {LIKE}.encode(examples, tokenizer, limit)",
        "targets": f"return {LIKE}.targets(examples, inputs, space)",
        "loss": f"return {LIKE}.loss(outputs, targets)",
        "decode": f"return {LIKE}.decode(example, inputs, pieces, space)",
        "grade": f"return {LIKE}.grade(answers, examples, space)",
    },
}
IMPORTS = {
    "baseline": "from graftlm.contracts.values import Answer\n",
    "reader": "from graftlm.core.errors import DataError\n",
    "backbone": "from graftlm.core.errors import UserError\n",
    "task": "from graftlm.core import registry\n",
}


def fill(kind: str, source: Path, test: Path) -> None:
    """Fill in the blanks as an author would."""
    text = source.read_text(encoding="utf-8")
    for verb, body in BODIES.get(kind, {}).items():
        pattern = rf"(def {verb}\((?:.|\n)*?:\n\s+)raise NotImplementedError\((?:.|\n)*?\"\n?\s*\)"
        text, count = re.subn(pattern, lambda found, body=body: found[1] + body, text)
        assert count == 1, f"{kind}.{verb}: no blank found in\n{text}"
    if kind in IMPORTS:
        marker = re.search(r"from graftlm", text).start()
        text = text[:marker] + IMPORTS[kind] + text[marker:]
    for fact in ("roles", "auto_model", "metrics", "baselines") if kind == "task" else ():
        text = re.sub(rf"( {fact}: .*) = .*", rf"\1 = {LIKE}.{fact}", text)
    text = re.sub(r'ClassVar\[str\] = ""', 'ClassVar[str] = "Author 2020, section 1"', text)
    text = re.sub(r"\(fill in: [^\n]*?\)(\.?\"\"\")", r"Says what it does\1", text)
    text = re.sub(r"\(fill in: [^\n]*?\)\"", 'later"', text)
    assert BLANK not in text, text
    source.write_text(text, encoding="utf-8")
    body = test.read_text(encoding="utf-8")
    body = re.sub(r"\(fill in: [^\n]*?\)\.\"\"\"", 'Compared with its formula."""', body)
    body = re.sub(r"pytest\.fail\(.*\)", 'assert registry.load("' + kind + '", "fresh_one").source', body)
    test.write_text(body.replace("import pytest\n\n", ""), encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a copy of the checkout with a new plug-in of every kind, blanks not filled in yet."""
    folder = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.csv.gz")
    for part in ("src", "tests/conformance", "tests/conftest.py", "pyproject.toml"):
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (
            shutil.copytree(ROOT / part, target, ignore=ignore)
            if (ROOT / part).is_dir()
            else shutil.copy(ROOT / part, target)
        )
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder / name)
    program = (
        "from graftlm.cli.main import main; from graftlm.core import registry; import sys\n"
        "sys.exit(max(main(['new', kind, 'fresh_one']) for kind in registry.kinds()))"
    )
    run(folder, [sys.executable, "-c", program])
    return folder


def run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done


def written(folder: Path, kind: str) -> tuple[Path, Path]:
    place = registry.FOLDERS[kind]
    source = folder / "src" / "graftlm" / "plugins" / place / "fresh_one.py"
    return source, folder / "tests" / "plugins" / place / "test_fresh_one.py"


def test_every_kind_is_written_where_it_belongs_and_lints_unfilled(checkout):
    files = [str(path) for kind in registry.kinds() for path in written(checkout, kind)]
    assert all(Path(path).is_file() for path in files)
    run(checkout, [str(TOOLS / "ruff"), "check", "--no-cache", *files])
    run(checkout, [str(TOOLS / "ruff"), "format", "--no-cache", "--check", *files])
    for kind in registry.kinds():
        for path in written(checkout, kind):
            assert BLANK in path.read_text(encoding="utf-8")


@pytest.mark.timeout(300)
def test_filled_in_it_lints_and_passes_the_conformance_suite(checkout):
    for kind in registry.kinds():
        fill(kind, *written(checkout, kind))
    sources = [str(written(checkout, kind)[0]) for kind in registry.kinds()]
    run(checkout, [str(TOOLS / "ruff"), "check", "--no-cache", "--fix", "--select", "I", *sources])
    run(checkout, [str(TOOLS / "ruff"), "check", "--no-cache", *sources])
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/plugins"]
    files = ["tests/conformance/test_every_plugin.py", *(f"tests/conformance/{each}" for each in _suites(checkout))]
    done = run(checkout, [*suite, *files, "-k", "fresh_one"])
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 14 * len(registry.kinds())


def _suites(folder: Path) -> list[str]:
    """Return the files of the suite that hold the kinds which are filled in fully."""
    found = []
    for path in sorted((folder / "tests" / "conformance").glob("test_*.py")):
        stem = path.stem.removeprefix("test_")
        if any(stem == registry.FOLDERS[kind] for kind in BODIES):
            found.append(path.name)
    return found


def test_elsewhere_it_is_written_for_a_package_of_a_third_party(tmp_path):
    found = new("loss", "fading", tmp_path)
    assert (found.source, found.test) == (tmp_path / "fading.py", tmp_path / "tests" / "test_fading.py")
    assert found.entry_point == '[project.entry-points."graftlm.loss"]\nfading = "your_package.fading"'
    ast.parse(found.source.read_text(encoding="utf-8"))
    with pytest.raises(UserError, match=r"fading\.py' exists already\. Choose another name"):
        new("loss", "fading", tmp_path)


@pytest.mark.parametrize("name", ["Fading", "3d", "class", "_own", "with-dash", "", "a b"])
def test_what_cannot_name_a_file_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="cannot name a plug-in. Expected a lower-case Python name"):
        new("loss", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"The optimizer 'sgd' exists already: .*sgd\.py"):
        new("optimizer", "sgd", tmp_path)
    with pytest.raises(UserError, match="Did you mean 'loss'"):
        new("lss", "fading", tmp_path)


def test_a_plug_in_named_like_its_contract_keeps_the_two_apart(tmp_path):
    text = new("loss", "loss", tmp_path).source.read_text(encoding="utf-8")
    assert "class LossLoss(Loss):" in text
