"""Child-Tuning: the masks against sorted sums of squared gradients, and against the share that is asked for."""

from __future__ import annotations

import pytest
import torch

from graftlm.contracts.ground import Ground
from graftlm.core import registry


def singles(made, batch_of_rows):
    def batches(count, size):
        for row in range(count):
            yield batch_of_rows(made, row)

    return batches


def one(made, row):
    from graftlm.contracts.values import Batch

    inputs = made.data.packed.batch([row], made.model.tokenizer.pad_token_id)
    return Batch(inputs, made.task.stack([made.data.targets[row]]), [row])


def test_driven_keeps_the_entries_with_the_largest_sums(prepare, inner_of, halves, gradient_of):
    made = prepare("tiny", dropout=0.0)
    record = registry.make("method", {"use": "child_tuning", "share": 0.2, "rows": 5})
    adaptation = record.apply(made.model, made.setting)
    adaptation.begin(Ground(made.model, made.task, made.space, batches=singles(made, one)))
    inner = inner_of(made)
    _, found = gradient_of(made, adaptation.wrap(inner), halves(made))
    _, plain = gradient_of(made, inner, halves(made))
    sums = {}
    for row in range(5):
        _, gradient = gradient_of(made, inner, [one(made, row)])
        for name, tensor in gradient.items():
            sums[name] = sums.get(name, 0) + tensor.double() ** 2
    inside = [name for name in sums if name.startswith(f"{made.model.base}.")]
    every = torch.cat([sums[name].flatten() for name in inside])
    whole = sum(p.numel() for n, p in made.model.module.named_parameters() if n.startswith(f"{made.model.base}."))
    least = every.sort(descending=True).values[round(0.2 * whole) - 1]
    for name, gradient in plain.items():
        if name in inside:
            sure = (sums[name] - least).abs() > 1e-6 * least  # ties of rounding may fall either way
            expected = gradient * (sums[name] >= least)
            torch.testing.assert_close(found[name][sure], expected[sure], atol=1e-6, rtol=1e-5)
        else:
            torch.testing.assert_close(found[name], gradient)


def test_free_keeps_a_share_and_scales_it_up(prepare, inner_of, halves, gradient_of):
    made = prepare("tiny", dropout=0.0)
    record = registry.make("method", {"use": "child_tuning", "child": "free", "share": 0.25})
    adaptation = record.apply(made.model, made.setting)
    adaptation.begin(Ground(made.model, made.task, made.space))
    inner = inner_of(made)
    gradient = adaptation.wrap(inner)
    _, found = gradient_of(made, gradient, halves(made))
    _, plain = gradient_of(made, inner, halves(made))
    name = next(n for n in plain if n.endswith("intermediate.dense.weight"))
    kept = found[name] != 0
    assert abs(float(kept.float().mean()) - 0.25) < 0.05
    torch.testing.assert_close(found[name][kept], plain[name][kept] * 4)
    torch.testing.assert_close(found["head.weight"], plain["head.weight"])
    adaptation.after_update(None)
    _, later = gradient_of(made, gradient, halves(made))
    assert not torch.equal(later[name] != 0, kept)


def test_entries_that_are_left_out_never_move(prepare):
    made = prepare("tiny")
    record = registry.make("method", {"use": "child_tuning", "share": 0.1})
    start = made.weights()
    optimizer = registry.make("optimizer", {"use": "adamw", "weight_decay": 0.0})
    made.train(steps=6, optimizer=optimizer, job={"adaptations": [record.apply(made.model, made.setting)]})
    moved = total = 0
    for name, tensor in made.weights().items():
        if name.startswith(f"{made.model.base}."):
            moved += int((tensor != start[name]).sum())
            total += tensor.numel()
    assert 0.05 < moved / total <= 0.101


@pytest.mark.parametrize("other", ["fgm", "freelb", "neftune", "pgd"])
def test_what_is_perturbed_does_not_choose_the_entries(prepare, other):
    def chosen(*names):
        made = prepare("tiny", dropout=0.0)
        records = [registry.make("method", {"use": name} | fields) for name, fields in names]
        adaptations = [record.apply(made.model, made.setting) for record in records]
        made.train(steps=1, job={"adaptations": adaptations})
        return dict(adaptations[-1].state["masks"].items())

    child = ("child_tuning", {"share": 0.2, "rows": 5})
    alone, beside = chosen(child), chosen((other, {}), child)
    assert alone
    assert all(torch.equal(alone[name], beside[name]) for name in alone)
