"""Trackers: what they hold is read back with their own readers; none of them stops a run."""

from __future__ import annotations

import json
import random
import struct
import time
from pathlib import Path

import pytest

from graftlm.contracts.progress import Progress
from graftlm.contracts.values import Score
from graftlm.core.errors import UserError
from graftlm.stages import tracking as module
from graftlm.stages.tracking import Tracking

CONFIG = {"train": {"epochs": 3, "trackers": ["x"]}, "methods": [{"use": "lora", "rank": 8}], "out": None}
METRICS = {
    "metrics": {"test": {"accuracy": {"value": 0.75}, "log_loss": {"value": 0.5}}},
    "transfer": {"sentence": "Transfer helped by 3.0 points."},
}


def step(number: int, score: float | None = None) -> Progress:
    judged = None if score is None else Score(score, n=9)
    return Progress(number, 9, number / 3, 1.0 / number, 0.1, 100.0, 900.0, 0.02, 1.0, score=judged)


@pytest.fixture
def results(tmp_path: Path) -> tuple[Path, Path]:
    """Return a report and a bundle."""
    report, bundle = tmp_path / "report.html", tmp_path / "bundle"
    report.write_text("<p>report</p>", encoding="utf-8")
    bundle.mkdir()
    (bundle / "graft.json").write_text("{}", encoding="utf-8")
    return report, bundle


def track(name: str, folder: Path, results: tuple[Path, Path], first: int = 1) -> None:
    tracking = Tracking([name], folder, CONFIG)
    seen: list[int] = []
    watch = tracking.watching(lambda progress: seen.append(progress.step))
    for number in range(first, first + 3):
        watch(step(number, 0.5 + number / 100 if number == first + 2 else None))
    assert seen == [first, first + 1, first + 2]
    tracking.finish(METRICS, *results)
    tracking.close()


def test_tensorboard_reads_it_back(tmp_path, results):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track("tensorboard", tmp_path, results)
    events = EventAccumulator(str(tmp_path / "trackers/tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert events.Scalars("score")[0].value == pytest.approx(0.53)
    assert events.Scalars("test/accuracy")[0].value == 0.75
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert texts["verdict/text_summary"] == "Transfer helped by 3.0 points."
    assert str(results[1]) in texts["bundle/text_summary"]
    (kept,) = (tmp_path / "trackers/tensorboard").rglob("hparams.yml")
    assert "methods.0.rank: 8" in kept.read_text(encoding="utf-8")


def test_mlflow_reads_it_back_and_a_resumed_run_goes_on_in_it(tmp_path, results, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track("mlflow", tmp_path, results)
    track("mlflow", tmp_path, results, first=4)
    client = mlflow.MlflowClient((tmp_path / "trackers/mlflow").as_uri())
    (experiment,) = [each for each in client.search_experiments() if each.name == "graftlm"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")][:3] == [
        (1, 1.0), (2, 0.5), (3, 1 / 3)]  # fmt: skip
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 6
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/accuracy"] == 0.75
    assert run.data.params["methods.0.use"] == "lora"
    assert run.data.tags["verdict"] == "Transfer helped by 3.0 points."
    assert {each.path for each in client.list_artifacts(run.info.run_id)} == {"report.html", "bundle"}
    assert client.list_artifacts(run.info.run_id, "bundle")[0].path == "bundle/graft.json"


def records(path: Path) -> list:
    """Return the records of a run kept offline: LevelDB's blocks of 32 KiB, behind a head of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, found, parts = path.read_bytes(), 7, [], b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


@pytest.fixture
def wandb_alone(tmp_path, monkeypatch):
    """Keep W&B from settings, keys and folders of this machine."""
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    import wandb

    wandb.teardown()  # what an earlier run settled in this process
    yield
    wandb.teardown()


@pytest.mark.filterwarnings("default")  # what happens inside another package is its own
def test_wandb_reads_it_back_offline(tmp_path, results, monkeypatch, wandb_alone):
    monkeypatch.setenv("WANDB_MODE", "offline")
    track("wandb", tmp_path, results)
    (path,) = (tmp_path / "trackers/wandb").rglob("*.wandb")
    kinds: list = []
    ends = time.monotonic() + 30
    while "exit" not in kinds and time.monotonic() < ends:  # its own process writes the last lines
        time.sleep(0.1)
        found = records(path)
        kinds = [each.WhichOneof("record_type") for each in found]
    assert {"run", "history", "summary", "exit"} <= set(kinds)
    history = [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in each.history.item}
        for each in found
        if each.WhichOneof("record_type") == "history"
    ]
    assert [one["loss"] for one in history] == [1.0, 0.5, pytest.approx(1 / 3)]
    text = " ".join(str(each) for each in found)
    assert "Transfer helped by 3.0 points." in text
    assert "graft.json" in text
    assert "report.html" in text
    assert '"rank"' in text or "rank" in text
    assert json.loads((tmp_path / "trackers/runs.json").read_text())["wandb"] in path.name


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_wandb_without_its_server_is_kept_offline(tmp_path, results, monkeypatch, wandb_alone, caplog):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "4")
    monkeypatch.setenv("WANDB_LOGIN_TIMEOUT", "4")
    track("wandb", tmp_path, results)
    assert list((tmp_path / "trackers/wandb").rglob("offline-run*/*.wandb"))
    assert len([each for each in caplog.records if "cannot be reached" in each.message]) == 1
    assert "wandb sync" in caplog.text


def test_mlflow_without_its_server_is_told_once_and_training_goes_on(tmp_path, results, monkeypatch, caplog):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    track("mlflow", tmp_path, results)
    said = [each.getMessage() for each in caplog.records if each.levelname == "WARNING" and each.name == "graftlm"]
    assert len(said) == 2
    assert said[0].startswith(
        "The tracker 'mlflow' cannot be reached (MlflowException: API request to http://127.0.0.1:9"
    )
    assert "missed 6 entries" in said[1]


class Flaky:
    """A tracker whose server is away for a while."""

    requires_logging_directory = False
    down, taken = True, []

    def __init__(self, name):
        self.tracker = object()

    def start(self):
        if Flaky.down:
            raise ConnectionError("away")
        random.random()

    def store_init_configuration(self, values):
        Flaky.taken.append(values["train.epochs"])

    def log(self, values, step):
        Flaky.taken.append(step)

    def finish(self):
        Flaky.taken.append("end")


def test_what_a_tracker_missed_is_sent_when_it_answers_again(tmp_path, results, monkeypatch, caplog):
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "aim", Flaky)
    monkeypatch.setattr(module, "need", lambda *names: None)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    Flaky.down, Flaky.taken = True, []
    tracking = Tracking(["aim"], tmp_path, CONFIG)
    watch = tracking.watching(lambda progress: None)
    random.seed(3)
    state = random.getstate()
    watch(step(1))
    watch(step(2))
    Flaky.down = False
    watch(step(3))
    assert random.getstate() == state
    assert Flaky.taken == [3, 1, 2, 3]
    tracking.finish(METRICS, *results)
    tracking.close()
    assert Flaky.taken[-1] == "end"
    assert caplog.text.count("cannot be reached") == 1


def test_a_name_that_is_no_tracker_or_not_installed_is_refused(tmp_path):
    with pytest.raises(UserError, match="'tensorbord' is not one that Accelerate knows. Did you mean 'tensorboard'"):
        Tracking(["tensorbord"], tmp_path, CONFIG)
    with pytest.raises(UserError, match="The tracker 'clearml' needs the package 'clearml'"):
        Tracking(["clearml"], tmp_path, CONFIG)


def test_without_a_tracker_nothing_is_imported_or_written(tmp_path):
    watch = lambda progress: None  # noqa: E731
    tracking = Tracking([], tmp_path / "run", CONFIG)
    assert tracking.watching(watch) is watch
    tracking.finish(METRICS, tmp_path, tmp_path)
    tracking.close()
    assert not (tmp_path / "run").exists()


def test_only_the_first_of_several_processes_writes(tmp_path, results, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(module, "_first_process", lambda: False)
    track("tensorboard", tmp_path, results)
    assert not (tmp_path / "trackers").exists()
