"""The probe: a frozen backbone and a head solved at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graftlm.core import registry

PROBE = registry.make("method", "probe")


def test_its_logits_are_those_of_the_linear_solution(prepare, backbone, logits_of):
    made = prepare(backbone)
    adaptation = PROBE.apply(made.model, made.setting)
    assert adaptation.solved
    solution = made.features.probe(made.rows)
    expected = torch.from_numpy(made.features(made.rows) @ solution.weight.T + solution.bias)
    torch.testing.assert_close(logits_of(made), expected, atol=1e-4, rtol=1e-4)


def test_features_are_what_the_head_reads(prepare, backbone, logits_of):
    made = prepare(backbone)
    features = torch.from_numpy(made.features(made.rows))
    head = made.model.module.get_submodule(made.model.head)
    torch.testing.assert_close(head(features), logits_of(made), atol=1e-5, rtol=1e-5)


def test_the_solution_fits_the_rows_it_was_solved_on(prepare, backbone, logits_of):
    made = prepare(backbone)
    PROBE.apply(made.model, made.setting)
    target = torch.tensor(made.data.targets)
    chance = float(np.log(3))
    assert torch.nn.functional.cross_entropy(logits_of(made), target) < chance + 0.05


def test_nothing_but_the_head_moves_and_nothing_trains(prepare, backbone):
    made = prepare(backbone)
    before = made.weights()
    PROBE.apply(made.model, made.setting)
    after = made.weights()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved <= {f"{made.model.head}.weight", f"{made.model.head}.bias"}
    assert not any(p.requires_grad for p in made.model.module.parameters())


def test_it_works_alone(prepare):
    assert PROBE.refuses(*_of(prepare(methods=("probe",)))) is None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"methods": ("full", "probe")}, "no other method can be beside it"),
        ({"methods": ("probe",), "losses": ("mixup",)}, "losses would do nothing"),
    ],
)
def test_company_is_refused(prepare, facts, reason):
    assert reason in PROBE.refuses(*_of(prepare(**facts)))


def _of(made):
    return made.model, made.setting
