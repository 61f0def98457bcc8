"""Parameter groups: what is decayed, and how fast each part learns."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from graftlm.contracts.method import Adaptation
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.nn import vocabulary
from graftlm.stages.training.groups import multipliers, parameter_groups

BACKBONES = [
    {"use": "scratch", "architecture": name, "layers": 2, "width": 32, "max_length": 64}
    for name in ("bert", "modernbert", "gpt2")
]


def groups(made, adaptations=(), states=None, decay=0.05, rate=1.0):
    optimizer = registry.make("optimizer", {"use": "adamw", "weight_decay": decay})
    names = {id(p): name for name, p in made.model.module.named_parameters()}
    found = {}
    for group in parameter_groups(made.model, adaptations, states or nn.ModuleDict(), optimizer, rate):
        for parameter in group["params"]:
            key = names.get(id(parameter), "state")
            assert key not in found
            found[key] = (group["lr"], group["weight_decay"])
    return found


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda each: each["architecture"])
@pytest.mark.parametrize("working", [False, True])
def test_biases_norms_and_embeddings_are_not_decayed_and_matrices_are(setup, backbone, working):
    made = setup(backbone)
    if working:
        vocabulary.swap_in(made.model.module, np.arange(9))
    found = groups(made)
    assert set(found) == {name for name, _ in made.model.module.named_parameters()}
    plain = [name for name, (_, decay) in found.items() if decay == 0]
    decayed = [name for name, (_, decay) in found.items() if decay == 0.05]
    assert len(plain) + len(decayed) == len(found)
    assert all("norm" in n.lower() or "ln_" in n or n.endswith("bias") or "embed" in n or ".wte" in n or ".wpe" in n
               for n in plain)  # fmt: skip
    assert not any("norm" in n.lower() or "ln_" in n or n.endswith("bias") or "embeddings" in n for n in decayed)
    assert made.model.head + ".weight" in decayed


def test_what_does_not_train_is_in_no_group(setup):
    made = setup()
    made.model.module.encoder.requires_grad_(False)
    assert set(groups(made)) == {"head.weight", "head.bias"}


def test_rates_multiply_by_whole_prefix(setup):
    made = setup()
    adaptations = [Adaptation(rates={"encoder": 0.5}), Adaptation(rates={"encoder.encoder.layer.1": 0.2, "hea": 0.0})]
    found = groups(made, adaptations, rate=2.0)
    assert found["head.weight"][0] == 2.0
    assert found["encoder.encoder.layer.0.output.dense.weight"][0] == 1.0
    assert found["encoder.encoder.layer.1.output.dense.weight"][0] == pytest.approx(0.2)


def test_run_objects_train_at_the_full_rate(setup):
    assert groups(setup(), states=nn.ModuleDict({"loss_0": nn.Linear(2, 1, bias=False)}))["state"] == (1.0, 0.05)


def test_where_nothing_trains_it_says_so(setup):
    made = setup()
    made.model.module.requires_grad_(False)
    with pytest.raises(UserError, match="Nothing trains: the methods of the recipe freeze every parameter"):
        groups(made)


def test_a_rate_that_changes_with_the_step_multiplies_the_others(setup):
    made = setup()
    changing = Adaptation(rates_at=lambda step: {"encoder": 0.5**step, "encoder.embeddings": 0.0})
    groups = parameter_groups(
        made.model,
        [Adaptation(rates={"head": 3.0}), changing],
        nn.ModuleDict(),
        registry.make("optimizer", "adamw"),
        1.0,
    )
    factors = multipliers([Adaptation(), changing], groups, 2)
    by_name = {name: group["lr"] * f for group, f in zip(groups, factors, strict=True) for name in group["names"]}
    assert by_name["head.weight"] == 3.0
    assert {rate for name, rate in by_name.items() if name.startswith("encoder.embeddings.")} == {0.0}
    assert {rate for name, rate in by_name.items() if name.startswith("encoder.encoder.")} == {0.25}
