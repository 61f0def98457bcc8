"""What holds for every method, on a tiny model with random weights."""

from __future__ import annotations

import math

import pytest
import torch
from peft import PeftModel
from transformers import AutoModel

from graftlm.core import registry
from graftlm.nn import adapters

ORDER = ("keeps", "same", "merges")


def names_and_shapes(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def logits(model, inputs):
    model.module.eval()
    with torch.inference_mode():
        return model.module(**inputs).logits


def refusal(run, *names):
    reasons = [registry.make("method", name).refuses(run.model, run.setting) for name in names]
    return next((f"{name}: {reason}" for name, reason in zip(names, reasons, strict=True) if reason), None)


def test_it_says_when_to_use_it_and_what_it_does_to_the_layout(method_name):
    method = registry.load("method", method_name)
    assert method.when.strip(), "say in `when` when to use it, and which neighbour to prefer otherwise"
    assert method.layout in ORDER


def test_alone_on_a_plain_task_it_works(method_name, make_run):
    reason = refusal(make_run([method_name]), method_name)
    if registry.load("method", method_name).devices:
        assert "trains on" in reason, "it must be refused on this device"
        pytest.skip(f"refused: {reason}")
    assert reason is None


def test_three_steps_train_and_stay_finite(method_name, make_run):
    run = make_run([method_name])
    before = {name: tensor.clone() for name, tensor in run.model.module.state_dict().items()}
    losses = run.train(steps=3)
    assert all(math.isfinite(loss) for loss in losses)
    assert all(tensor.isfinite().all() for tensor in run.model.module.state_dict().values())
    after = run.model.module.state_dict()
    assert any(name not in before or not torch.equal(before[name], after[name]) for name in after), "nothing changed"


def test_after_finish_the_layout_is_what_it_says(method_name, make_run):
    run = make_run([method_name])
    bare = names_and_shapes(run.model.module)
    run.train(steps=2)
    same = names_and_shapes(run.model.module) == bare
    assert same == (registry.load("method", method_name).layout != "keeps")


def test_the_same_seed_gives_the_same_weights_bit_for_bit(method_name, make_run):
    first, second = make_run([method_name]), make_run([method_name])
    first.train(steps=3)
    second.train(steps=3)
    for name, tensor in first.model.module.state_dict().items():
        assert torch.equal(tensor, second.model.module.state_dict()[name]), name


def test_a_run_cut_and_resumed_ends_with_the_same_bits(method_name, make_run):
    whole, cut, again = (make_run([method_name]) for _ in range(3))
    if not whole.train(steps=4):
        pytest.skip("no gradient step")
    again.train(steps=4, resume=cut.snapshot_after(2, steps=4))
    for name, tensor in whole.model.module.state_dict().items():
        assert torch.equal(tensor, again.model.module.state_dict()[name]), name


def test_an_average_is_judged_and_kept_with_the_best_checkpoint(method_name, make_run):
    if not registry.load("method", method_name).averages:
        pytest.skip("the weights that train are the ones judged")
    run = make_run([method_name])
    judged = []
    run.train(steps=6, judge=lambda model: judged.append(logits(model, run.inputs)) or len(judged) == 2)
    # close, not equal: while training, attention may run in another kernel
    torch.testing.assert_close(logits(run.model, run.inputs), judged[1], atol=1e-5, rtol=1e-4)
    assert len(judged) == 3


def test_three_steps_in_bf16_stay_finite(method_name, make_run):
    assert all(math.isfinite(each) for each in make_run([method_name]).train(steps=3, precision="bf16"))


def test_a_record_used_twice_equals_a_fresh_one(method_name, make_run):
    record = registry.make("method", method_name)
    make_run([record], layers=1).train(steps=1)
    used, fresh = make_run([record]), make_run([method_name])
    used.train(steps=2)
    fresh.train(steps=2)
    for name, tensor in used.model.module.state_dict().items():
        assert torch.equal(tensor, fresh.model.module.state_dict()[name]), name


def test_a_bundle_answers_like_the_trained_model_bit_for_bit(method_name, make_run, tmp_path):
    run = make_run([method_name])
    run.train(steps=2)
    again = run.through_a_bundle(tmp_path / "bundle")
    assert torch.equal(logits(run.model, run.inputs), logits(again, run.inputs))


def test_kept_beside_its_base_an_adapter_answers_the_same_and_opens_in_peft(method_name, make_run, tmp_path):
    if "merge" not in registry.load("method", method_name).model_fields:
        pytest.skip("no adapter that can be kept")
    run = make_run([method_name])
    kept = run.methods[0].model_copy(update={"merge": False})
    run = make_run([kept])
    if reason := kept.refuses(run.model, run.setting):
        assert ("trains on" if kept.devices else "merge: true") in reason
        pytest.skip(f"refused: {reason}")
    bare = {name: tensor.clone() for name, tensor in run.model.module.state_dict().items()}
    run.train(steps=3)
    with adapters.lifted(run.model.module):
        after = run.model.module.state_dict()
    assert set(after) == set(bare)
    changed = {name for name in bare if not torch.equal(bare[name], after[name])}
    assert all(name.startswith(f"{run.model.head}.") for name in changed), "the base is not as it was"
    again = run.through_a_bundle(tmp_path / "bundle")
    assert torch.equal(logits(run.model, run.inputs), logits(again, run.inputs))
    plain = PeftModel.from_pretrained(AutoModel.from_pretrained(tmp_path / "bundle" / "base"), tmp_path / "bundle")
    with torch.inference_mode():
        states = plain.eval()(**run.inputs).last_hidden_state[:, -run.inputs["input_ids"].shape[1] :]
        own = again.module.encoder(**run.inputs).last_hidden_state
    assert torch.equal(states, own)
    assert not torch.equal(states, make_run([method_name]).model.module.encoder(**run.inputs).last_hidden_state)


@pytest.mark.slow
def test_every_ordered_pair_works_through_a_bundle_or_is_refused(method_name, other_method_name, make_run, tmp_path):
    if method_name == other_method_name:
        pytest.skip("a pair of one")
    names = sorted((method_name, other_method_name), key=lambda n: ORDER.index(registry.load("method", n).layout))
    run = make_run(names)
    if reason := refusal(run, *names):
        pytest.skip(f"refused: {reason}")
    assert all(math.isfinite(loss) for loss in run.train(steps=2))
    again = run.through_a_bundle(tmp_path / "bundle")
    assert torch.equal(logits(run.model, run.inputs), logits(again, run.inputs))


@pytest.mark.slow
def test_it_works_with_every_loss_or_is_refused(method_name, loss_name, make_run):
    run = make_run([method_name], losses=[loss_name])
    loss = run.losses[0]
    if reason := refusal(run, method_name) or loss.refuses(run.model, run.task) or loss.clashes(run.methods):
        pytest.skip(f"refused: {reason}")
    assert all(math.isfinite(loss) for loss in run.train(steps=2))
