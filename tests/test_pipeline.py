"""A whole fit on the tiny backbone, through the function that the command line calls."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import graftlm
from graftlm.bundle import load, open_bundle
from graftlm.core.errors import DataError, GateMissed, Interrupted, RecipeError, UserError
from graftlm.pipeline.work import Nobody
from graftlm.verbs.comparing import compare
from graftlm.verbs.evaluating import evaluate
from graftlm.verbs.fitting import fit
from graftlm.verbs.predicting import predict

WORDS = {
    "card": ("card", "plastic", "chip", "pin"),
    "money": ("transfer", "send", "payment", "iban"),
    "trip": ("travel", "abroad", "hotel", "flight"),
}
QUICK = {
    "base": "tiny", "epochs": 2, "rate": 3e-3, "batch_size": 16, "precision": "fp32", "device": "cpu",
    "settings": {"evaluate.resamples": 100},
}  # fmt: skip


def rows(count: int, seed: int, *, labels=tuple(WORDS)) -> list[dict[str, str]]:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        label = labels[number % len(labels)]
        text = " ".join(rng.choice((*WORDS[label], "the", "my", "is", "a")) for _ in range(rng.randint(2, 7)))
        made.append({"text": f"{text} {number}", "label": label})
    return made


TRAIN, TEST = rows(60, 1), rows(24, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fit(TRAIN, test=TEST, out=str(tmp_path_factory.mktemp("runs") / "one"), **QUICK)


def labels_of(answers):
    return [answer["label"] for answer in answers]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_folder_holds_what_it_should(run):
    assert {path.name for path in run.folder.iterdir()} == {
        ".fingerprint", ".lock", "bundle", "data.json", "log.jsonl", "metrics.json", "predictions", "recipe.yaml",
        "report.html",
    }  # fmt: skip
    assert {path.name for path in (run.folder / "predictions").iterdir()} == {"valid.jsonl", "test.jsonl"}
    assert json.loads((run.folder / "metrics.json").read_text(encoding="utf-8")) == run.metrics
    filled = yaml.safe_load((run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    assert filled["train"]["schedule"] == "linear"
    assert run.bundle == run.folder / "bundle"
    assert not list(run.folder.rglob("*.tmp"))
    assert not [path for path in run.folder.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


def test_the_tree_of_metrics(run):
    tree = run.metrics
    assert {"task", "primary", "metrics", "baselines", "transfer", "timing", "device", "precision", "versions"} <= set(
        tree
    )
    assert tree["parameters"]["trained"] == tree["parameters"]["of"] > 1000
    assert tree["task"] == "classification"
    assert {"name", "value", "low", "high", "n"} <= set(tree["primary"])
    assert tree["primary"]["name"] == "accuracy"
    assert tree["primary"]["n"] == 24
    assert tree["primary"]["low"] <= tree["primary"]["value"] <= tree["primary"]["high"]
    assert set(tree["metrics"]) == {"valid", "test"}
    assert {"accuracy", "macro_f1", "micro_f1", "mcc", "log_loss"} <= set(tree["metrics"]["test"])
    assert set(tree["baselines"]) == {"majority", "tfidf", "probe"}
    transfer = tree["transfer"]
    assert {"verdict", "against", "gain", "low", "high", "p_value", "over_probe"} <= set(transfer)
    assert transfer["verdict"] in ("helped", "no measurable difference", "negative transfer")
    assert transfer["against"] in ("majority", "tfidf")
    timing = tree["timing"]
    assert timing["examples_per_second"] > 0
    assert timing["tokens_per_second"] > timing["examples_per_second"]
    assert 0 <= timing["padding_share"] < 1
    assert {"read", "load", "baseline probe", "train", "evaluate"} <= set(timing["seconds"])
    assert timing["peak_memory_bytes"] > 1e7
    assert tree["device"] == "cpu"
    assert {"torch", "transformers", "graftlm"} <= set(tree["versions"])


def test_data_are_told(run):
    told = json.loads((run.folder / "data.json").read_text(encoding="utf-8"))
    assert {"counts", "fingerprints", "findings"} <= set(told)
    assert set(told["fingerprints"]) == {"train", "valid", "test"}
    assert told["counts"]["train"]["rows"] + told["counts"]["valid"]["rows"] == 60
    assert told["counts"]["test"]["rows"] == 24


def test_the_log_has_each_evaluation(run):
    entries = lines(run.folder / "log.jsonl")
    scored = [entry for entry in entries if entry["score"] is not None]
    assert len(scored) == 2
    assert entries[-1]["step"] == max(entry["step"] for entry in entries)


def test_predictions_are_those_of_the_bundle(run):
    written = lines(run.folder / "predictions" / "test.jsonl")
    answered = list(predict(run.folder, TEST, precision="fp32"))
    assert labels_of(answered) == [line["label"] for line in written]
    accuracy = np.mean([line["label"] == row["label"] for line, row in zip(answered, TEST, strict=True)])
    assert run.metrics["primary"]["value"] == pytest.approx(accuracy)


def test_evaluate_gives_the_same_figures(run):
    again = evaluate(run.folder, TEST, precision="fp32", resamples=100)
    found = json.loads(json.dumps(again, default=lambda value: value.as_json()))
    assert f'"value": {run.metrics["primary"]["value"]}' in json.dumps(found)


def test_the_bundle_opens_with_plain_libraries_and_gives_the_same_logits(run):
    from sentence_transformers import SentenceTransformer

    bundle = open_bundle(run.bundle)
    model = load(bundle, precision="fp32", device="cpu")
    texts = [row["text"] for row in TEST]
    plain = SentenceTransformer(str(run.bundle), device="cpu")
    batch = model.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model.module.eval()(**batch).logits
    found = torch.as_tensor(plain.encode(texts))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert labels_of(predict(run.folder, TEST)) == [bundle.space().labels[n] for n in found.argmax(dim=1).tolist()]


def test_a_native_bundle_opens_with_transformers(tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    native = {**QUICK, "base": {"use": "tiny", "pooling": "native"}, "epochs": 1}
    run = fit(TRAIN, test=TEST, out=str(tmp_path / "run"), baselines="none", **native)
    plain = AutoModelForSequenceClassification.from_pretrained(run.bundle).eval()
    tokenizer = AutoTokenizer.from_pretrained(run.bundle)
    batch = tokenizer([row["text"] for row in TEST], padding=True, return_tensors="pt")
    with torch.no_grad():
        named = [plain.config.id2label[n] for n in plain(**batch).logits.argmax(dim=1).tolist()]
    assert named == labels_of(predict(run.folder, TEST, precision="fp32"))
    assert run.metrics["baselines"] == {}
    assert run.verdict is None or run.metrics["transfer"] is not None


def test_two_runs_are_paired(run, tmp_path):
    other = fit(TRAIN, test=TEST, out=str(tmp_path / "other"), method="probe", baselines="none", **QUICK)
    found = compare(run.folder, other.folder)
    assert "24" in json.dumps(found, default=str)


def test_the_same_recipe_gives_the_same_run(run, tmp_path):
    again = fit(TRAIN, test=TEST, out=str(tmp_path / "again"), **QUICK)
    for name in ("model.safetensors",):
        first = [path.read_bytes() for path in sorted(run.bundle.rglob(name))]
        assert first == [path.read_bytes() for path in sorted(again.bundle.rglob(name))] != []
    assert again.metrics["metrics"] == run.metrics["metrics"]
    assert again.metrics["baselines"] == run.metrics["baselines"]
    assert again.metrics["transfer"] == run.metrics["transfer"]


def columns():
    return {key: [row[key] for row in TRAIN] for key in ("text", "label")}


@pytest.mark.parametrize("form", ["pandas", "datasets", "columns", "csv", "jsonl"])
def test_rows_come_from_wherever(form, tmp_path, run):
    if form == "pandas":
        data = pytest.importorskip("pandas").DataFrame(columns())
    elif form == "datasets":
        data = pytest.importorskip("datasets").Dataset.from_dict(columns())
    elif form == "columns":
        data = columns()
    elif form == "csv":
        data = tmp_path / "a.csv"
        data.write_text("text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in TRAIN), encoding="utf-8")
    else:
        data = tmp_path / "a.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in TRAIN), encoding="utf-8")
    made = fit(data, test=TEST, out=str(tmp_path / "run"), baselines="none", **QUICK)
    assert made.metrics["metrics"]["test"]["accuracy"]["value"] == run.metrics["metrics"]["test"]["accuracy"]["value"]


def test_refit_trains_on_the_validation_rows_too(run, tmp_path):
    seen = []

    class Watch:
        def stage(self, name):
            seen.append(name)

        def progress(self, progress):
            if progress.last:
                seen.append(progress.steps)

    made = fit(TRAIN, test=TEST, out=str(tmp_path / "run"), refit=True, baselines="none", watch=Watch(), **QUICK)
    assert "refit" in seen
    before, after = seen[seen.index("train") + 1], seen[seen.index("refit") + 1]
    assert before == 8  # 54 rows: four batches an epoch
    assert after in (4, 8)  # 60 rows, for as many epochs as were best
    assert made.metrics["primary"]["n"] == 24


def test_refit_with_a_label_that_stands_in_the_validation_rows_alone(tmp_path):
    valid = [*rows(9, 5), {"text": "what is this", "label": "other"}]
    made = fit(
        TRAIN, valid=valid, test=TEST, out=str(tmp_path / "run"), refit=True, baselines="none", bad_rows="keep", **QUICK
    )
    assert "other" not in open_bundle(made.bundle).space().labels


def test_from_random_weights_is_a_baseline_when_asked_for(tmp_path):
    made = fit(TRAIN, test=TEST, out=str(tmp_path / "run"), baselines="scratch", **QUICK)
    assert set(made.metrics["baselines"]) == {"majority", "tfidf", "probe", "scratch"}
    assert not (made.folder / "scratch").exists()


def share_of_cards(true, predicted):
    return sum(one == "card" for one in predicted) / len(predicted)


def test_a_metric_of_ones_own(tmp_path):
    made = fit(TRAIN, test=TEST, out=str(tmp_path / "run"), baselines="none", metrics=[share_of_cards], **QUICK)
    found = made.metrics["metrics"]["test"]["share_of_cards"]["value"]
    assert found == pytest.approx(np.mean([one == "card" for one in labels_of(predict(made.folder, TEST))]))


def test_a_metric_that_cannot_be_found_is_told_before_anything_else(tmp_path):
    with pytest.raises(UserError, match="no_such_module"):
        fit(TRAIN, out=str(tmp_path / "run"), metrics=["no_such_module:f"], **QUICK)
    assert not (tmp_path / "run").exists()


def test_the_metric_that_decides_can_be_chosen(tmp_path):
    made = fit(
        TRAIN, test=TEST, out=str(tmp_path / "run"), baselines="none",
        task={"use": "classification", "metric": "log_loss"}, **QUICK,
    )  # fmt: skip
    assert made.metrics["primary"]["name"] == "log_loss"
    entries = lines(made.folder / "log.jsonl")
    scored = [entry for entry in entries if entry["score"] is not None]
    assert [entry["best"] for entry in scored][0]
    assert scored[1]["best"] == (scored[1]["score"] < scored[0]["score"])


@pytest.mark.parametrize("by", ["group", "time", "random"])
def test_splits_are_made_as_asked(by, tmp_path):
    data = [{**row, "who": f"g{n // 6}", "when": f"2024-01-{1 + n % 28:02d}"} for n, row in enumerate(TRAIN)]
    settings = {**QUICK["settings"], "data.split.by": by, "data.split.test": 0.2, "data.split.valid": 0.2}
    settings |= {"data.split.group": "who"} if by == "group" else {}
    settings |= {"data.split.time": "when"} if by == "time" else {}
    made = fit(data, out=str(tmp_path / "run"), baselines="none", **{**QUICK, "settings": settings})
    told = json.loads((made.folder / "data.json").read_text(encoding="utf-8"))["counts"]
    assert sum(one["rows"] for one in told.values()) == 60
    assert made.metrics["primary"]["n"] == told["test"]["rows"] > 5


def test_without_test_rows_the_validation_rows_are_primary(tmp_path):
    made = fit(TRAIN, out=str(tmp_path / "run"), **QUICK)
    assert set(made.metrics["metrics"]) == {"valid"}
    assert made.metrics["primary"]["n"] == 6


def test_without_any_rows_to_judge_by_it_trains_all_the_same(tmp_path):
    made = fit(TRAIN, out=str(tmp_path / "run"), **{**QUICK, "settings": {"data.split.valid": 0}})
    assert made.metrics["primary"] is None
    assert labels_of(predict(made.folder, TEST[:3]))


def test_a_gate_that_is_missed_leaves_the_run(tmp_path):
    with pytest.raises(GateMissed, match="evaluate.require_gain") as caught:
        fit(TRAIN, test=TEST, out=str(tmp_path / "run"), require_gain=True, **QUICK)
    assert caught.value.exit_code == 3
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_a_folder_that_holds_another_run_is_refused(run):
    before = (run.folder / "metrics.json").read_bytes()
    with pytest.raises(UserError, match="already holds a run. Name another one with --out, go on with --resume"):
        fit(TRAIN, test=TEST, out=str(run.folder), **QUICK)
    with pytest.raises(UserError, match=r"cannot be resumed with another recipe; changed: 'train.seed'"):
        fit(TRAIN, test=TEST, out=str(run.folder), resume=True, seed=1, **QUICK)
    with pytest.raises(UserError, match="is finished; there is nothing to resume"):
        fit(TRAIN, test=TEST, out=str(run.folder), resume=True, **QUICK)
    assert (run.folder / "metrics.json").read_bytes() == before


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(UserError, match=r"is not empty \(it holds 'thesis.tex'\) and is not a run of this project"):
        fit(TRAIN, out=str(tmp_path), **QUICK)
    with pytest.raises(UserError, match="is a file; expected a folder"):
        fit(TRAIN, out=str(tmp_path / "thesis.tex"), **QUICK)


def test_resume_needs_a_folder():
    with pytest.raises(UserError, match="--resume needs the folder of the run"):
        fit(TRAIN, resume=True, **QUICK)


def test_data_with_faults_leave_no_folder(tmp_path):
    with pytest.raises(DataError):
        fit([{"text": "a", "label": "x"}] * 9, out=str(tmp_path / "run"), **QUICK)
    assert not (tmp_path / "run").exists()


class Stopping:
    """Stops at a step, as a signal would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def stage(self, name: str) -> None:
        pass

    def progress(self, progress) -> None:
        if progress.step == self.at:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_and_ends_as_an_unbroken_one(run, tmp_path):
    with pytest.raises(Interrupted, match="--out .* --resume") as caught:
        fit(TRAIN, test=TEST, out=str(tmp_path / "run"), watch=Stopping(4), **QUICK)
    assert caught.value.exit_code == 130
    with pytest.raises(UserError, match="rows of 'train'|rows of 'train', 'valid'"):
        fit(TRAIN[:-2], test=TEST, out=str(tmp_path / "run"), resume=True, **QUICK)
    resumed = fit(TRAIN, test=TEST, out=str(tmp_path / "run"), resume=True, **QUICK)
    for path in sorted(run.bundle.rglob("*.safetensors")):
        assert path.read_bytes() == (resumed.bundle / path.relative_to(run.bundle)).read_bytes(), path
    assert resumed.metrics["metrics"] == run.metrics["metrics"]
    assert not (resumed.folder / "checkpoints").exists()


def test_a_run_may_be_a_recipe_file(tmp_path, run):
    for name, part in (("train", TRAIN), ("test", TEST)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    tree = {
        "data": {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "test")},
        "backbone": "tiny",
        "train": {"epochs": 2, "batch_size": 16, "precision": "fp32", "device": "cpu", "optimizer": {"rate": 3e-3}},
        "evaluate": {"resamples": 100, "baselines": "none"},
        "out": str(tmp_path / "run"),
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    made = graftlm.fit(tmp_path / "r.yaml")
    assert made.metrics["metrics"]["test"] == run.metrics["metrics"]["test"]
    assert made.folder == Path(tmp_path / "run")


def test_freezing_and_bf16_pass_through_the_whole(tmp_path):
    made = fit(
        TRAIN, test=TEST, out=str(tmp_path / "run"), method={"use": "freeze", "layers": 1}, baselines="none",
        **{**QUICK, "precision": "bf16"},
    )  # fmt: skip
    assert made.metrics["primary"]["n"] == 24


@pytest.mark.parametrize("architecture", ["gpt2", "modernbert"])
def test_other_architectures_pass_through_the_whole(tmp_path, architecture):
    base = {"use": "scratch", "architecture": architecture, "layers": 2, "width": 32, "max_length": 64}
    made = fit(TRAIN, test=TEST, out=str(tmp_path / "run"), **{**QUICK, "base": base, "epochs": 1})
    written = labels_of(lines(made.folder / "predictions" / "test.jsonl"))
    assert labels_of(predict(made.folder, TEST, precision="fp32")) == written


def test_what_cannot_work_together_is_refused_before_the_baselines_and_frees_the_folder(tmp_path):
    class Stages(Nobody):
        def __init__(self):
            self.seen = []

        def stage(self, name):
            self.seen.append(name)

    watch, out = Stages(), str(tmp_path / "run")
    with pytest.raises(RecipeError, match="only one kind of adapter fits in a model"):
        fit(TRAIN, out=out, watch=watch, **{**QUICK, "settings": {"methods": [{"use": "lora"}, {"use": "ia3"}]}})
    assert not [name for name in watch.seen if name.startswith("baseline")]
    run = fit(TRAIN, out=out, **QUICK)
    assert (run.folder / "metrics.json").is_file()
