"""graft check, as it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graftlm.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "a.csv"
    lines = [f"some words of row {n},{'ab'[n % 2]}" for n in range(30)]
    path.write_text("text,label\n" + "\n".join([*lines, lines[0]]) + "\n", encoding="utf-8")
    return str(path)


def test_it_tells_what_it_found(data, capsys):
    assert main(["check", data]) == 0
    told = capsys.readouterr().out
    assert "train" in told
    assert "31" in told or "28" in told


def test_as_json(data, capsys):
    assert main(["check", data, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"counts", "fingerprints", "findings"} <= set(told)
    assert sum(split["rows"] for split in told["counts"].values()) == 31


def test_tokens_are_counted_with_the_tokenizer_of_the_base(data, capsys):
    assert main(["check", data, "--base", "tiny", "--set", "backbone.max_length=12", "--tokens", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert any("token" in finding["message"] for finding in told["findings"]), told["findings"]


def test_faults_are_shown_and_end_with_two(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"words {n},same\n" for n in range(20)), encoding="utf-8")
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert "same" in told.err
    assert "train" in told.out


def test_a_recipe_is_checked_too(data, tmp_path, capsys):
    file = tmp_path / "r.yaml"
    file.write_text(f"data: {{train: {data}}}\ntrain: {{epochs: 3}}\n", encoding="utf-8")
    assert main(["check", str(file)]) == 0
    file.write_text(f"data: {{train: {data}}}\ntrain: {{epoch: 3}}\n", encoding="utf-8")
    assert main(["check", str(file)]) == 2
    assert "Did you mean 'epochs'?" in capsys.readouterr().err


def test_it_loads_no_model(data):
    program = (
        "import sys; from graftlm.cli.main import main; code = main(['check', sys.argv[1]]);"
        "print([code, *(n for n in ('torch', 'transformers', 'sklearn') if n in sys.modules)], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, data], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[0]"


def test_each_of_several_tasks_is_checked(data, tmp_path, capsys):
    rows = [{"tokens": ["Ann", "sings", str(n)], "tags": ["B-PER", "O", "O"]} for n in range(30)]
    tagged = tmp_path / "b.jsonl"
    tagged.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"tasks:\n  topic: {{use: classification, data: {{train: {data}}}}}\n"
        f"  people: {{use: tagging, data: {{train: {tagged}}}}}\n",
        encoding="utf-8",
    )
    assert main(["check", str(recipe)]) == 0
    told = capsys.readouterr().out
    assert told.index("task topic:") < told.index("a.csv") < told.index("task people:") < told.index("b.jsonl")
    assert main(["check", str(recipe), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["tasks"]) == {"topic", "people"}
    assert main(["check", str(recipe), "--memory"]) == 2
    assert "several tasks" in capsys.readouterr().err
