"""The recipe: file, settings and Python build the same object, and all faults are told together."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from graftlm import recipe
from graftlm.core import registry
from graftlm.core.errors import RecipeError
from graftlm.verbs.arguments import recipe_of

TREE = {
    "data": {"train": "a.csv", "test": "b.csv", "columns": {"text": "内容"}, "split": {"by": "group", "group": "who"}},
    "backbone": {"use": "tiny", "pooling": "cls", "layers": 3},
    "task": {"use": "classification", "metric": "macro_f1"},
    "methods": [{"use": "freeze", "layers": 1}],
    "train": {
        "epochs": 2.5, "optimizer": {"use": "sgd", "rate": 0.05}, "budget": "10m", "schedule": "wsd",
        "trackers": ["wandb"],
    },
    "evaluate": {"baselines": ["majority", {"use": "tfidf"}], "metrics": ["math:fsum"]},
    "out": "runs/one",
}  # fmt: skip

SETTINGS = [
    "data.train=a.csv", "data.test=b.csv", "data.columns.text=内容", "data.split.by=group", "data.split.group=who",
    "backbone=tiny", "backbone.pooling=cls", "backbone.layers=3", "task.metric=macro_f1", "methods.0=freeze",
    "methods.0.layers=1", "train.epochs=2.5", "train.optimizer=sgd", "train.optimizer.rate=0.05", "train.budget=10m",
    "train.schedule=wsd", "train.trackers=[wandb]", "evaluate.baselines=[majority, tfidf]",
    "evaluate.metrics=['math:fsum']", "out=runs/one",
]  # fmt: skip


def faults(tree) -> str:
    with pytest.raises(RecipeError) as caught:
        recipe.build(tree)
    return str(caught.value)


def test_file_settings_and_python_build_the_same_object(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(TREE, allow_unicode=True), encoding="utf-8")
    made = {
        "tree": recipe.build(TREE),
        "file": recipe_of(file)[0],
        "settings": recipe_of(settings=SETTINGS)[0],
        "mapping": recipe_of(settings=dict(map(recipe.setting, SETTINGS)))[0],
        "arguments": recipe_of(
            "a.csv", test="b.csv", columns={"text": "内容"}, base=registry.make("backbone", TREE["backbone"]),
            task={"use": "classification", "metric": "macro_f1"}, method={"use": "freeze", "layers": 1}, epochs=2.5,
            budget="10m", trackers=["wandb"], metrics=["math:fsum"], out="runs/one",
            settings={"train.schedule": "wsd", "train.optimizer": TREE["train"]["optimizer"],
                      "data.split": TREE["data"]["split"], "evaluate.baselines": TREE["evaluate"]["baselines"]},
        )[0],
    }  # fmt: skip
    for name, one in made.items():
        assert one == made["tree"], name
        assert one.fingerprint() == made["tree"].fingerprint()
    assert made["tree"].train.budget == 600


@pytest.mark.parametrize("tree", [{}, TREE])
def test_it_survives_the_round_trip(tree):
    made = recipe.build(tree)
    assert recipe.build(made.as_json()) == made
    assert recipe.build(yaml.safe_load(made.as_yaml())) == made
    assert "内容" in made.as_yaml() or not tree


def test_every_default_stands_in_the_filled_in_file():
    tree = yaml.safe_load(recipe.build({}).as_yaml())
    assert tree["backbone"]["use"] == "minilm"
    assert tree["methods"] == [{"use": "full", **tree["methods"][0]}]
    assert tree["train"]["batch_size"] == 32
    assert tree["train"]["optimizer"]["use"] == "adamw"


def test_the_fingerprint_tells_recipes_apart_but_not_where_they_write():
    base = recipe.build({})
    assert base.fingerprint() == recipe.build({"out": "elsewhere"}).fingerprint()
    assert base.fingerprint() != recipe.build({"train": {"seed": 1}}).fingerprint()
    assert base.fingerprint() != recipe.build({"methods": "probe"}).fingerprint()


def test_a_bare_name_stands_for_a_plug_in_and_one_for_a_list():
    assert recipe.build({"methods": "probe"}) == recipe.build({"methods": [{"use": "probe"}]})
    assert recipe.build({"methods": {"use": "freeze", "layers": 1}}).methods[0].layers == 1


def test_fields_without_a_name_change_the_default_plug_in():
    made = recipe.build(
        {"backbone": {"pooling": "max"}, "methods": [{"head": "random"}], "train": {"optimizer": {"rate": 1e-3}}}
    )
    assert made.backbone == registry.make("backbone", {"use": "minilm", "pooling": "max"})
    assert made.methods == [registry.make("method", {"use": "full", "head": "random"})]
    assert made.train.optimizer == registry.make("optimizer", {"use": "adamw", "rate": 1e-3})


def test_all_faults_are_told_together_with_near_names():
    said = faults(
        {
            "data": {"trian": "x.csv"},
            "backbone": "minlm",
            "methods": ["ful", {"use": "freeze", "layers": -1}],
            "train": {"epochs": 0, "batchsize": 8, "schedule": "cosin", "seed": "x"},
            "evaluat": {},
        }
    )
    assert said.startswith("The recipe has 9 faults:")
    for line in (
        "'data.trian' is not a key of a recipe. Did you mean 'train'? Keys here: 'train', 'valid'",
        "'backbone': There is no backbone called 'minlm'. Did you mean 'minilm'?",
        "'methods.0': There is no method called 'ful'. Did you mean 'full'?",
        "'methods.1': method 'freeze', field 'layers': Input should be greater than or equal to 0; got -1",
        "'train.epochs': Input should be greater than 0; got 0",
        "'train.batchsize' is not a key of a recipe. Did you mean 'batch_size'?",
        "'train.schedule': Input should be 'linear', 'cosine', 'constant' or 'wsd'; got 'cosin'",
        "'train.seed': Input should be a valid integer",
        "'evaluat' is not a key of a recipe. Did you mean 'evaluate'?",
    ):
        assert line in said, line
    assert "errors.pydantic.dev" not in said


def test_keys_of_one_of_several_tasks_are_told_with_the_known_ones():
    said = faults({"tasks": {"intent": {"task": "tagging", "data": {"trian": "x.csv"}, "wieght": 2}}})
    assert "'tasks.intent.data.trian' is not a key of a recipe. Did you mean 'train'? Keys here: 'train'" in said
    assert "'tasks.intent.wieght' is not a key of a recipe. Did you mean 'weight'?" in said


def test_an_unknown_field_of_a_plug_in_is_told_with_the_known_ones():
    said = faults({"methods": [{"use": "freeze", "layer": 1}]})
    assert "method 'freeze' has no field 'layer'. Did you mean 'layers'? Fields: " in said


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("train.batch_size", 0), ("train.batch_size", 1.5), ("train.epochs", math.inf), ("train.epochs", math.nan),
        ("train.clip", math.inf), ("train.clip", -1), ("train.warmup", 1.0), ("train.budget", 0),
        ("train.budget", "soon"),
        ("train.save_every", math.inf), ("train.patience", 0), ("train.precision", "fp16"), ("train.device", "tpu"),
        ("train.optimizer.rate", 0), ("train.optimizer.rate", 99), ("data.split.valid", 1), ("evaluate.resamples", 5),
        ("evaluate.baselines", "some"), ("data.limit", 0), ("train.seed", -1), ("task.metric", "acuracy"),
        ("backbone.pooling", "sum"), ("methods", 5), ("methods.0", 5), ("losses", ["nothing_such"]),
        ("train.micro_batch_size", 0),
    ],
)  # fmt: skip
def test_a_value_out_of_its_bounds_is_refused_by_name(path, value):
    with pytest.raises(RecipeError) as caught:
        recipe_of(settings={path: value})
    assert f"'{path.removesuffix('.metric').removesuffix('.pooling').removesuffix('.rate')}" in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("45", 45), (30, 30)])
def test_times(text, seconds):
    assert recipe.build({"train": {"budget": text}}).train.budget == seconds


def test_a_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        recipe.build({}).out = "x"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match="There is no recipe '.*none.yaml'"):
        recipe.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "is not YAML"),
        ("", "must hold a mapping with keys such as 'data' and 'task'; got NoneType"),
        ("- a\n- b", "got list"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, content, said):
    path = tmp_path / "r.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecipeError, match=said):
        recipe.read(path)


def test_a_folder_is_no_recipe(tmp_path):
    (tmp_path / "r.yaml").mkdir()
    with pytest.raises(RecipeError, match="cannot be read"):
        recipe.read(tmp_path / "r.yaml")


def test_put_reaches_inside():
    tree: dict = {}
    recipe.put(tree, "methods.0", "full")
    recipe.put(tree, "methods.0.head", "random")
    recipe.put(tree, "methods.1.layers", 2)
    recipe.put(tree, "data.columns.text", "内容")
    assert tree == {
        "methods": [{"use": "full", "head": "random"}, {"layers": 2}], "data": {"columns": {"text": "内容"}}
    }  # fmt: skip


@pytest.mark.parametrize("written", ["freeze", {"use": "freeze"}, ["freeze"]])
def test_put_reaches_into_a_list_however_it_was_written(written):
    tree = {"methods": written}
    recipe.put(tree, "methods.0.layers", 1)
    assert recipe.build(tree).methods == [registry.make("method", {"use": "freeze", "layers": 1})]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("methods.5", "'methods.5' must be a number from 0 to 1"),
        ("methods.first", "'methods.first' must be a number"),
        ("train.epochs.x", "'train.epochs' is a value, not a section"),
    ],
)
def test_put_says_where_a_path_leads_nowhere(path, said):
    with pytest.raises(RecipeError, match=said):
        recipe.put({"methods": ["full"], "train": {"epochs": 3}}, path, 1)


@given(st.text(min_size=1, max_size=20))
def test_a_setting_is_read_or_refused(text):
    path, equals, _ = text.partition("=")
    if equals and path.strip():
        assert recipe.setting(text)[0] == path.strip()
    else:
        with pytest.raises(RecipeError, match="--set wants path=value"):
            recipe.setting(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=3", 3), ("a=[x, y]", ["x", "y"]), ("a=", None), ("a=b=c", "b=c"), ("a={", "{"), ("a=内容", "内容")]
)  # fmt: skip
def test_values_of_settings_are_yaml(text, value):
    assert recipe.setting(text) == ("a", value)


def test_recipes_that_come_along_are_recipes():
    folder = Path(__file__).parents[1] / "recipes"
    for path in folder.glob("*.yaml"):
        recipe.build(recipe.read(path))
