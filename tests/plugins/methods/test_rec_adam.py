"""RecAdam against the update of the reference, written out here."""

from __future__ import annotations

import math

import torch

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Update
from graftlm.core import registry


def test_the_share_of_the_task_is_the_papers_sigmoid(prepare):
    made = prepare("tiny")
    record = registry.make("method", {"use": "rec_adam", "k": 0.2, "t0": 50})
    adaptation = record.apply(made.model, made.setting)
    adaptation.begin(Ground(made.model, made.task, made.space, rate=1e-3))
    # 1 / (1 + e^(-0.2 (t - 50))) at t = 0, 50, 60: 4.5397868702e-05, 0.5, 0.8807970780
    for step, share in ((0, 4.5397868702e-05), (50, 0.5), (60, 0.8807970780)):
        rates = adaptation.rates_at(step)
        assert all(abs(rate - share) < 1e-9 for rate in rates.values())
    assert any(name.startswith(made.model.base) for name in rates)
    assert not any(name.startswith(made.model.head) for name in rates)


def test_the_whole_step_is_the_references(prepare):
    """Sanyuan-Chen/RecAdam:RecAdam.py, step(): Adam's step times lambda, then the pull with the plain rate."""
    made = prepare("tiny")
    k, t0, pull, rate = 0.5, 3, 40.0, 3e-3
    record = registry.make("method", {"use": "rec_adam", "k": k, "t0": t0, "pull": pull})
    adaptation = record.apply(made.model, made.setting)
    start, grads, rates = made.weights(), [], []
    name = next(n for n in start if n.endswith("query.weight"))

    def inner_seen(inner):
        def gradient(batches):
            loss = inner(batches)
            grads.append(made.model.module.get_parameter(name).grad.clone())
            return loss

        return gradient

    from graftlm.contracts.method import Adaptation

    watch = Adaptation(wrap=inner_seen, after_update=lambda update: rates.append(update.rate("head.weight")))
    optimizer = registry.make("optimizer", {"use": "adamw", "weight_decay": 0.0})
    made.train(steps=6, rate=rate, clip=0.0, optimizer=optimizer, job={"adaptations": [adaptation, watch]})
    weight = start[name].double()
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, (gradient, now) in enumerate(zip(grads, rates, strict=True)):
        share = 1 / (1 + math.exp(-k * (step - t0)))
        first = 0.9 * first + 0.1 * gradient.double()
        second = 0.999 * second + 0.001 * gradient.double() ** 2
        size = now * math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        eps = 1e-8 * math.sqrt(1 - 0.999 ** (step + 1))  # torch divides before it adds epsilon
        weight = weight - size * share * first / (second.sqrt() + eps)
        weight = weight - now * (1 - share) * pull * (weight - start[name].double())
    torch.testing.assert_close(made.weights()[name].double(), weight, atol=1e-5, rtol=1e-5)
    assert (weight - start[name].double()).abs().max() > 1e-4


def test_a_pull_beyond_one_puts_the_weights_back_whole(prepare):
    made = prepare("tiny")
    record = registry.make("method", {"use": "rec_adam", "k": 10.0, "t0": 100, "pull": 1e6})
    adaptation = record.apply(made.model, made.setting)
    adaptation.begin(Ground(made.model, made.task, made.space, rate=1.0))
    start = made.weights()
    name = next(n for n in start if n.endswith("query.weight"))
    with torch.no_grad():
        made.model.module.get_parameter(name).add_(1.0)
    adaptation.after_update(Update(0, lambda name: 1e-12))
    torch.testing.assert_close(made.weights()[name], start[name])
