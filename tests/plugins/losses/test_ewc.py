"""EWC: the Fisher matrix against closed forms and explicit sums, the penalty against its formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from graftlm.contracts import fisher
from graftlm.contracts.method import Update
from graftlm.core import registry, seeds
from graftlm.core.errors import UserError
from graftlm.nn.importance import Held, importance, relative


def test_on_a_logistic_regression_the_fisher_is_the_closed_form():
    """For p = softmax(W x), E_y (d ln p / dW_ck)^2 = p_c (1 - p_c) x_k^2: the mean over rows, y summed out."""
    torch.manual_seed(0)
    weight, x = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    p = (x @ weight.T).softmax(1).detach()
    expected = torch.einsum("nc,nk->ck", p * (1 - p), x**2) / 5

    def values():
        for row in x:
            for label in range(3):  # the square root of p_y: its square weighs the class
                told = (weight @ row).log_softmax(0)[label]
                yield told * told.detach().exp().sqrt()

    found = importance({"w": weight}, values())["w"] * 3  # a mean over 15 values, of which 3 belong to a row
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_the_mean_of_squares_is_not_the_square_of_the_mean():
    weight = torch.tensor([1.0], requires_grad=True)
    found = importance({"w": weight}, iter([weight.sum(), (-weight).sum()]))["w"]
    assert found.item() == 1.0


def test_the_decoupled_step_is_the_implicit_one_and_never_goes_past_the_anchor():
    """The minimum over v of 1/2 |v - w|^2 + rate * strength * F / 2 * (v - w0)^2."""
    module = torch.nn.Linear(3, 1, bias=False)
    start, worth = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[2.0, 0.0, 4.0]])
    for strength in (10.0, 1e9):
        with torch.no_grad():
            module.weight.copy_(torch.tensor([[3.0, 3.0, -3.5]]))
        before = module.weight.detach().clone()
        Held({"weight": start}, {"weight": worth}).pull(module, strength, lambda name: 0.1)
        expected = (before + 0.1 * strength * worth * start) / (1 + 0.1 * strength * worth)
        torch.testing.assert_close(module.weight.detach(), expected, rtol=1e-5, atol=1e-6)
    held = module.weight.detach().clone()
    Held({"weight": start}, {"weight": worth}).pull(module, 10.0, lambda name: 0.0)
    assert torch.equal(module.weight, held)  # what does not train is not pulled


def test_worth_through_its_mean_means_the_same_for_every_base():
    found = relative({"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([[2.0], [10.0]])})
    torch.testing.assert_close(found["b"].flatten(), torch.tensor([0.5, 2.5]))
    torch.testing.assert_close(found["a"], torch.tensor([0.25, 0.75]))
    assert relative({"a": torch.zeros(2)})["a"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["ewc", "online_ewc", "mas"])
def test_decoupled_it_adds_nothing_to_the_loss_and_pulls_after_the_update(ground, moved, look_at, name):
    made = ground()
    loss = registry.make("loss", {"use": name, "step": "decoupled", "strength": 1e9, "rows": 5})
    start = made.weights()
    state = loss.prepare(made.ground)
    moved(made)
    away = made.weights()
    assert float(loss(look_at(made, state=state))) == 0.0
    loss.after_update(made.model, state, Update(0, lambda parameter: 1.0))
    now = made.weights()
    (worth,) = [dict(state.weights.items())]
    assert any((now[n] != away[n]).any() for n in worth)
    for parameter, each in worth.items():
        some = each > 1e-3
        torch.testing.assert_close(now[parameter][some], start[parameter][some], rtol=1e-4, atol=1e-4)
    plain = registry.make("loss", {"use": name, "rows": 5})
    kept = made.weights()
    plain.after_update(made.model, state, Update(0, lambda parameter: 1.0))
    assert all(torch.equal(tensor, made.weights()[n]) for n, tensor in kept.items())


def penalty_by_hand(made, weights, start):
    total = 0.0
    for name, parameter in made.model.module.named_parameters():
        if name in weights:
            total += 0.5 * (weights[name].double() * (parameter.double() - start[name].double()) ** 2).sum()
    return total


@pytest.mark.parametrize("labels", ["data", "model"])
def test_on_an_earlier_run_it_is_the_sum_over_single_rows(ground, moved, look_at, labels):
    made = ground()
    start = made.weights()
    loss = registry.make("loss", {"use": "ewc", "run": "runs/a", "rows": 5, "labels": labels})
    state = loss.prepare(made.ground)
    old, weights = made.earlier.model.module, {}
    draw = torch.Generator().manual_seed(seeds.child(0, "fisher"))
    for row in range(5):
        old.zero_grad()
        logits = old(**made.data.packed.batch([row], made.model.tokenizer.pad_token_id)).logits[0]
        label = made.data.targets[row]
        if labels == "model":
            label = int(torch.multinomial(logits.detach().softmax(0)[None], 1, generator=draw))
        (-logits.log_softmax(0)[label]).backward()
        for name, parameter in old.named_parameters():
            if name.startswith("encoder."):
                weights[name] = weights.get(name, 0) + parameter.grad.double() ** 2 / 5
    moved(made)
    found = loss(look_at(made, state))
    expected = penalty_by_hand(made, weights, start)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)
    made.model.module.zero_grad()
    found.backward()
    name = next(n for n in weights if n.endswith("query.weight"))
    pull = weights[name] * (made.weights()[name] - start[name]).double()
    torch.testing.assert_close(made.model.module.get_parameter(name).grad.double(), pull, atol=1e-6, rtol=1e-5)
    assert made.model.module.head.weight.grad is None


def test_of_vectors_it_is_the_squared_jacobian_on_average(ground):
    """F = E_x sum_d (df_d / dw)^2, here by one backward pass for each dimension; ours draws directions."""
    made = ground()
    name = "encoder.encoder.layer.1.attention.self.value.weight"
    parameter = made.model.module.get_parameter(name)
    expected = torch.zeros_like(parameter)
    for row in range(15):
        inputs = made.data.packed.batch([row], made.model.tokenizer.pad_token_id)
        for value in made.model.module(**inputs).pooled[0]:
            expected += torch.autograd.grad(value, parameter, retain_graph=True)[0] ** 2 / 15
    total = torch.zeros_like(expected)
    for seed in range(40):
        ground_of = replace(made.ground, seed=seed)
        total += fisher.of_vectors(ground_of, {name: parameter}, 15)[name] / 40
    # 600 drawn directions: the mean of chi-squared variables is off by some sqrt(2 / 600)
    assert abs(float(total.sum() / expected.sum()) - 1) < 0.15
    assert float(torch.corrcoef(torch.stack([total.flatten(), expected.flatten()]))[0, 1]) > 0.8


def test_a_working_vocabulary_changes_nothing(ground):
    weights = []
    for working in (False, True):
        made = ground()
        loss = registry.make("loss", {"use": "ewc", "strength": 50.0})
        made.train(steps=4, working_vocabulary=working, job={"losses": [loss]})
        weights.append(made.weights())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-5, rtol=1e-4)


def test_general_text_needs_a_head(ground, tmp_path):
    made = ground()
    path = tmp_path / "general.txt"
    path.write_text("one line of text\n\nand another one\n", encoding="utf-8")
    loss = registry.make("loss", {"use": "ewc", "text": str(path)})
    with pytest.raises(UserError, match="masked language model's head"):
        loss.prepare(made.ground)
    with pytest.raises(UserError, match="cannot be read"):
        fisher.general_text(str(tmp_path / "none"), 5, 0)
    assert fisher.general_text(str(path), 5, 0) == ["one line of text", "and another one"]


def test_general_text_on_a_base_with_a_head(ground, tmp_path, monkeypatch, moved, look_at):
    made = ground()
    path = tmp_path / "general.txt"
    path.write_text("my card is lost in the sea\nsend money to my mother\n" * 4, encoding="utf-8")
    monkeypatch.setattr(made.base.config, "architectures", ["BertForMaskedLM"])
    loss = registry.make("loss", {"use": "ewc", "text": str(path), "rows": 6})
    state = loss.prepare(made.ground)
    weights = dict(state.weights.items())
    assert all(weight.isfinite().all() and (weight >= 0).all() for weight in weights.values())
    assert sum(float(weight.sum()) for weight in weights.values()) > 0
    moved(made)
    assert loss(look_at(made, state)).item() > 0


def test_another_start_than_the_earlier_runs_end_is_refused(ground):
    made = ground()
    with torch.no_grad():
        made.earlier.model.module.encoder.embeddings.word_embeddings.weight.add_(1.0)
    with pytest.raises(UserError, match="--base runs/a/bundle"):
        registry.make("loss", {"use": "ewc", "run": "runs/a"}).prepare(made.ground)


def test_two_places_for_the_fisher_are_refused_and_a_frozen_base_is():
    with pytest.raises(ValidationError, match="not both"):
        registry.make("loss", {"use": "ewc", "run": "a", "text": "b"})
    lora = registry.make("method", "lora")
    assert "'lora' freezes the base" in registry.make("loss", "ewc").clashes([lora])
