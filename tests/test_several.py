"""Several tasks on one backbone: one run, a plain bundle for each, resumable, judged against single training."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.test_pipeline import rows

from graftlm.core.errors import Interrupted, RecipeError, UserError
from graftlm.verbs.evaluating import evaluate
from graftlm.verbs.exporting import export
from graftlm.verbs.fitting import fit
from graftlm.verbs.predicting import predict

BALANCERS = ("fixed", "temperature", "uncertainty", "dwa", "gradnorm", "pcgrad", "cagrad", "nash_mtl", "famo")


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return str(path)


def words(count, seed):
    return [
        {"tokens": row["text"].split(), "tags": ["B-X" if len(w) > 5 else "O" for w in row["text"].split()]}
        for row in rows(count, seed)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def recipe(place):
    train, test = write(place / "a.jsonl", rows(120, 1)), write(place / "a_test.jsonl", rows(60, 2))
    tags, tags_test = write(place / "b.jsonl", words(70, 3)), write(place / "b_test.jsonl", words(40, 4))

    def made(out, **more):
        return {
            "tasks": {
                "topic": {"use": "classification", "data": {"train": train, "test": test}},
                "long": {"use": "tagging", "data": {"train": tags, "test": tags_test}, "weight": 0.5},
            },
            "backbone": "tiny",
            "train": {"epochs": 3, "batch_size": 16, "precision": "fp32", "seed": 0, "optimizer": {"rate": 3e-3}},
            "evaluate": {"baselines": "none", "resamples": 100},
            "out": str(place / out),
            **more,
        }

    return made


@pytest.fixture(scope="module")
def run(recipe):
    return fit(recipe("plain"))


def test_each_task_has_a_run_of_its_own_and_they_share_a_backbone(run):
    assert set(run.metrics["tasks"]) == {"topic", "long"}
    assert run.metrics["tasks"]["topic"]["primary"]["value"] > 0.5
    for name in ("topic", "long"):
        folder = run.folder / "tasks" / name
        assert (folder / "report.html").is_file()
        assert json.loads((folder / "metrics.json").read_text())["task"] == run.metrics["tasks"][name]["task"]
        assert not (folder / "bundle").exists()
    heads = {path.stem: load_file(path) for path in (run.folder / "bundle" / "heads").iterdir()}
    assert {name: set(one) for name, one in heads.items()} == {
        "topic": {"head.weight", "head.bias"}, "long": {"classifier.weight", "classifier.bias"},
    }  # fmt: skip
    told = json.loads((run.folder / "bundle" / "graft.json").read_text())["tasks"]
    assert told["topic"]["metrics"]["primary"]["value"] == run.metrics["tasks"]["topic"]["primary"]["value"]


def test_a_task_answers_by_its_name_and_by_its_folder(run, tmp_path):
    path = write(tmp_path / "x.jsonl", rows(5, 9))
    answers = list(predict(run.folder, path, task="topic"))
    assert len(answers) == 5
    assert {"label", "probability"} <= set(answers[0])
    assert list(predict(run.folder / "tasks" / "topic", path)) == answers
    with pytest.raises(UserError, match=r"holds 2 tasks: 'topic', 'long'. Name one with --task"):
        next(predict(run.folder, path))
    with pytest.raises(UserError, match=r"no task 'topik'. Did you mean 'topic'"):
        next(predict(run.folder, path, task="topik"))


def test_the_bundle_answers_as_the_run_did(run, recipe):
    for name, data in recipe("x")["tasks"].items():
        found = evaluate(run.folder, data["data"]["test"], task=name)
        primary = run.metrics["tasks"][name]["primary"]
        assert found.scores.headline.value == primary["value"]


@pytest.mark.parametrize("name", ["topic", "long"])
def test_an_exported_task_is_a_plain_bundle_with_the_same_answers(run, recipe, name, tmp_path):
    test = recipe("x")["tasks"][name]["data"]["test"]
    folder = export(run.folder, tmp_path / "plain", task=name)
    assert list(predict(folder, test)) == list(predict(run.folder, test, task=name))
    with pytest.raises(UserError, match="not empty"):
        export(run.folder, folder, task=name)
    with pytest.raises(UserError, match="plain already"):
        export(folder, tmp_path / "again")


def test_an_exported_task_opens_without_this_package(run, tmp_path):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    from graftlm.bundle import load, open_bundle

    folder = export(run.folder, tmp_path / "long", task="long")
    inputs = AutoTokenizer.from_pretrained(folder)("how much is it", return_tensors="pt")
    plain = AutoModelForTokenClassification.from_pretrained(folder).eval()
    ours = load(open_bundle(run.folder, "long"), precision="fp32")
    with torch.no_grad():
        assert torch.equal(plain(**inputs).logits, ours.module(**inputs).logits)
    assert set(plain.config.id2label.values()) == set(open_bundle(folder).space().labels)


def test_a_stopped_run_goes_on_to_the_same_weights(recipe, run, monkeypatch):
    from graftlm.stages.training import fitting

    carried = fitting.listening
    steps = iter(range(10**6))

    def stopping(*given):
        class Stop:
            asked = "a test"

            def __call__(self):
                return next(steps) >= 6

        class Context:
            def __enter__(self):
                return Stop()

            def __exit__(self, *fault):
                return False

        return Context()

    monkeypatch.setattr(fitting, "listening", stopping)
    with pytest.raises(Interrupted):
        fit(recipe("stopped"))
    monkeypatch.setattr(fitting, "listening", carried)
    again = fit(recipe("stopped"), resume=True)
    for name in ("topic", "long"):
        for file in ("model.safetensors", f"heads/{name}.safetensors"):
            one, other = (load_file(r.folder / "bundle" / file) for r in (run, again))
            assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("balancer", BALANCERS)
def test_every_balancer_trains_both(recipe, balancer):
    run = fit(recipe(f"b_{balancer}", balancer=balancer))
    assert run.metrics["balancer"]["use"] == balancer
    history = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    told = {key for entry in history for key in entry if "/" in key}
    assert told == {f"{kind}/{name}" for kind in ("loss", "weight", "score") for name in ("topic", "long")}
    assert all(value == value for entry in history for value in entry.values() if value is not None)
    assert history[-1]["score"] == pytest.approx((history[-1]["score/topic"] + history[-1]["score/long"]) / 2)


def test_weights_are_found_by_cross_validation_and_single_training_is_compared(recipe):
    found = fit(
        recipe(
            "cross",
            balancer={"use": "cross_validated", "trials": 2, "folds": 2, "steps": 4},
            evaluate={"baselines": "none", "resamples": 100, "single": True},
        )
    )
    assert found.metrics["balancer"]["use"] == "cross_validated"
    assert sum(found.metrics["balancer"]["found"].values()) == pytest.approx(2)
    for name in ("topic", "long"):
        gap = found.metrics["single"][name]
        assert gap["low"] <= gap["gain"] <= gap["high"]
        assert isinstance(gap["hurt"], bool)
    html = (found.folder / "report.html").read_text(encoding="utf-8")
    assert html.index("Training together") < html.index("task-1")
    assert 'href="tasks/topic/report.html"' in html


@pytest.mark.parametrize("method", ["freeze", "lora", "sam", "ema"])
def test_methods_work_on_the_shared_backbone(recipe, method):
    run = fit(recipe(f"m_{method}", methods=[method]))
    assert set(run.metrics["tasks"]) == {"topic", "long"}


@pytest.mark.parametrize("method", ["l2_sp", "rec_adam", "mixout"])
def test_methods_that_look_at_the_start_hold_the_shared_backbone(recipe, run, method):
    """Where the pull is as strong as can be, the backbone does not move; the heads learn all the same."""
    pull = {"l2_sp": {"strength": 1e6}, "rec_adam": {"pull": 1e9, "t0": 10**6}, "mixout": {"probability": 0.9}}[method]
    made = fit(recipe(f"start_{method}", methods=[{"use": method, **pull}]))
    held, free, still = (
        load_file(one.folder / "bundle" / "model.safetensors")
        for one in (
            made,
            run,
            fit(recipe(f"still_{method}", train={**recipe("x")["train"], "optimizer": {"rate": 1e-12}})),
        )
    )
    moved = {
        name: sum((ended[key] - first).norm().item() for key, first in still.items())
        for name, ended in (("held", held), ("free", free))
    }
    assert moved["free"] > 1e-2
    if method == "mixout":
        assert 0 < moved["held"] != moved["free"]
    else:
        assert moved["held"] < 1e-3 * moved["free"]
    assert made.metrics["tasks"]["topic"]["primary"]["value"] > 0.5


def test_augmentations_make_more_rows_of_each_task(recipe, run, caplog):
    with caplog.at_level("INFO", logger="graftlm"):
        found = fit(recipe("augmented", augmentations=["word_swap"]))
    assert caplog.text.count("training rows made of") == 2
    steps = [json.loads((r.folder / "log.jsonl").read_text().splitlines()[-1])["step"] for r in (run, found)]
    assert steps[1] > 1.5 * steps[0]
    assert found.metrics["tasks"]["long"]["metrics"]["test"]["entity_f1"]["value"] >= 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"train": {"processes": 2}}, "one process"),
        ({"balancer": {"use": "fixed", "given": {"topik": 1}}}, "topik"),
        ({"methods": ["probe"]}, "probe"),
        ({"methods": [{"use": "lora", "merge": False}], "evaluate": {"baselines": ["scratch"]}}, "folded in"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, more, said, place):
    with pytest.raises((RecipeError, UserError), match=said):
        fit(recipe(f"refused_{said}", **more))


def test_tasks_may_be_called_as_methods_of_modules_are(recipe):
    tree = recipe("names", balancer="uncertainty")
    tree["tasks"] = {"type": tree["tasks"]["topic"], "items": tree["tasks"]["long"]}
    assert set(fit(tree).metrics["tasks"]) == {"type", "items"}


@pytest.mark.parametrize("name", ["a/b", "a.b", "", "a:b"])
def test_a_name_that_no_file_can_have_is_refused(recipe, name):
    tree = recipe("bad_name")
    tree["tasks"][name] = tree["tasks"].pop("topic")
    with pytest.raises(RecipeError, match="cannot be the name of a task"):
        fit(tree)


def test_an_output_layer_that_is_the_embedding_table_is_the_shared_one(recipe, place, tmp_path):
    said = [{"prompt": row["text"], "response": row["label"]} for row in rows(50, 5)]
    path = write(place / "said.jsonl", said)
    tree = recipe("tied", backbone={"use": "scratch", "architecture": "gpt2", "width": 32, "layers": 2})
    tree["train"]["epochs"] = 1
    tree["tasks"] = {
        "topic": tree["tasks"]["topic"],
        "talk": {"use": "generation", "data": {"train": path, "test": path}},
    }
    run = fit(tree)
    assert {path.stem for path in (run.folder / "bundle" / "heads").iterdir()} == {"topic"}
    plain = export(run.folder, tmp_path / "talk", task="talk")
    test = write(tmp_path / "few.jsonl", said[:6])
    assert list(predict(plain, test)) == list(predict(run.folder, test, task="talk"))


def test_models_without_a_part_to_share_are_refused(recipe, place):
    path = write(place / "pairs.jsonl", [{"source": row["text"], "target": row["label"]} for row in rows(50, 5)])
    tree = recipe("whole", backbone={"use": "scratch", "architecture": "t5", "width": 32, "layers": 1})
    tree["tasks"] = {name: {"use": "seq2seq", "data": {"train": path, "test": path}} for name in ("a", "b")}
    with pytest.raises(RecipeError, match=r"tasks.b cannot share a backbone"):
        fit(tree)


def test_one_task_has_nothing_to_balance(recipe):
    tree = recipe("alone")
    tree["tasks"].pop("long")
    with pytest.raises(RecipeError, match="nothing to balance"):
        fit(tree)


def test_the_recipe_comes_back_from_its_file(recipe):
    from graftlm import recipe as recipes

    built = recipes.build(recipe("round"))
    assert recipes.build(built.as_json()).fingerprint() == built.fingerprint()
    assert built.tasks["long"].weight == 0.5


class _Pass:
    """Two tasks on one tiny model, their losses as the loop has them, and what two passes of a method leave."""

    def __init__(self, recipe, place, balancer, methods):
        from graftlm.stages.training import several

        self.seen = []
        plain = several.SeveralLoop.update

        def look(loop):
            rows = loop.rows_of(loop.step)
            if loop.step == 0:
                loop.optimizer.zero_grad(set_to_none=True)
                loop.gradient(loop.micro_batches(rows))
                self.seen.append({n: p.grad.clone() for n, p in loop.module.named_parameters() if p.grad is not None})
                loop.optimizer.zero_grad(set_to_none=True)
            return plain(loop)

        several.SeveralLoop.update = look
        try:
            self.run = fit(recipe(place, balancer=balancer, methods=methods))
        finally:
            several.SeveralLoop.update = plain


def test_passes_of_a_method_are_balanced_each_by_itself(recipe):
    """A second pass over the same words gives the same gradient again: together they are twice the first one."""
    given = "famo"  # its weights follow from the losses, which are the same in both passes
    still = {"use": "fgm", "epsilon": 1e-6}
    settings = {"train": {"epochs": 1, "batch_size": 16, "precision": "fp32", "fast_dropout": True}}

    def made(out, balancer, methods):
        return recipe(out, balancer=balancer, methods=methods, **settings)

    one = _Pass(made, "pass_one", given, ["full"]).seen[0]
    two = _Pass(made, "pass_two", given, [still]).seen[0]
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], 2 * gradient, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("balancer", ["gradnorm", "famo", "dwa"])
def test_rows_that_a_method_looks_at_before_the_first_step_teach_the_balancer_nothing(recipe, balancer):
    found = _Pass(recipe, f"child_{balancer}", balancer, [{"use": "child_tuning", "rows": 5}])
    lines = (found.run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    assert all(first[f"weight/{name}"] > 0 and first[f"loss/{name}"] > 0 for name in ("topic", "long"))


def test_trials_of_weights_count_the_weights_of_the_recipe_as_the_run_does(recipe, monkeypatch):
    from graftlm.stages.training import fitting_several as module

    plain, seen = module.fit_several, []

    def look(shared, base, tasks, **more):
        seen.append({name: asked.weight for name, asked in tasks.items()})
        return plain(shared, base, tasks, **more)

    monkeypatch.setattr(module, "fit_several", look)
    fit(recipe("tried", balancer={"use": "cross_validated", "trials": 2, "folds": 2, "steps": 4}))
    assert {"topic": 1.0, "long": 0.5} in seen[:-1], "equal weights, the first trial"
    assert seen[-1] == {"topic": 1.0, "long": 0.5}, "the run: the weights found come on top"


def test_a_fault_in_the_rows_names_its_task(recipe, place):
    made = recipe("misspelt")
    made["tasks"]["lnog"] = {"use": "tagging"}
    with pytest.raises(UserError, match=r"tasks\.lnog: No training data are named"):
        fit(made)


def test_a_task_without_validation_rows_leaves_the_choice_to_the_others(recipe, caplog):
    made = recipe("half_blind")
    made["tasks"]["long"]["data"] = {**made["tasks"]["long"]["data"], "split": {"valid": 0}}
    found = fit(made)
    last = json.loads((found.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["score"] == last["score/topic"] > 0
    assert "score/long" not in last
    assert "'long': no validation rows" in caplog.text
