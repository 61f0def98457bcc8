"""The verdict: the right opponent, the right word, and a sentence that names the cheaper choice."""

from __future__ import annotations

import json

import numpy as np

from graftlm.contracts.values import Score
from graftlm.contracts.verdict import Scores
from graftlm.core import registry
from graftlm.stages.evaluating import Contender, judge_transfer

TASK = registry.make("task", "classification")
ROWS = 1000


def scores(share, seed):
    """Return scores of answers of which `share` are right, at places drawn by `seed`."""
    right = np.random.default_rng(seed).permutation(ROWS) < share * ROWS
    true = np.arange(ROWS) % 4
    grades = {"true": true, "predicted": np.where(right, true, (true + 1) % 4), "log_probability": np.full(ROWS, -1.0)}
    return Scores("accuracy", {"accuracy": Score(share, n=ROWS)}, grades)


def both(valid, test, seed=0):
    return {"valid": scores(valid, seed), "test": scores(test, seed + 100)}


def judge(model, **baselines):
    contenders = {name: Contender(by_split, pretrained=name == "probe") for name, by_split in baselines.items()}
    return judge_transfer(TASK, model, contenders, resamples=300, seed=0)


def test_a_clear_gain_helps_and_the_opponent_is_chosen_on_validation_rows():
    found = judge(both(0.95, 0.95), tfidf=both(0.88, 0.80, 1), scratch=both(0.80, 0.88, 2), probe=both(0.85, 0.85, 3))
    assert (found.verdict, found.against, found.split, found.chosen_on) == ("helped", "tfidf", "test", "valid")
    assert found.sentence.startswith("Transfer helped by 15.0 points [")
    assert "] over tfidf, p < 0.001." in found.sentence
    assert "Over the frozen probe: +10.0 points" in found.sentence
    assert found.cheaper is None
    tree = found.as_json()
    assert json.loads(json.dumps(tree)) == tree
    assert {"verdict", "against", "gain", "low", "high", "p_value", "over_probe"} <= set(tree)
    assert tree["gain"] == found.difference.gain
    assert tree["over_probe"]["gain"] == found.over_probe.gain


def test_a_probe_that_is_as_good_is_named_as_the_cheaper_choice():
    found = judge(both(0.931, 0.931), tfidf=both(0.88, 0.88, 1), probe=both(0.93, 0.93, 2))
    assert found.verdict == "helped"
    assert found.cheaper == "probe"
    assert "The frozen probe is as good within noise (+0.1 points" in found.sentence
    assert found.sentence.endswith("The cheaper choice is probe.")


def test_a_baseline_that_wins_is_negative_transfer():
    found = judge(both(0.59, 0.60), tfidf=both(0.78, 0.785, 1), probe=both(0.55, 0.55, 2))
    assert found.verdict == "negative transfer"
    assert found.difference.gain < 0
    assert found.sentence.startswith("Negative transfer: 18.5 points worse than tfidf [-")
    assert "On the validation rows tfidf is better (78.0 against 59.0)." in found.sentence
    assert found.sentence.endswith("The cheaper choice is tfidf.")


def test_a_small_gain_is_no_measurable_difference():
    found = judge(both(0.81, 0.81), tfidf=both(0.80, 0.80, 1))
    assert found.verdict == "no measurable difference"
    assert found.sentence.startswith("No measurable difference to tfidf: +1.0 points [-")
    assert found.cheaper == "tfidf"
    assert found.over_probe is None


def test_a_model_that_is_the_probe_is_not_compared_with_itself():
    model = both(0.93, 0.93)
    found = judge(model, tfidf=both(0.88, 0.88, 1), probe=model)
    assert found.over_probe.gain == 0
    assert "probe" not in found.sentence
    assert found.cheaper is None


def test_without_a_test_split_the_sentence_says_so():
    found = judge({"valid": scores(0.9, 0)}, majority={"valid": scores(0.3, 1)})
    assert (found.split, found.chosen_on) == ("valid", "valid")
    assert "Measured on the validation rows, for there are no test rows." in found.sentence


def test_without_validation_rows_the_sentence_says_so():
    found = judge({"test": scores(0.9, 0)}, majority={"test": scores(0.3, 1)})
    assert found.chosen_on == "test"
    assert "chosen on the test rows, for there are no validation rows" in found.sentence


def test_without_a_plain_baseline_there_is_no_verdict():
    assert judge(both(0.9, 0.9), probe=both(0.9, 0.9, 1)) is None
    assert judge(both(0.9, 0.9)) is None


def test_a_loss_is_told_in_its_own_unit():
    task = registry.make("task", {"use": "classification", "metric": "log_loss"})

    def lossy(value):
        one = scores(0.9, 0)
        grades = {**one.grades, "log_probability": np.full(ROWS, -value)}
        return {"test": Scores("log_loss", {"log_loss": Score(value, n=ROWS, higher_is_better=False)}, grades)}

    contenders = {"majority": Contender(lossy(1.2), False), "tfidf": Contender(lossy(0.7), False)}
    found = judge_transfer(task, lossy(0.3), contenders, resamples=100, seed=0)
    assert found.against == "tfidf"
    assert found.sentence.startswith("Transfer helped by 0.400 (log_loss) [0.400, 0.400] over tfidf, p < 0.001.")
