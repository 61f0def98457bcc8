"""Losses and methods that name an earlier run, through whole fits."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from tests.test_pipeline import QUICK, rows

from graftlm import bundle
from graftlm.core.errors import UserError
from graftlm.nn.packed import Packed
from graftlm.pipeline.earlier import contents, open_earlier
from graftlm.recipe import build
from graftlm.verbs.fitting import fit


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("earlier")


@pytest.fixture(scope="module")
def first(place):
    return fit(write(place / "a.jsonl", rows(60, 1)), out=str(place / "first"), **QUICK)


def test_an_earlier_run_gives_its_model_its_task_and_its_rows(first):
    found = open_earlier(str(first.folder))
    assert found.rows == 54  # a tenth was cut off for validation
    examples = found.examples(10, 0)
    assert len(examples) == 10
    assert [e.id for e in examples] == [e.id for e in found.examples(10, 0)]
    assert {e.target for e in found.examples(100, 0)} == set(found.space.labels)
    assert found.left() == {}


def test_what_is_no_run_is_told(first):
    with pytest.raises(UserError, match=r"no recipe\.yaml"):
        open_earlier(str(first.bundle))


def test_words_of_a_choice_name_no_folders_that_are_called_like_them(first, tmp_path, monkeypatch):
    """`head: probe` and `use: lora` are no runs, whatever lies where the command is given."""
    monkeypatch.chdir(tmp_path)
    for name in ("probe", "lora", "all", "earlier"):
        shutil.copytree(first.folder, tmp_path / name)
    recipe = build({"methods": [{"use": "lora"}, {"use": "soup", "runs": ["earlier"]}]})
    assert set(contents(recipe)) == {"methods.1.runs.0"}


# without validation rows the last weights count, not the best: which these are is chance on so few rows
LAST = {"evaluate.resamples": 100, "data.split.valid": 0}


def drift(first, second):
    """Return how far the first run's answers to its own rows moved, its head on the second run's encoder."""
    found = open_earlier(str(first.folder))
    old, new = found.model, bundle.load(bundle.open_bundle(second.bundle), precision="fp32", device="cpu")
    inputs = found.task.encode(found.examples(54, 0), old.tokenizer, found.limit)
    batch = Packed.of([one.features for one in inputs]).batch(list(range(len(inputs))), old.tokenizer.pad_token_id)
    with torch.no_grad():
        before = old.module(**batch).logits.log_softmax(-1)
        old.module.get_submodule(old.base).load_state_dict(new.module.get_submodule(new.base).state_dict())
        after = old.module(**batch).logits.log_softmax(-1)
    return float(torch.nn.functional.kl_div(after, before, reduction="batchmean", log_target=True))


@pytest.mark.parametrize(("loss", "strength"), [("ewc", 100.0), ("lwf", 3.0)])
def test_a_fit_from_its_bundle_holds_what_it_knew(first, place, loss, strength):
    other = {"card": "noun", "money": "verb", "trip": "noun"}
    train = write(place / "b.jsonl", [{**row, "label": other[row["label"]]} for row in rows(60, 3)])
    told = {}
    for name, losses in (("plain", []), (loss, [{"use": loss, "run": str(first.folder), "strength": strength}])):
        given = {**QUICK, "base": str(first.bundle), "baselines": "none", "rate": 2e-3, "epochs": 8, "settings": LAST}
        told[name] = drift(first, fit(train, out=str(place / f"{loss}_{name}"), loss=losses, **given))
    assert told[loss] < 0.5 * told["plain"]


def test_apart_from_the_gradient_more_strength_holds_more(first, place):
    """In the gradient, Adam's steps carry weights past their anchors and back: much strength holds less than some."""
    other = {"card": "noun", "money": "verb", "trip": "noun"}
    train = write(place / "h.jsonl", [{**row, "label": other[row["label"]]} for row in rows(60, 3)])
    given = {**QUICK, "base": str(first.bundle), "baselines": "none", "rate": 2e-3, "epochs": 8, "settings": LAST}

    def told(step, strength):
        loss = {"use": "ewc", "run": str(first.folder), "strength": strength, "step": step}
        return drift(first, fit(train, out=str(place / f"{step}{strength:g}"), loss=[loss], **given))

    some, much, most = (told("decoupled", strength) for strength in (1e2, 1e4, 1e6))
    assert most < much < some
    assert told("gradient", 1e6) > 2 * most


def test_a_chain_hands_on_what_its_runs_left(first, place):
    """Synaptic intelligence: the second run holds what the first one's path was worth, and leaves the sum of both."""
    other = {"card": "noun", "money": "verb", "trip": "noun"}
    given = {**QUICK, "baselines": "none", "epochs": 4, "settings": LAST}
    method = {"use": "synaptic_intelligence"}
    one = fit(write(place / "c.jsonl", rows(60, 1)), out=str(place / "si_one"), method=method, **given)
    worth = open_earlier(str(one.folder)).left()
    assert worth
    assert all(name.startswith("synaptic_intelligence/base.") for name in worth)
    assert sum(float(tensor.sum()) for tensor in worth.values()) > 0
    train = write(place / "d.jsonl", [{**row, "label": other[row["label"]]} for row in rows(60, 3)])
    given["base"] = str(one.bundle)
    two = fit(train, out=str(place / "si_two"), method={**method, "run": str(one.folder), "strength": 1.0}, **given)
    after = open_earlier(str(two.folder)).left()
    assert all(bool((after[name] >= worth[name]).all()) for name in worth)
    plain = fit(train, out=str(place / "si_plain"), method=method, **given)
    assert drift(one, two) < drift(one, plain)
    with pytest.raises(UserError, match="left nothing to hold"):
        fit(
            train, out=str(place / "si_none"), method={**method, "run": str(first.folder)},
            **{**given, "base": str(first.bundle)},
        )  # fmt: skip


def test_what_a_recipe_names_beside_its_rows_has_a_fingerprint(first, place):
    from graftlm import recipe
    from graftlm.pipeline.earlier import contents

    (place / "words.txt").write_text("card, plastic\n", encoding="utf-8")
    tree = {
        "losses": [{"use": "replay", "run": str(first.folder)}],
        "augmentations": [{"use": "synonyms", "dictionary": str(place / "words.txt")}, "word_swap"],
        "backbone": {"use": "local", "path": str(first.bundle)},
        "remember": {"runs": [str(first.folder)]},
    }
    marks = contents(recipe.build(tree))
    assert set(marks) == {"losses.0.run", "augmentations.0.dictionary", "backbone.path", "remember.runs.0"}
    (place / "words.txt").write_text("card, credit card\n", encoding="utf-8")
    again = contents(recipe.build(tree))
    assert [key for key in marks if marks[key] != again[key]] == ["augmentations.0.dictionary"]
    assert contents(recipe.build({"methods": "full"})) == {}


def test_a_run_does_not_go_on_beside_another_earlier_run(first, place, monkeypatch):
    import shutil

    from graftlm.core.errors import Interrupted

    other = place / "other"
    shutil.copytree(first.folder, other)
    given = {
        **QUICK, "base": str(first.bundle), "baselines": "none", "loss": "replay", "out": str(place / "stopped"),
        "settings": {**LAST, "losses.0.run": str(other)},
    }  # fmt: skip
    data = write(place / "c.jsonl", rows(60, 3))

    def stops(*args, **kwargs):
        raise Interrupted("Stopped.")

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["graftlm.pipeline.fit"], "compare_baselines", stops)
        with pytest.raises(Interrupted):
            fit(data, **given)
    manifest = other / "bundle" / "graft.json"
    held = manifest.read_text(encoding="utf-8")
    told = json.loads(held)
    assert "model.safetensors" in told["files"]
    manifest.write_text(held.replace(told["files"]["model.safetensors"]["sha256"], "0" * 64), encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot be resumed: what 'losses\.0\.run' names in its recipe is not what"):
        fit(data, resume=True, **given)
    manifest.write_text(held, encoding="utf-8")
    assert fit(data, resume=True, **given).metrics["primary"] is None


def test_what_an_earlier_run_lacks_is_told_before_baselines_are_fitted(first, place, monkeypatch):
    monkeypatch.setattr(
        sys.modules["graftlm.pipeline.fit"], "compare_baselines", lambda *_: pytest.fail("baselines are fitted already")
    )
    data, moved = write(place / "late.jsonl", rows(30, 2)), place / "moved"
    shutil.copytree(first.folder, moved)
    gone = (moved / "recipe.yaml").read_text(encoding="utf-8").replace("a.jsonl", "gone.jsonl")
    (moved / "recipe.yaml").write_text(gone, encoding="utf-8")
    base = str(first.bundle)
    for number, (loss, start, said) in enumerate(
        (
            ({"use": "ewc", "run": str(place / "nowhere")}, base, "got nothing of that name"),
            ({"use": "replay", "run": str(moved)}, base, "rows of the earlier run.*moved.*gone.jsonl.*put them back"),
            ({"use": "lwf", "run": str(first.folder)}, "tiny", "are not those that.*ended with"),
            ({"use": "replay", "text": str(place / "none.txt")}, base, "none.txt' cannot be read: No such file"),
        )
    ):
        with pytest.raises(UserError, match=f"(?s){said}"):
            fit(data, out=str(place / f"late{number}"), loss=[loss], **{**QUICK, "base": start})
    with pytest.raises(UserError, match=r"rows of the earlier run.*gone\.jsonl"):
        fit(data, out=str(place / "late_memory"), remember=str(moved), **{**QUICK, "base": base})


def test_a_balancer_of_one_task_is_refused(place):
    with pytest.raises(UserError, match="'pcgrad': there is one task"):
        fit(
            write(place / "one.jsonl", rows(30, 2)),
            out=str(place / "one"),
            settings={"balancer": "pcgrad"},
            base="tiny",
        )
