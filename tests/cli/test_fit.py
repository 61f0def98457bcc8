"""graft fit, as it is called: exit codes, messages, and faults told before anything heavy loads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graftlm.cli.main import main
from graftlm.core import files

WORDS = {"card": "card plastic chip pin", "money": "transfer send payment iban", "trip": "travel abroad hotel flight"}
LABELS = list(WORDS)
QUICK = (
    "--base tiny --device cpu --set train.precision=fp32 --set train.epochs=2 --set train.batch_size=16 "
    "--set evaluate.resamples=100"
).split()


def texts(count: int, shift: int = 0) -> list[tuple[str, str]]:
    made = []
    for number in range(shift, shift + count):
        label = LABELS[number % 3]
        words = WORDS[label].split()
        made.append((f"{words[number % 4]} the {words[number // 3 % 4]} is {number}", label))
    return made


def write(path: Path, pairs, header: str = "text,label") -> str:
    path.write_text(header + "\n" + "".join(f"{text},{label}\n" for text, label in pairs), encoding="utf-8")
    return str(path)


@pytest.fixture
def train(tmp_path: Path) -> str:
    return write(tmp_path / "train.csv", texts(60))


@pytest.fixture
def test(tmp_path: Path) -> str:
    return write(tmp_path / "test.csv", texts(24, 100))


@pytest.fixture
def fails(capsys):
    """Run the command, expect exit code 2 and one message, and return it."""

    def run(*args: str) -> str:
        assert main(["fit", *args]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "Traceback" not in told.err
        assert sum(line.startswith("Error: ") for line in told.err.splitlines()) == 1, told.err
        return told.err[told.err.index("Error: ") :]

    return run


def test_a_whole_fit(train, test, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", train, "--test", test, "--out", str(out), *QUICK]) == 0
    told = capsys.readouterr()
    assert "accuracy" in told.out
    for name in ("this model", "tfidf", "probe", "majority", str(out / "bundle"), str(out / "report.html")):
        assert name in told.out.replace("\n", ""), name
    for stage in ("read ...", "load ...", "baseline probe ...", "train ...", "evaluate ...", "step 8/8"):
        assert stage in told.err
    assert (out / "metrics.json").is_file()


def test_figures_as_json(train, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["fit", train, "--out", str(out), "--json", "--baselines", "none", *QUICK]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((out / "metrics.json").read_text(encoding="utf-8"))


def test_a_gate_that_is_missed_ends_with_three(train, test, tmp_path, capsys):
    args = ["fit", train, "--test", test, "--out", str(tmp_path / "run"), "--require-gain", *QUICK]
    assert main(args) == 3
    assert "evaluate.require_gain" in capsys.readouterr().err


def test_the_bundle_answers_and_is_evaluated(train, test, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["fit", train, "--test", test, "--out", out, "--method", "probe", "--baselines", "none", *QUICK]) == 0
    capsys.readouterr()
    assert main(["predict", out, test]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 24
    assert {answer["label"] for answer in answers} <= set(LABELS)
    assert main(["evaluate", out, test, "--json"]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main(["compare", out, out]) == 0


def test_options_reach_the_recipe(train, tmp_path):
    import yaml

    out = tmp_path / "run"
    args = (
        "--seed 0 --method freeze --budget 1m --baselines none --baselines majority --column text=text --refit".split()
    )
    assert main(["fit", train, "--out", str(out), *args, *QUICK, "--set", "methods.0.layers=1"]) == 0
    tree = yaml.safe_load((out / "recipe.yaml").read_text(encoding="utf-8"))
    assert tree["methods"] == [{"use": "freeze", "layers": 1, "head": "probe"}]
    assert tree["train"]["budget"] == 60
    assert tree["train"]["refit"] is True
    assert [one["use"] for one in tree["evaluate"]["baselines"]] == ["majority"]


BAD = {
    "no such file": (None, "none.csv", ("none.csv", "no")),
    "empty file": ("", "a.csv", ("a.csv", "empty")),
    "header only": ("text,label\n", "a.csv", ("a.csv", "expected rows below the header")),
    "no column of text": ("alpha,beta\n1,2\n3,4\n5,6\n", "a.csv", ("'alpha'", "'beta'", "column")),
    "one class": ("text,label\n" + "".join(f"words of {n},same\n" for n in range(20)), "a.csv",
                  ("at least two different labels", "'same'")),
    "a row too short": ("text,label\n" + "some words,a\n" * 9 + "lost\n", "a.csv", ("a.csv:11",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_used(case, tmp_path, fails):
    content, name, said = BAD[case]
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    message = fails(str(tmp_path / name), "--out", str(tmp_path / "run"), *QUICK)
    for word in said:
        assert word in message, message
    assert not (tmp_path / "run").exists()


def test_a_named_column_that_is_not_there(train, fails):
    message = fails(train, "--column", "text=txet", *QUICK)
    assert "'txet'" in message
    assert "'text'" in message
    assert "'label'" in message


def test_several_faults_at_once(train, fails):
    message = fails(
        train, "--base", "minlm2", "--method", "ful", "--set", "train.epoch=3", "--set", "train.batch_size=0",
        "--set", "backbone=minlm",
    )  # fmt: skip
    assert "The recipe has 4 faults:" in message
    for near in ("'minilm'", "'full'", "'epochs'", "greater than or equal to 1"):
        assert near in message


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--set", "train.epochs"], "--set wants path=value"),
        (["--column", "text"], "--column wants role=column"),
        (["--budget", "soon"], "train.budget"),
        (["--seed", "-1"], "train.seed"),
        (["--device", "tpu"], "'auto', 'cpu', 'cuda' or 'mps'"),
        (["--loss", "nothing"], "There is no loss called 'nothing'"),
        (["--task", "clasification"], "Did you mean 'classification'?"),
        (["--baselines", "tfidf2"], "Did you mean 'tfidf'?"),
        (["--metric", "nothing"], "nothing"),
        (["--base", "./nowhere"], "The base model's folder './nowhere' does not exist"),
        (["--resume"], "--resume needs the folder"),
        (["--method", "probe", "--method", "full"], "These cannot work together"),
        (["--method", "freeze", "--set", "methods.0.layers=99"], "layers is 99, but 'tiny' has 2 blocks"),
    ],
)
def test_options_that_cannot_be_used(train, fails, tmp_path, args, said):
    rest = QUICK[2:] if "--base" in args else QUICK
    out = [] if "--resume" in args else ["--out", str(tmp_path / "run")]
    assert said in fails(train, *rest, *args, *out)


def test_a_base_model_that_does_not_exist_without_network(train, fails, tmp_path, monkeypatch):
    import socket

    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    began = time.monotonic()
    message = fails(train, *QUICK[2:], "--base", "owner/no-such-model-here", "--out", str(tmp_path / "run"))
    assert time.monotonic() - began < 5
    assert "owner/no-such-model-here" in message
    assert "--base FOLDER" in message
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_another_run(train, fails, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    assert "is not empty (it holds 'notes.txt')" in fails(train, "--out", str(tmp_path / "run"), *QUICK)


@pytest.mark.parametrize("damage", ["flip", "missing", "pickle"])
def test_a_damaged_bundle(train, tmp_path, capsys, damage):
    out = tmp_path / "run"
    assert main(["fit", train, "--out", str(out), "--method", "probe", "--baselines", "none", *QUICK]) == 0
    weights = max((out / "bundle").rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    if damage == "flip":
        held = bytearray(weights.read_bytes())
        held[-9] ^= 1
        weights.write_bytes(held)
    elif damage == "missing":
        weights.unlink()
    else:
        (out / "bundle" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    capsys.readouterr()
    for verb in ("predict", "evaluate"):
        assert main([verb, str(out), train]) == 2
        said = capsys.readouterr().err
        assert ("pytorch_model.bin" if damage == "pickle" else weights.name) in said


PROGRAM = """
import sys
from graftlm.cli.main import main
code = main(sys.argv[1:])
heavy = [name for name in ("torch", "transformers", "sklearn", "datasets") if name in sys.modules]
print(code, heavy)
"""


@pytest.mark.parametrize(
    "args",
    [
        ["none.csv"],
        ["one_class.csv"],
        ["good.csv", "--set", "train.epochs=-1"],
        ["good.csv", "--column", "text=txet"],
        ["good.csv", "--out", "."],
        ["good.csv", "--base", "nothing_such_plugin", "--set", "backbone=nothing"],
    ],
    ids=lambda args: " ".join(args),
)
def test_faults_are_told_before_torch_is_imported(tmp_path, args):
    write(tmp_path / "good.csv", texts(30))
    write(tmp_path / "one_class.csv", [(f"words {n}", "same") for n in range(20)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "fit", *args], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(" ", 1) == ["2", "[]\n"], done.stderr
    assert done.stderr.count("Error: ") == 1


def test_a_signal_ends_it_resumable_and_the_rest_gives_the_same_model(tmp_path, capsys):
    train, test = write(tmp_path / "train.csv", texts(60)), write(tmp_path / "test.csv", texts(24, 100))
    long = [*QUICK, "--baselines", "none", "--set", "train.epochs=30", "--set", "train.evaluate_every=5"]
    command = [sys.executable, "-m", "graftlm", "fit", train, "--test", test, "--out", str(tmp_path / "run"), *long]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        said = ""
        for line in running.stderr:
            said += line
            if "step " in line:
                running.send_signal(signal.SIGTERM)
                break
        said += running.stderr.read()
    assert running.returncode == 130, said
    assert "Stopped by SIGTERM at step" in said
    assert f"Go on with the same command and: --out {tmp_path / 'run'} --resume" in said
    assert list((tmp_path / "run" / "checkpoints").glob("step-*/manifest.json"))
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the process that was stopped
    try:
        assert main([*command[3:], "--resume"]) == 0
        assert "resumed at step" in capsys.readouterr().err
        assert main([str(tmp_path / "other") if part == str(tmp_path / "run") else part for part in command[3:]]) == 0
    finally:
        torch.set_num_threads(threads)
    first, second = (
        [path.read_bytes() for path in sorted((tmp_path / name / "bundle").rglob("*.safetensors"))]
        for name in ("run", "other")
    )
    assert first == second != []


def test_files_are_written_in_one_go(tmp_path, monkeypatch, train):
    """A run that breaks while the end is written has no metrics.json: it is not taken for a finished one."""

    def broken(path, value):
        if path.name == "metrics.json":
            raise OSError(28, "No space left on device")
        return original(path, value)

    original = files.write_json
    monkeypatch.setattr(files, "write_json", broken)
    args = ["fit", train, "--out", str(tmp_path / "run"), "--method", "probe", "--baselines", "none", *QUICK]
    assert main(args) == 1
    assert not (tmp_path / "run" / "metrics.json").exists()
    monkeypatch.undo()
    assert main([*args, "--resume"]) == 0
