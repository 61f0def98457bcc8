"""Plans: chains of runs, what they remember, and that they go on where they stopped."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner
from tests.test_pipeline import rows

from graftlm.cli.main import root
from graftlm.core.errors import GateMissed, RecipeError
from graftlm.verbs.running import Step, matrix, read_plan, run, summary

COMMON = {
    "backbone": "tiny",
    "train": {"epochs": 2, "batch_size": 16, "precision": "fp32", "device": "cpu", "optimizer": {"rate": 3e-3}},
    "evaluate": {"resamples": 100, "baselines": "none"},
}


def files(tmp_path):
    swapped = {"card": "noun", "money": "verb", "trip": "noun"}
    made = {}
    for name, change in (("a", {}), ("b", swapped)):
        for part, seed in (("", 1), ("_test", 2)):
            path = tmp_path / f"{name}{part}.jsonl"
            told = [{**row, "label": change.get(row["label"], row["label"])} for row in rows(60, seed)]
            path.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
        made[name] = {"train": str(tmp_path / f"{name}.jsonl"), "test": str(tmp_path / f"{name}_test.jsonl")}
    return made


def plan_of(tmp_path, **more):
    data = files(tmp_path)
    runs = [{"name": "first", "data": data["a"]}, {"name": "second", "data": data["b"]}]
    return {"out": str(tmp_path / "chain"), "all": COMMON, "runs": runs, **more}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    place = tmp_path_factory.mktemp("plan")
    path = place / "plan.yaml"
    path.write_text(yaml.safe_dump(plan_of(place)), encoding="utf-8")
    return path, run(path)


def test_each_run_starts_from_the_one_before_and_remembers_it(chain):
    _, found = chain
    told = yaml.safe_load((found.folder / "second/recipe.yaml").read_text())
    assert told["backbone"]["path"] == str(found.folder / "first/bundle")
    assert told["remember"]["runs"] == [str(found.folder / "first")]
    remembered = found.metrics["second"]["remember"]["runs"][0]
    assert found.matrix == {
        "first": {"first": found.metrics["first"]["primary"]["value"]},
        "second": {"first": remembered["after"]["value"], "second": found.metrics["second"]["primary"]["value"]},
    }
    fall = found.matrix["first"]["first"] - found.matrix["second"]["first"]
    assert found.summary["forgetting"] == pytest.approx(fall)
    assert found.summary["backward_transfer"] == pytest.approx(-fall)


def test_the_files_of_a_chain(chain):
    _, found = chain
    assert json.loads((found.folder / "plan.json").read_text()) == found.as_json()
    text = (found.folder / "chain.html").read_text()
    assert f"{100 * found.matrix['second']['first']:.1f}" in text
    assert "http" not in text  # nothing is fetched


def test_a_finished_plan_is_told_again_without_training(chain, monkeypatch):
    path, found = chain
    monkeypatch.setattr("graftlm.pipeline.fit", lambda *_, **__: pytest.fail("trained again"))
    said = CliRunner().invoke(root, ["run", str(path), "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout) == found.as_json()
    assert "picture" in CliRunner().invoke(root, ["run", str(path)]).stdout


def test_a_run_that_is_missing_is_made_on_what_stands(chain):
    import shutil

    path, found = chain
    shutil.rmtree(found.folder / "second")
    before = (found.folder / "first/metrics.json").read_bytes()
    assert run(path).matrix == found.matrix
    assert (found.folder / "first/metrics.json").read_bytes() == before


def test_a_finished_run_of_another_recipe_is_refused(chain, tmp_path):
    path, _ = chain
    tree = yaml.safe_load(path.read_text())
    tree["runs"][0]["train"] = {"epochs": 3}
    with pytest.raises(RecipeError, match="another recipe"):
        run(tree)


def test_a_finished_run_on_a_changed_earlier_one_is_refused(chain):
    path, found = chain
    manifest = found.folder / "first/bundle/graft.json"
    held = manifest.read_text(encoding="utf-8")
    sha = json.loads(held)["files"]["model.safetensors"]["sha256"]
    manifest.write_text(held.replace(sha, "0" * 64), encoding="utf-8")
    try:
        with pytest.raises(RecipeError, match=r"what 'backbone\.path', 'remember\.runs\.0' names .* has changed since"):
            run(path)
    finally:
        manifest.write_text(held, encoding="utf-8")
    assert run(path).matrix == found.matrix


def test_gates_come_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("graftlm.pipeline.remember.MIXTURES", ())
    monkeypatch.setattr("graftlm.pipeline.remember._lost", lambda *_: 1.0)
    tree = plan_of(tmp_path)
    tree["runs"][1]["remember"] = {"forget_at_most": 1}
    with pytest.raises(GateMissed, match="second: remember"):
        run(tree)
    assert (tmp_path / "chain/plan.json").is_file()
    monkeypatch.setattr("graftlm.pipeline.fit", lambda *_, **__: pytest.fail("the runs are finished"))
    with pytest.raises(GateMissed, match="second: remember.forget_at_most"):
        run(tree)  # what was missed is missed still


def test_a_plan_may_branch(tmp_path):
    tree = plan_of(tmp_path)
    tree["runs"].append({"name": "third", "after": "first", "data": tree["runs"][1]["data"]})
    tree["runs"].append({"name": "fourth", "after": "none", "data": tree["runs"][1]["data"]})
    _, steps = read_plan(tree)
    assert [step.ancestors for step in steps] == [(), ("first",), ("first",), ()]
    assert steps[3].recipe.backbone.name() == "tiny"
    assert steps[3].recipe.remember.runs == []
    assert read_plan({**tree, "remember": False})[1][1].recipe.remember.runs == []


def change(tree, where, key, value):
    tree["runs"][where][key] = value


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.update(run=[]), "'run' is not a key of a plan.*'runs'"),
        (lambda t: t.pop("out"), "needs 'out'"),
        (lambda t: t.update(runs=[]), "needs 'runs'"),
        (lambda t: t.update(runs=["a"]), "needs 'runs'"),
        (lambda t: change(t, 1, "name", "first"), "name of its own"),
        (lambda t: change(t, 1, "name", "../x"), "name of its own"),
        (lambda t: change(t, 1, "after", "fist"), "no earlier run 'fist'.*first"),
        (lambda t: change(t, 1, "out", "x"), "take 'out' away"),
        (lambda t: change(t, 1, "backbone", "tiny"), "names a backbone too"),
        (lambda t: change(t, 1, "tasks", {"a": "tagging"}), r"runs\.1\.tasks.*one task"),
        (lambda t: change(t, 1, "trian", {}), r"runs\.1 \(second\).*'trian'"),
    ],
)
def test_faults_of_a_plan(tmp_path, spoil, said):
    tree = plan_of(tmp_path)
    spoil(tree)
    with pytest.raises(RecipeError, match=f"(?s){said}"):
        read_plan(tree)


def test_matrix_and_summary_by_hand():
    figure = {"higher_is_better": True}
    steps = [Step(n, None, tuple("abc"[:i])) for i, n in enumerate("abc")]

    def told(value, **after):
        return {
            "primary": {"name": "m", "value": value, "split": "test"},
            "metrics": {"test": {"m": figure}},
            "remember": {"runs": [{"run": f"x/{n}", "after": {"value": v}} for n, v in after.items()]},
        }

    metrics = {"a": told(0.9), "b": told(0.8, a=0.95), "c": told(0.7, a=0.6, b=0.7)}
    table = matrix(steps, metrics)
    assert table["c"] == {"a": 0.6, "b": 0.7, "c": 0.7}
    found = summary(steps, metrics, table)
    assert found["backward_transfer"] == pytest.approx((0.6 - 0.9 + 0.7 - 0.8) / 2)
    assert found["forgetting"] == pytest.approx((0.95 - 0.6 + 0.8 - 0.7) / 2)
    assert "forward_transfer" not in found
    for name, gain in (("b", 0.03), ("c", -0.01)):
        metrics[name]["remember"]["forward"] = {"gain": {"gain": gain}}
    assert summary(steps, metrics, table)["forward_transfer"] == pytest.approx((0.03 - 0.01) / 2)
