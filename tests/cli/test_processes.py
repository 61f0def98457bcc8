"""graft fit with two processes, as it is called: the curve of one, one voice, and one end for all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests import tiny

from graftlm.cli.main import main
from graftlm.core import processes
from graftlm.core.errors import UserError
from graftlm.verbs.fitting import fit

pytestmark = pytest.mark.timeout(300)
LABELS = ("card", "money", "trip")
ROWS = 33  # batches of 16, 16 and 1: the second process has no row in the last one


def rows(count: int, shift: int = 0) -> list[dict[str, str]]:
    return [
        {"text": f"w{10 * (n % 3) + n % 7} w50 {'w60 ' * (n % 5)}w{100 + n % 90}", "label": LABELS[n % 3]}
        for n in range(shift, shift + count)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Return a folder with training and validation rows and a small base model without dropout."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("processes")
    for name, count, shift in (("train", ROWS, 0), ("valid", 12, 200)):
        lines = [f"{row['text']},{row['label']}" for row in rows(count, shift)]
        (folder / f"{name}.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    sizes = {**tiny._sizes(), "initializer_range": 0.1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(BertConfig(**sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    with contextlib.redirect_stderr(io.StringIO()):
        model.save_pretrained(folder / "base")
    tiny.tokenizer().save_pretrained(folder / "base")
    return folder


def arguments(place: Path, out: str, *more: str, epochs: int = 3) -> list[str]:
    settings = {
        "train.precision": "fp32", "train.epochs": epochs, "train.batch_size": 16, "train.evaluate_every": 0.3,
        "evaluate.resamples": 100,
    }  # fmt: skip
    asked = ["fit", str(place / "train.csv"), "--valid", str(place / "valid.csv"), "--base", str(place / "base")]
    asked += ["--device", "cpu", "--baselines", "none", "--out", str(place / out), *more]
    return asked + [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def losses(place: Path, out: str) -> list[float]:
    lines = (place / out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def one(place) -> list[float]:
    """Return the losses of one process, step by step."""
    assert main(arguments(place, "one")) == 0
    found = losses(place, "one")
    assert len(found) == 9
    return found


def test_the_curve_is_that_of_one_and_there_is_one_voice(place, one, capfd):
    assert main(arguments(place, "two", "--processes", "2")) == 0
    told = capfd.readouterr()
    assert losses(place, "two") == pytest.approx(one, abs=1e-5)
    assert told.err.count("step 9/9") == 1
    assert told.err.count("processes: 2 on this machine") == 1
    assert told.out.count("two/bundle") == 1
    first, second = (json.loads((place / name / "metrics.json").read_text(encoding="utf-8")) for name in ("one", "two"))
    assert first["primary"]["value"] == second["primary"]["value"]
    assert psutil.Process().children() == []


def launched(place: Path, *command: str, out: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", *command, "-m", "graftlm", *arguments(place, out)],
        capture_output=True, text=True, check=False, timeout=240, env=environment,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [
    ("torch.distributed.run", "--nproc-per-node", "2"),
    ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision",
     "no", "--dynamo_backend", "no"),
], ids=["torchrun", "accelerate"])  # fmt: skip
def test_launchers(place, one, launcher, request):
    out = request.node.callspec.id
    done = launched(place, *launcher, out=out)
    assert done.returncode == 0, done.stderr
    assert losses(place, out) == pytest.approx(one, abs=1e-5)
    assert done.stderr.count("step 9/9") == 1
    assert done.stdout.count(f"{out}/bundle") == 1


@contextlib.contextmanager
def running(place: Path, out: str, until: str, *more: str, epochs: int = 30):
    """Start a run with two processes and yield it, with the second one, as soon as it has said something."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = place / f"{out}.txt"
    with said.open("w", encoding="utf-8") as handle:
        run = psutil.Popen(
            [sys.executable, "-m", "graftlm", *arguments(place, out, "--processes", "2", *more, epochs=epochs)],
            stderr=handle, stdout=handle, env=environment,
        )  # fmt: skip
        try:
            begun = time.monotonic()
            while until not in said.read_text(encoding="utf-8"):
                assert run.poll() is None, said.read_text(encoding="utf-8")
                assert time.monotonic() - begun < 200
                time.sleep(0.05)
            yield run, run.children()[0], said
        finally:
            for process in [*run.children(), run] if run.poll() is None else ():
                process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("who", ["first", "second"])
def test_a_stop_of_any_is_a_stop_of_all_and_one_goes_on(place, who):
    """Stopped with two, gone on with one (and the other way round below): the curve is that of an unbroken run."""
    with running(place, f"stop-{who}", "step 3/") as (run, other, said):
        (run if who == "first" else other).send_signal(signal.SIGTERM)
        assert run.wait(100) == 130
        told = said.read_text(encoding="utf-8")
        gone, _ = psutil.wait_procs([other], 20)
        assert gone
    assert f"Go on with the same command and: --out {place}/stop-{who} --resume" in told
    assert list((place / f"stop-{who}" / "checkpoints").glob("step-*/manifest.json"))
    asked = arguments(place, f"stop-{who}", "--resume", *(["--processes", "2"] if who == "second" else []), epochs=30)
    assert main(asked) == 0
    if not (place / "whole").exists():
        assert main(arguments(place, "whole", epochs=30)) == 0
    assert losses(place, f"stop-{who}") == pytest.approx(losses(place, "whole"), abs=1e-4)


def stopped_at(monkeypatch, step: int) -> None:
    """Stop a run that begins, as a signal to this process would, after a step."""
    from graftlm.stages.training import fitting

    inner = fitting.train

    def stopping(job, section, group, resume, *more):
        for progress in inner(job, section, group, resume, *more):
            if progress.step == step and resume is None:
                job.stop.asked = "SIGTERM"
            yield progress

    monkeypatch.setattr(fitting, "train", stopping)


def test_one_stops_and_two_go_on(place, one, monkeypatch):
    stopped_at(monkeypatch, 4)
    assert main(arguments(place, "more")) == 130
    monkeypatch.undo()
    assert main(arguments(place, "more", "--processes", "2", "--resume")) == 0
    assert losses(place, "more") == pytest.approx(one, abs=1e-5)


def weights(place: Path, out: str) -> dict:
    from safetensors.torch import load_file

    found: dict = {}
    for path in sorted((place / out / "bundle").rglob("*.safetensors")):
        found |= {f"{path.parent.name}/{name}": tensor for name, tensor in load_file(path).items()}
    assert found
    return found


SHARDS = ("--processes", "2", "--set", "train.sharding=full")


def test_a_model_in_shards(place, one, capfd):
    import torch

    assert main(arguments(place, "shards", *SHARDS)) == 0
    told = capfd.readouterr().err
    assert losses(place, "shards") == pytest.approx(one, abs=1e-5)
    assert "sharding: parameters, gradients and optimizer state are cut over the processes" in told
    assert "working vocabulary: off, because the embedding table lies in shards" in told
    plain, whole = weights(place, "shards"), weights(place, "one")
    assert plain.keys() == whole.keys()
    for name, tensor in whole.items():
        if not name.endswith("key.bias"):  # no gradient but rounding, which AdamW blows up
            torch.testing.assert_close(plain[name], tensor, atol=1e-4, rtol=0, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["freeze", "lora"])
def test_methods_in_shards(place, method):
    assert main(arguments(place, f"{method}-one", "--method", method)) == 0
    more = ("--set", "train.micro_batch_size=3")
    assert main(arguments(place, f"{method}-shards", "--method", method, *SHARDS, *more)) == 0
    assert losses(place, f"{method}-shards") == pytest.approx(losses(place, f"{method}-one"), abs=1e-5)
    assert weights(place, f"{method}-shards").keys() == weights(place, f"{method}-one").keys()


@pytest.mark.slow
def test_a_run_in_shards_goes_on(place, one, monkeypatch, capsys):
    from safetensors.torch import load_file

    stopped_at(monkeypatch, 4)
    assert main(arguments(place, "cut", *SHARDS)) == 130
    monkeypatch.undo()
    newest = max((place / "cut" / "checkpoints").glob("step-*"))
    held = load_file(newest / "tensors.safetensors")  # plain: whole tensors, in one file
    assert max(tensor.shape[0] for name, tensor in held.items() if "word_embeddings" in name) == len(tiny.WORDS)
    assert main(arguments(place, "cut", "--resume")) == 2
    assert "cannot be resumed with another recipe; changed: 'train.sharding'" in capsys.readouterr().err
    three = ("--processes", "3", *SHARDS[2:])
    assert main(arguments(place, "cut", *three, "--resume")) == 0
    assert losses(place, "cut") == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize(("more", "said"), [
    (["--set", "train.sharding=full"], "there is one process, and nothing to cut the model over"),
    ([*SHARDS, "--method", "sam"], "the method 'sam' looks at whole parameters while it trains"),
    ([*SHARDS, "--loss", "ewc"], "the loss 'ewc' looks at whole parameters while it trains, or has a run object"),
    ([*SHARDS, "--set", "train.optimizer.use=adafactor"], "the optimizer 'adafactor' looks at whole matrices"),
])  # fmt: skip
def test_what_does_not_go_with_shards(place, capsys, more, said):
    assert main([*arguments(place, "never"), *more]) == 2
    told = capsys.readouterr().err
    assert "train.sharding: full cannot be used here" in told
    assert said in told
    assert not (place / "never").exists()


def test_a_process_that_is_killed_does_not_leave_the_other_hanging(place):
    with running(place, "killed", "step 2/") as (run, other, said):
        other.kill()
        assert run.wait(60) == 1
        told = said.read_text(encoding="utf-8")
    assert "A fault in process 2 of 2: it was killed by signal 9" in told
    assert "go on with --resume" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_when_the_first_is_killed_the_others_end(place):
    with running(place, "orphan", "step 1/") as (run, other, _):
        run.kill()
        gone, _ = psutil.wait_procs([other], 30)
        assert gone


def test_rows_in_memory_baselines_and_a_refit(tmp_path):
    """The baseline from scratch, the run itself and its refit are trained by both; rows come from the first alone."""
    run = fit(
        rows(40), test=rows(12, 300), base="tiny", processes=2, epochs=1, batch_size=16, precision="fp32", device="cpu",
        baselines=["scratch"], refit=True, out=str(tmp_path / "run"), method="lora", loss="label_smoothing",
        settings={"evaluate.resamples": 100, "backbone.max_length": 32},
        metrics=[lambda true, predicted: 0.5],
    )  # fmt: skip
    assert {"scratch", "tfidf", "majority"} <= set(run.metrics["baselines"])
    assert (run.folder / "report.html").is_file()


@pytest.mark.parametrize(("more", "said"), [
    (["--processes", "20"], "train.batch_size is 16 for all 20 processes together"),
    (["--processes", "12", "--set", "data.limit=11"], "There are 11 training rows for 12 processes"),
    (["--processes", "0"], "train.processes"),
    (["--processes", "2", "--device", "cuda"], "The device 'cuda' was asked for"),
])  # fmt: skip
def test_numbers_that_cannot_be(place, capsys, more, said):
    assert main([*arguments(place, "never"), *more]) == 2
    assert said in capsys.readouterr().err
    assert psutil.Process().children() == []


def test_fewer_gpus_than_processes(monkeypatch):
    import torch

    from graftlm.core.processes import Place
    from graftlm.stages.training.joining import device_of

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes need 2 GPUs; this machine has one GPU. Take fewer"):
        device_of("cuda", Place(0, 2, 0, 2))
    with pytest.raises(UserError, match="2 processes need 2 GPUs"):
        device_of("auto", Place(0, 2, 0, 2))
    assert device_of("cpu", Place(1, 2, 1, 2)) == torch.device("cpu")


def test_what_a_launcher_says():
    said = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a"}
    assert processes.place(said).world == 1  # no launcher leaves the port out
    found = processes.place({**said, "MASTER_PORT": "1"})
    assert (found.rank, found.world, found.local, found.here) == (3, 4, 1, 2)
    for name, value in (("RANK", "4"), ("RANK", "x"), ("LOCAL_RANK", "2"), ("MASTER_PORT", "")):
        with pytest.raises(UserError, match="not in numbers that can be"):
            processes.place({**said, "MASTER_PORT": "1", name: value})


def test_another_number_than_the_launchers(place, monkeypatch, capsys):
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main([*arguments(place, "never"), "--processes", "2"]) == 2
    assert "train.processes is 2, but the launcher has started 3 processes" in capsys.readouterr().err


def test_a_port_that_is_taken(place, monkeypatch, capsys):
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        found = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(held.getsockname()[1])}
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        assert main(arguments(place, "never")) == 2
    told = capsys.readouterr().err
    assert f"The port of 127.0.0.1:{found['MASTER_PORT']} is taken" in told
    assert "--master-port" in told
