"""A metrics.json tree as a run writes it."""

from __future__ import annotations

import pytest


def score(value, low, high, n=3080, *, up=True, percent=True):
    return {"value": value, "low": low, "high": high, "n": n, "higher_is_better": up, "percent": percent}


@pytest.fixture
def metrics():
    def scores(accuracy, loss):
        return {
            "accuracy": score(accuracy, accuracy - 0.01, accuracy + 0.01),
            "log_loss": score(loss, loss - 0.02, loss + 0.02, up=False, percent=False),
        }

    sentence = "Transfer helped by 3.9 points [3.0, 4.8] over tfidf, p < 0.001. Over the frozen probe: +0.4 points."
    return {
        "task": "classification",
        "primary": {"name": "accuracy", "split": "test", **score(0.931, 0.922, 0.94)},
        "metrics": {"valid": scores(0.92, 0.3), "test": scores(0.931, 0.277)},
        "baselines": {
            "majority": {"valid": scores(0.013, 4.3), "test": scores(0.013, 4.3)},
            "tfidf": {"valid": scores(0.89, 0.45), "test": scores(0.892, 0.44)},
        },
        "transfer": {
            "verdict": "helped", "against": "tfidf", "metric": "accuracy", "split": "test", "chosen_on": "valid",
            "gain": 0.039, "low": 0.03, "high": 0.048, "p_value": 1e-9, "n": 3080, "test": "McNemar, exact",
            "over_probe": None, "cheaper": None, "sentence": sentence,
        },
        "timing": {
            "examples_per_second": 412.0, "tokens_per_second": 6000.0, "padding_share": 0.03,
            "seconds": {"read": 0.4, "train": 91.6}, "peak_memory_bytes": 2**30,
        },
        "device": "cpu",
        "precision": "bf16",
        "versions": {"graftlm": "0.1.0"},
    }  # fmt: skip


@pytest.fixture
def bare():
    """Return the tree of a run that had nothing to judge it on."""
    return {"task": "classification", "primary": None, "metrics": {}, "transfer": None, "timing": {"seconds": {}}}
