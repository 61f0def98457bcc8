"""The masked language model's loss on general text, before and after a run: held against Transformers by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.test_pipeline import QUICK, rows
from tests.tiny import tokenizer
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertModel

from graftlm import bundle
from graftlm.contracts import fisher
from graftlm.core import seeds
from graftlm.core.errors import RecipeError, UserError
from graftlm.verbs.fitting import fit

GENERAL = ["w1 w2 w3 w4 w5 w6", "好 w7 w8 w9", "w10 w11 w12 w13 w14 w15 w16 w17 w18", "w3"] * 12


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("general")
    config = BertConfig(
        vocab_size=len(tokenizer()), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=66, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    for name, kind in (("masked", BertForMaskedLM), ("bare", BertModel)):
        kind(config).save_pretrained(place / name)
        tokenizer().save_pretrained(place / name)
    (place / "general.txt").write_text("\n".join(GENERAL) + "\n", encoding="utf-8")
    return place


def go(place, name, base, **more):
    settings = {"evaluate.resamples": 100, "remember.text": str(place / "general.txt"), **more.pop("settings", {})}
    given = {**QUICK, "base": str(base), "baselines": "none", "epochs": 1, "rate": 1e-3, **more}
    given.pop("settings", None)
    return fit(
        write(place / "a.jsonl", rows(60, 1)), test=write(place / "b.jsonl", rows(30, 2)), out=str(place / name),
        settings=settings, **given,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(place):
    return go(place, "run", place / "masked")


def by_hand(place, body):
    """Return the loss a token of the general text, one line after the other."""
    model = AutoModelForMaskedLM.from_pretrained(place / "masked").eval()
    if body is not None:
        missing, odd = model.base_model.load_state_dict(body, strict=False)
        assert not [key for key in missing if "position_ids" not in key]
        assert all("pooler" in key for key in odd)
    draw = torch.Generator().manual_seed(seeds.child(0, "general text"))
    total = count = 0
    for line in GENERAL:
        ids, told = fisher.masked(tokenizer()(line)["input_ids"], tokenizer(), draw)
        if (told != -100).any():
            with torch.no_grad():
                out = model(input_ids=ids, labels=told)
            size = int((told != -100).sum())
            total, count = total + float(out.loss) * size, count + size
    return total / count, count


def test_before_and_after_are_the_losses_of_the_plain_model(run, place):
    told = run.metrics["remember"]["text"]
    before, count = by_hand(place, None)
    tensors = load_file(run.bundle / "model.safetensors")
    model = bundle.load(bundle.open_bundle(run.bundle), precision="fp32", device="cpu")
    after, _ = by_hand(place, model.module.get_submodule(model.base).state_dict())
    assert told["tokens"] == count
    assert told["before"]["value"] == pytest.approx(before, abs=1e-5)
    assert told["after"]["value"] == pytest.approx(after, abs=1e-5)
    assert told["change"]["value"] == pytest.approx(after - before, abs=2e-5)
    assert told["change"]["low"] <= told["change"]["value"] <= told["change"]["high"]
    assert abs(after - before) > 1e-4
    assert tensors
    assert f"{math.exp(told['after']['value']):,.1f}" in run.metrics["remember"]["sentence"]


def test_it_stands_in_metrics_and_report(run):
    kept = json.loads((run.folder / "metrics.json").read_text())["remember"]
    assert kept["runs"] == []
    assert kept["kept"] is True
    assert "general.txt" in kept["sentence"]
    assert kept["sentence"].split("(")[0] in (run.folder / "report.html").read_text(encoding="utf-8").replace(
        "&#39;", "'"
    )


def test_a_later_run_takes_the_head_of_the_base_that_the_first_came_from(run, place):
    later = go(place, "later", run.bundle, remember=str(run.folder))
    told = later.metrics["remember"]
    assert told["text"]["head"] == "masked"
    assert told["text"]["before"]["value"] == pytest.approx(run.metrics["remember"]["text"]["after"]["value"], abs=1e-5)
    assert told["sentence"].startswith("Of ")


def test_a_base_without_the_head_is_told_once(place, caplog):
    caplog.set_level("INFO", logger="graftlm")
    found = go(place, "bare-run", place / "bare").metrics["remember"]
    assert "'bare' was saved as BertModel, without a masked language model's head" in found["text"]["left_out"]
    assert caplog.text.count("is left out") == 1
    path = place / "bare" / "config.json"
    path.write_text(path.read_text().replace('"BertModel"', '"BertForMaskedLM"'))
    found = go(place, "lying-run", place / "bare").metrics["remember"]
    assert "fitting tensors of BertForMaskedLM" in found["text"]["left_out"]


def test_bad_input_is_told(place, run):
    with pytest.raises(UserError, match=r"nowhere\.txt"):
        go(place, "x1", place / "masked", settings={"remember.text": str(place / "nowhere.txt")})
    with pytest.raises(RecipeError, match="none is named"):
        go(place, "x2", place / "masked", settings={"remember.forget_at_most": 1})


def test_equal_losses_change_nothing():
    from graftlm.pipeline.general_text import GeneralText

    text = GeneralText("a.txt", "base", None, None, [], [], np.array([1, 3]), np.array([2.0, 3.0]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(GeneralText, "losses", lambda self, body: self.before)
        told = text.tree({}, resamples=50, seed=0)
    assert told["before"]["value"] == 5 / 4
    assert told["change"] == {"value": 0.0, "low": 0.0, "high": 0.0}
