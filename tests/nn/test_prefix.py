"""The frozen prefix: replayed states equal computed ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, ModernBertConfig, ModernBertModel

from graftlm.nn import prefix as prefixes
from graftlm.nn.packed import Packed
from graftlm.nn.prefix import FrozenPrefix

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
MODELS = {
    "bert": (lambda: BertModel(BertConfig(**SIZES)), "encoder.layer"),
    "modernbert": (
        lambda: ModernBertModel(
            ModernBertConfig(**SIZES, local_attention=4, pad_token_id=0, cls_token_id=1, sep_token_id=2)
        ),
        "layers",
    ),
    "gpt2": (lambda: GPT2Model(GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2, n_positions=32)), "h"),
}


def packed():
    rng = np.random.default_rng(0)
    return Packed.of([{"input_ids": rng.integers(3, 50, size)} for size in (4, 9, 1, 7, 7)])


def computed(module, blocks, depth):
    data = packed()
    prefix = FrozenPrefix(module, blocks, depth)
    batches = [(rows, data.batch(rows, 0)) for rows in ([0, 2], [1, 3], [4])]
    with torch.no_grad():
        prefix.compute(data.offsets, 16, batches, lambda inputs: module(**inputs))
    return data, prefix


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_replayed_states_equal_computed_ones(name, depth):
    torch.manual_seed(0)
    make, path = MODELS[name]
    module = make().eval()
    data, prefix = computed(module, [f"{path}.{n}" for n in range(3)], depth)
    batch = data.batch([1, 2, 4], 0)
    mask = batch["attention_mask"].bool()
    expected = module(**batch).last_hidden_state[mask]
    blocks = list(module.get_submodule(path))
    prefix.swap_in()
    prefix.load([1, 2, 4], batch["attention_mask"], torch.device("cpu"))
    assert not any(a is b for a, b in zip(module.get_submodule(path)[:depth], blocks, strict=False))
    torch.testing.assert_close(module(**batch).last_hidden_state[mask], expected, atol=1e-6, rtol=1e-6)
    prefix.swap_out()
    assert list(module.get_submodule(path)) == blocks
    torch.testing.assert_close(module(**batch).last_hidden_state[mask], expected)


def test_beyond_the_limit_states_lie_in_a_file(monkeypatch):
    torch.manual_seed(0)
    module = MODELS["bert"][0]().eval()
    blocks = [f"encoder.layer.{n}" for n in range(3)]
    expected = computed(module, blocks, 2)[1].flat
    monkeypatch.setattr(prefixes, "MEMORY_LIMIT", 100)
    found = computed(module, blocks, 2)[1].flat
    assert found.untyped_storage().filename is not None
    assert torch.equal(found, expected)


def test_blocks_above_the_boundary_do_not_run_while_computing():
    module = MODELS["bert"][0]().eval()
    module.encoder.layer[1].register_forward_hook(lambda *_: pytest.fail("ran"))
    computed(module, [f"encoder.layer.{n}" for n in range(3)], 1)


def test_loading_before_computing_is_a_fault():
    module = MODELS["bert"][0]()
    prefix = FrozenPrefix(module, ["encoder.layer.0"], 1)
    with pytest.raises(RuntimeError, match="before they are computed"):
        prefix.load([0], torch.ones(1, 1), torch.device("cpu"))
