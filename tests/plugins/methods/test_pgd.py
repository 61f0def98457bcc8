"""PGD against the same steps written with `inputs_embeds`."""

from __future__ import annotations

import torch

from graftlm.core import registry


def sizes(values):
    return values.flatten(1).norm(dim=1).view(-1, 1, 1)


def test_it_is_the_plain_gradient_and_the_one_at_the_end_of_the_steps(
    prepare, inner_of, halves, gradient_of, task_gradient
):
    made = prepare("tiny", dropout=0.0)
    record = registry.make("method", {"use": "pgd", "steps": 3, "step": 0.3, "epsilon": 0.5})
    _, found = gradient_of(made, record.apply(made.model, made.setting).wrap(inner_of(made)), halves(made))
    plain, at = task_gradient(made)
    delta = torch.zeros_like(at)
    for _ in range(3):
        delta = delta + 0.3 * at / sizes(at)
        delta = torch.where(sizes(delta) > 0.5, 0.5 * delta / sizes(delta), delta)
        last, at = task_gradient(made, embeds=delta)
    torch.testing.assert_close(sizes(delta).flatten(), torch.full((6,), 0.5))
    for name, gradient in plain.items():
        torch.testing.assert_close(found[name], gradient + last[name], atol=1e-5, rtol=1e-4)
