"""QLoRA: the numbers of NF4, the formula, what trains, and a plain model at the end that answers as the trained one."""

from __future__ import annotations

import copy
import dataclasses
import random
import sys

import numpy as np
import pytest
import torch
from scipy.stats import norm

from graftlm.cli.main import main
from graftlm.core import registry
from graftlm.core.errors import Interrupted, MissingPackage
from graftlm.nn import adapters, precision
from graftlm.nn.four_bit import FourBitLinear
from graftlm.stages.training.loop import train
from graftlm.stages.training.processes import Alone
from graftlm.verbs.fitting import fit

# the 16 levels of NF4 as the paper prints them, appendix E
LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


def method(**fields):
    return registry.make("method", {"use": "qlora", **fields})


def layers(made):
    return {n: part for n, part in made.model.module.named_modules() if isinstance(part, FourBitLinear)}


def moved(made, size=0.1):
    """Give the updates values that matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.model.module.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=size)


def rounded(weight, levels=LEVELS):
    """Round a matrix to levels times the largest of each 64 values; return it with those scales."""
    flat = weight.astype(np.float64).reshape(-1)
    blocks = np.pad(flat, (0, -len(flat) % 64)).reshape(-1, 64)
    scales = np.abs(blocks).max(axis=1, keepdims=True)
    near = np.abs((blocks / scales)[..., None] - np.asarray(levels)).argmin(axis=-1)
    return (np.asarray(levels)[near] * scales).reshape(-1)[: len(flat)].reshape(weight.shape), scales[:, 0]


def test_the_levels_are_quantiles_of_a_normal_distribution():
    """Seven below zero and eight above it, each side by the quantiles of its half, scaled to one."""
    offset = 1 - (1 / 32 + 1 / 30) / 2
    above, below = norm.ppf(np.linspace(offset, 0.5, 9)[:-1]), norm.ppf(np.linspace(offset, 0.5, 8)[:-1])
    found = np.sort([*above, 0.0, *-below]) / above.max()
    np.testing.assert_allclose(found, LEVELS, atol=3e-7)  # printed as floats that were computed in fp32


@pytest.mark.parametrize("shape", [(48, 128), (96, 32), (7, 30), (3, 13), (600, 64)])
def test_a_weight_is_levels_times_the_largest_of_64_values(shape):
    torch.manual_seed(0)
    layer = torch.nn.Linear(shape[1], shape[0])
    expected, scales = rounded(layer.weight.detach().numpy())
    held = FourBitLinear(layer, "nf4", False, None, "cpu")
    np.testing.assert_allclose(held.unpacked().numpy(), expected, atol=1e-6)
    twice = FourBitLinear(layer, "nf4", True, None, "cpu")
    assert len(twice.codes) == 256
    # by the largest number of each block, which is one: a scale is off by no more than half a step of the 8 bits
    found = twice.unpacked().numpy().reshape(-1)
    found = np.abs(np.pad(found, (0, -len(found) % 64)).reshape(-1, 64)).max(axis=1)
    off = scales - scales.mean()
    steps = np.diff(np.sort(twice.codes.numpy())).max() * np.abs(off).max()
    assert np.abs(found - scales).max() <= steps / 2 + 1e-6
    assert (found == pytest.approx(scales, rel=1e-6)) == (len(scales) == 1)


@pytest.mark.parametrize(("double", "bits"), [(True, 4 + 8 / 64 + 32 / (64 * 256)), (False, 4 + 32 / 64)])
def test_the_bits_of_a_weight(double, bits):
    held = FourBitLinear(torch.nn.Linear(512, 512, bias=False), "nf4", double, None, "cpu")
    tables = {"levels", "codes", "mean", "format"}
    tensors = {**dict(held.named_parameters()), **dict(held.named_buffers())}
    size = sum(t.numel() * t.element_size() for name, t in tensors.items() if name not in tables)
    assert 8 * size / 512**2 == pytest.approx(bits)


def test_fp4_has_levels_of_floating_point():
    layer = torch.nn.Linear(64, 64)
    held = FourBitLinear(layer, "fp4", False, None, "cpu")
    # one bit for the sign, two for the exponent, one for the fraction; the largest is 1
    levels = [0.0, 0.0052083, 0.1666667, 0.25, 0.3333333, 0.5, 0.6666667, 1.0]
    expected, _ = rounded(layer.weight.detach().numpy(), [*levels, *(-level for level in levels)])
    np.testing.assert_allclose(held.unpacked().numpy(), expected, atol=1e-4)


def test_a_layer_is_the_formula_and_so_is_its_gradient(prepare):
    made = prepare("tiny")
    name = method().layers(made.model)[0]
    weight = made.model.module.get_parameter(f"{name}.weight").detach().clone()
    bias = made.model.module.get_parameter(f"{name}.bias")
    method(rank=4, alpha=6, double_quant=False).apply(made.model, made.setting)
    moved(made)
    part = made.model.module.get_submodule(name)
    a, b = part.lora_A["default"].weight, part.lora_B["default"].weight
    whole = torch.from_numpy(rounded(weight.numpy())[0]).float() + 6 / 4 * b.detach() @ a.detach()
    x = torch.randn(3, 5, weight.shape[1], requires_grad=True)
    found = part(x)
    torch.testing.assert_close(found, x @ whole.T + bias, atol=1e-5, rtol=1e-5)
    given = torch.randn_like(found)
    found.backward(given)
    torch.testing.assert_close(x.grad, given @ whole, atol=1e-5, rtol=1e-5)
    into_b = 6 / 4 * given.reshape(-1, len(whole)).T @ (x.reshape(-1, weight.shape[1]) @ a.T)
    torch.testing.assert_close(b.grad, into_b.detach(), atol=1e-4, rtol=1e-4)


def test_only_adapters_and_the_head_train_and_every_linear_layer_is_held_in_4_bits(prepare):
    made = prepare("tiny")
    names = method().layers(made.model)
    method(rank=2, targets="attention").apply(made.model, made.setting)
    trains = {name for name, p in made.model.module.named_parameters() if p.requires_grad}
    assert all("lora_" in name or name.startswith(made.model.head) for name in trains)
    assert {name.removesuffix(".base_layer") for name in layers(made)} == set(names)
    assert len([name for name in trains if "lora_A" in name]) < len(names)


def test_the_end_is_a_plain_model_with_what_was_trained(prepare, backbone, logits_of):
    made = prepare(backbone, dropout=0.0)
    before = made.weights()
    adaptation = method(rank=4, alpha=6, targets="attention", double_quant=False).apply(made.model, made.setting)
    moved(made)
    trained = logits_of(made)
    held, factors = {n: part.unpacked() for n, part in layers(made).items()}, adapters.lora_factors(made.model.module)
    adaptation.finish()
    torch.testing.assert_close(logits_of(made), trained, atol=1e-4, rtol=1e-4)
    after = made.weights()
    assert {n: (t.shape, t.dtype) for n, t in after.items()} == {n: (t.shape, t.dtype) for n, t in before.items()}
    assert not layers(made)
    assert all(p.requires_grad for p in made.model.module.parameters())
    turned = adapters.transposed(made.model.module, method().layers(made.model))
    for name, weight in held.items():
        name = name.removesuffix(".base_layer")
        given = before[f"{name}.weight"].numpy()
        expected = rounded(given.T if turned else given)[0]  # blocks run along the inputs of a neuron
        np.testing.assert_allclose(weight.numpy(), expected, atol=1e-5)
        if name in factors:
            a, b = factors[name]
            expected = expected + (b @ a).numpy()
        found = after[f"{name}.weight"].numpy()
        np.testing.assert_allclose(found.T if turned else found, expected, atol=1e-5)
    matrices = {f"{name.removesuffix('.base_layer')}.weight" for name in held}
    others = [n for n in before if n not in matrices and not n.startswith(made.model.head)]
    assert all(torch.equal(before[name], after[name]) for name in others)


@pytest.mark.parametrize("compute_dtype", ["auto", "bf16", "fp32"])
def test_in_bf16_it_answers_as_the_plain_model_does_in_bf16(prepare, compute_dtype):
    made = prepare("tiny", dropout=0.0)
    adaptation = method(rank=4, compute_dtype=compute_dtype).apply(made.model, made.setting)
    moved(made)
    module = made.model.module.eval()
    batch = made.data.packed.batch(list(range(len(made.rows))), made.model.tokenizer.pad_token_id)

    def answers(module):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            return module(**batch).logits.float()

    live = answers(module)
    copied = precision.converted(module, torch.bfloat16, made.model.head, torch.device("cpu"))
    held = next(part for part in copied.modules() if isinstance(part, FourBitLinear))
    assert (held.outer.dtype, held.levels.dtype, held.weight.dtype) == (torch.float32, torch.float32, torch.bfloat16)
    with torch.no_grad():
        judged = copied(**batch).logits.float()
    adaptation.finish()
    plain = answers(module)
    scale = float(plain.std())
    assert 0 < float((live - plain).abs().max()) < 0.05 * scale
    assert float((judged - plain).abs().max()) < 0.05 * scale


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "t5"])
def test_the_start_is_the_base_with_rounded_weights(architecture, prepare, logits_of):
    """T5 turns its states into the format of a weight: one of whole numbers would be the end of them."""
    made = prepare({"use": "tiny", "architecture": architecture}, dropout=0.0)
    twin = copy.deepcopy(made.model.module)
    method(rank=2, head="random").apply(made.model, made.setting)
    with torch.no_grad():
        for name, part in layers(made).items():
            name = name.removesuffix(".base_layer")
            parameter = twin.get_parameter(f"{name}.weight")
            wide = adapters.turned(twin.get_submodule(name))
            parameter.copy_(part.unpacked().T if wide else part.unpacked())
    found = logits_of(made)
    made.model = dataclasses.replace(made.model, module=twin)
    torch.testing.assert_close(found, logits_of(made), atol=1e-4, rtol=1e-4)


def test_a_checkpoint_holds_adapters_and_head_alone(prepare):
    made = prepare("tiny")
    count = len(method().layers(made.model))
    adaptation = method(rank=2).apply(made.model, made.setting)
    kept = next(train(made.job(steps=2, adaptations=[adaptation]), made.section(), Alone())).snapshot()
    held = [name for name in kept["tensors"] if name.startswith("weights.")]
    assert len(held) == 2 * count + 2
    assert all("lora_" in name or ".head." in name for name in held)


def test_what_cannot_be_is_refused(prepare, monkeypatch):
    made = prepare("tiny", device="cuda:1")
    assert method().refuses(made.model, made.setting) is None
    assert "set merge: true" in method(merge=False).refuses(made.model, made.setting)
    assert str(made.model.card.width) in method(rank=made.model.card.width + 1).refuses(made.model, made.setting)
    here = prepare("tiny", device="cpu")
    reason = method().refuses(here.model, here.setting)
    assert "trains on cuda alone, and this run trains on cpu" in reason
    assert "`lora`" in reason
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingPackage, match=r"pip install 'graftlm\[qlora\]'"):
        method().refuses(made.model, made.setting)


def test_a_package_that_is_missing_is_told_before_anything_trains(prepare, monkeypatch):
    made = prepare("tiny")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPackage, match=r"The method 'lora' needs the package 'peft'.*'graftlm\[peft\]'"):
        registry.make("method", "lora").refuses(made.model, made.setting)


WORDS = {"card": ("card", "plastic", "chip", "pin"), "trip": ("travel", "abroad", "hotel", "flight")}


def texts(count, seed):
    rng = random.Random(seed)
    labels = [list(WORDS)[number % 2] for number in range(count)]
    return [{"text": f"{rng.choice(WORDS[label])} my {rng.choice(WORDS[label])} {n}", "label": label}
            for n, label in enumerate(labels)]  # fmt: skip


def test_without_a_gpu_the_command_line_refuses_before_any_baseline(tmp_path, capsys):
    data = tmp_path / "train.csv"
    data.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in texts(40, 1)), "utf-8")
    out = tmp_path / "run"
    asked = ["fit", str(data), "--base", "tiny", "--device", "cpu", "--out", str(out)]
    assert main([*asked, "--method", "qlora"]) == 2
    said = capsys.readouterr().err
    assert "method 'qlora': it trains on cuda alone, and this run trains on cpu; take `lora`" in said
    assert "baseline" not in said
    assert main([*asked, "--method", "lora", "--set", "train.epochs=1", "--set", "evaluate.resamples=100"]) == 0


class Stopping:
    """Stops at a step, as a signal would."""

    def __init__(self, at):
        self.at = at

    def stage(self, name):
        pass

    def progress(self, progress):
        if progress.step == self.at:
            raise KeyboardInterrupt


def test_a_whole_fit_resumed_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(registry.load("method", "qlora"), "devices", ("cpu",))
    rows, test = texts(60, 1), texts(20, 2)
    quick = {
        "base": "tiny", "epochs": 4, "rate": 3e-3, "batch_size": 16, "precision": "fp32", "device": "cpu",
        "method": "qlora", "settings": {"evaluate.resamples": 100, "train.patience": 2},
    }  # fmt: skip
    whole = fit(rows, test=test, out=str(tmp_path / "whole"), **quick)
    with pytest.raises(Interrupted):
        fit(rows, test=test, out=str(tmp_path / "cut"), watch=Stopping(4), **quick)
    resumed = fit(rows, test=test, out=str(tmp_path / "cut"), resume=True, **quick)
    for path in sorted(whole.bundle.rglob("*.safetensors")):
        assert path.read_bytes() == (resumed.bundle / path.relative_to(whole.bundle)).read_bytes(), path
    assert whole.metrics["metrics"] == resumed.metrics["metrics"]
    told = whole.metrics["parameters"]
    assert told["trained"] < told["of"]
    lines = (whole.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert any('"best": true' in line for line in lines)
