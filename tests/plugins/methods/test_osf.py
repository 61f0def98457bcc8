"""OSF: the strongest directions stay to the last digit, and the rest stays orthogonal to them."""

from __future__ import annotations

import torch

from graftlm.core import registry


def test_the_strongest_directions_of_each_matrix_stay(prepare):
    made = prepare("tiny")
    start = made.weights()
    record = registry.make("method", {"use": "osf", "share": 0.5})
    made.train(steps=10, rate=1e-2, job={"adaptations": [record.apply(made.model, made.setting)]})
    end = made.weights()
    checked = 0
    for name in start:
        if ".layer." not in name or start[name].ndim != 2:
            continue
        u, s, v = torch.linalg.svd(start[name].double(), full_matrices=False)
        k = len(s) // 2
        high = u[:, :k] * s[:k] @ v[:k]
        rest = end[name].double() - high
        # W' = high + rest, and the rest touches neither side of what is frozen
        scale = float(rest.norm())
        assert float((u[:, :k].T @ rest).norm()) < 1e-4 * scale, name
        assert float((rest @ v[:k].T).norm()) < 1e-4 * scale, name
        assert float((end[name] - start[name]).norm()) > 1e-3
        checked += 1
    assert checked == 12
    frozen = [n for n in start if "embeddings" in n or "LayerNorm" in n]
    assert all(torch.equal(start[name], end[name]) for name in frozen)


def test_before_training_the_model_is_the_same(prepare, logits_of):
    plain, made = prepare("tiny", dropout=0.0), prepare("tiny", dropout=0.0)
    registry.make("method", "full").apply(plain.model, plain.setting)
    registry.make("method", "osf").apply(made.model, made.setting)
    torch.testing.assert_close(logits_of(made), logits_of(plain), atol=1e-5, rtol=1e-4)


def test_layers_kept_the_other_way_round_are_refused(prepare):
    made = prepare({"use": "scratch", "architecture": "gpt2", "layers": 2, "width": 32, "max_length": 64})
    assert "(in, out)" in registry.make("method", "osf").refuses(made.model, made.setting)
