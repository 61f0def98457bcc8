"""The page that adds a loss is followed to the letter, in a copy of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-loss.md").read_text(encoding="utf-8")
NAME = "confidence_penalty"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the checkout with what the page makes in it."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "README.md", tmp_path)
    call(tmp_path, "-m", "graftlm", *command("new"))
    files = re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
    assert [Path(path).name for path, _ in files] == [f"{NAME}.py", f"test_{NAME}.py"]
    for path, text in files:
        assert (tmp_path / path).is_file(), f"graft new did not write {path}"
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def command(verb: str) -> list[str]:
    """Return the words of the page's call of a verb."""
    (line,) = re.findall(rf"^graft ({verb} .*)$", PAGE, re.MULTILINE)
    words: list[str] = line.split()
    return words


def call(folder: Path, *words: str) -> str:
    """Run Python in a folder with the sources there; return what it printed."""
    known = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.timeout(600)
def test_the_loss_of_the_page_passes_the_test_of_the_page(checkout: Path):
    said = call(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/plugins/losses/test_{NAME}.py")
    assert "2 passed" in said
    assert "Pereyra" in call(checkout, "-m", "graftlm", *command("describe"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_loss_of_the_page_conforms_and_trains(checkout: Path):
    said = call(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/conformance", "-k", NAME)
    assert int(re.findall(r"(\d+) passed", said)[0]) >= 5
    for split, count in (("train", 60), ("test", 20)):
        rows = "".join(f"{'red apples' if n % 2 else 'blue seas'} {n},{'ab'[n % 2]}\n" for n in range(count))
        (checkout / f"{split}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    small = ["--base", "tiny", "--set", "train.epochs=1", "--set", "evaluate.resamples=100"]
    call(checkout, "-m", "graftlm", *command("fit"), *small)
    call(checkout, "-m", "graftlm", "fit", "train.csv", "--test", "test.csv", "--out", "runs/full", *small)
    assert "accuracy on 20 rows of test" in call(checkout, "-m", "graftlm", *command("compare"))
