"""Arguments: flags and keyword arguments become the recipe that a file would be."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from graftlm import recipe
from graftlm.core import registry
from graftlm.core.errors import RecipeError, UserError
from graftlm.verbs.arguments import PLACES, recipe_of


def built(*args, **kwargs):
    return recipe_of(*args, **kwargs)[0]


def test_every_place_is_in_a_recipe():
    values = {
        "budget": "5m", "seed": 3, "epochs": 2, "batch_size": 8, "rate": 1e-3, "device": "cpu", "precision": "fp32",
        "refit": True, "require_gain": True, "trackers": ["wandb"], "metrics": ["a:b"], "overlap": "remove",
        "bad_rows": "skip", "valid": "v.csv", "test": "t.csv", "out": "o", "remember": ["r"], "forget_at_most": 1.0,
        "processes": 2,
    }  # fmt: skip
    assert set(values) == set(PLACES)
    made = built("x.csv", **values)
    for flag, path in PLACES.items():
        value = made
        for part in path.split("."):
            value = getattr(value, part)
        assert value == {"budget": 300}.get(flag, values[flag]), flag


def test_a_seed_of_nought_wins_over_a_file(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("train: {seed: 5, refit: true, epochs: 3}\n", encoding="utf-8")
    made = built(file, seed=0, refit=False)
    assert (made.train.seed, made.train.refit, made.train.epochs) == (0, False, 3)


def test_settings_win_over_flags_and_flags_over_the_file(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("train: {epochs: 1, batch_size: 1, seed: 1}\n", encoding="utf-8")
    made = built(str(file), epochs=2, batch_size=2, settings=["train.epochs=3"])
    assert (made.train.epochs, made.train.batch_size, made.train.seed) == (3, 2, 1)


def test_a_mapping_of_the_callers_is_not_changed():
    tree = {"train": {"epochs": 1, "optimizer": {"use": "sgd"}}, "methods": ["full"]}
    before = copy.deepcopy(tree)
    made = built(tree, epochs=2, rate=0.5, settings=["methods.0.head=random"])
    assert tree == before
    assert (made.train.epochs, made.train.optimizer.rate, made.methods[0].head) == (2, 0.5, "random")


def test_a_recipe_may_be_given_whole():
    first = recipe.build({"train": {"epochs": 3}, "backbone": "tiny"})
    assert built(first) == first
    assert built(first, seed=2).train.seed == 2


@pytest.mark.parametrize("rows", [[{"text": "a", "label": "b"}], {"text": ["a"], "label": ["b"]}])
def test_objects_in_memory_are_handed_on(rows):
    made, given = recipe_of(rows, test=rows)
    assert given == {"train": rows, "test": rows}
    assert made.data.train == f"memory:{type(rows).__name__}"


def test_paths_may_be_paths():
    made, given = recipe_of(Path("a") / "b.csv", valid=Path("v.csv"))
    assert (made.data.train, made.data.valid, given) == ("a/b.csv", "v.csv", {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minilm", {"use": "minilm"}),
        ("tiny", {"use": "tiny"}),
        ("owner/model", {"use": "hub", "model": "owner/model"}),
        ("bert-base-uncased", {"use": "hub", "model": "bert-base-uncased"}),
        ("./folder", {"use": "local", "path": "./folder"}),
        ("/some/where", {"use": "local", "path": "/some/where"}),
    ],
)
def test_a_base_is_found_by_who_claims_it(name, expected):
    assert built("x.csv", base=name).backbone == registry.make("backbone", expected)


def test_a_folder_with_a_name_like_one_of_the_hub_is_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "model").mkdir(parents=True)
    assert built("x.csv", base="owner/model").backbone.name() == "local"
    assert built("x.csv", base=Path("owner/model")).backbone.name() == "local"


def test_a_base_may_be_a_plug_in_or_a_mapping():
    tiny = registry.make("backbone", {"use": "tiny", "layers": 1})
    assert built("x.csv", base=tiny).backbone == tiny
    assert built("x.csv", base={"use": "tiny", "layers": 1}).backbone == tiny


def test_columns_are_pairs_or_a_mapping():
    assert built("x.csv", columns=["text=内容", "label=a=b"]).data.columns == {"text": "内容", "label": "a=b"}
    assert built("x.csv", columns={"text": "内容"}).data.columns == {"text": "内容"}
    several = built("x.csv", columns=["label=joy", "text=t", "label=anger"]).data.columns
    assert several == {"label": ["joy", "anger"], "text": "t"} == built("x.csv", columns=several).data.columns
    for wrong in ("text", "=a", "text="):
        with pytest.raises(UserError, match=f"--column wants role=column, such as text=内容; got '{wrong}'"):
            built("x.csv", columns=[wrong])


def test_baselines_come_beside_those_of_the_task_or_alone():
    def names(asked, **more):
        chosen = built("x.csv", baselines=asked, **more).evaluate.baselines
        return chosen if isinstance(chosen, str) else [one.name() for one in chosen]

    usual = list(registry.load("task", "classification").baselines)
    assert names(()) == "auto"
    assert names("auto") == "auto"
    assert names(("none",)) == "none"
    assert names("scratch") == [*usual, "scratch"]
    assert names(["majority", "scratch"]) == [*usual, "scratch"]
    assert names(("none", "majority")) == ["majority"]


def test_a_fault_in_the_task_is_told_though_baselines_depend_on_it():
    with pytest.raises(RecipeError, match="task 'classification' has no field 'metrik'") as caught:
        built({"task": {"use": "classification", "metrik": "x"}, "train": {"epochs": -1}}, baselines="scratch")
    assert "train.epochs" in str(caught.value)


def test_methods_and_losses_may_be_one_or_several():
    assert [one.name() for one in built("x.csv", method=("full", "freeze")).methods] == ["full", "freeze"]
    assert [one.name() for one in built("x.csv", method="probe").methods] == ["probe"]
    made = registry.make("method", {"use": "freeze", "layers": 1})
    assert built("x.csv", method=made).methods == [made]


def test_an_unknown_argument_is_told():
    with pytest.raises(UserError, match=r"There is no argument 'epoch'\. Did you mean 'epochs'\?"):
        built("x.csv", epoch=3)


def test_splits_by_name_are_no_recipe():
    datasets = pytest.importorskip("datasets")
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    splits = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(rows), "validation": datasets.Dataset.from_list(rows)}
    )
    recipe, given = recipe_of(splits)
    assert set(given) == {"train", "valid"}
    assert recipe.data.train == recipe.data.valid == "memory:Dataset"
    recipe, given = recipe_of({"train": rows, "test": rows})
    assert given == {"train": rows, "test": rows}
    recipe, given = recipe_of({"train": {"epochs": 2}})
    assert (recipe.train.epochs, given) == (2, {})


def test_a_yaml_file_that_a_reader_knows_is_data(tmp_path):
    talk = tmp_path / "talk.yml"
    talk.write_text("categories:\n- ai\nconversations:\n- - hello\n  - hi\n", encoding="utf-8")
    assert recipe_of(talk, task="generation")[0].data.train == str(talk)
    plan = tmp_path / "plan.yml"
    plan.write_text("data: {train: a.csv}\n", encoding="utf-8")
    assert recipe_of(plan)[0].data.train == "a.csv"
