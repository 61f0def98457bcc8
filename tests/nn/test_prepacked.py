"""A twin for inference: the same answers from weights in another order, and nothing of the module touched."""

from __future__ import annotations

import copy
import types

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, T5Config, T5EncoderModel

from graftlm.nn import prepacked

CPU = torch.device("cpu")
SMALL = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}

needs_onednn = pytest.mark.skipif(
    not prepacked.suits(nn.Linear(2, 2), torch.bfloat16, CPU), reason="this processor's oneDNN has no bf16"
)


def bert(**other) -> BertModel:
    torch.manual_seed(0)
    return BertModel(BertConfig(**SMALL, max_position_embeddings=200, **other)).bfloat16().eval()


def batch(length: int, *, padded: bool) -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 60, (3, length), generator=torch.Generator().manual_seed(length))
    mask = torch.ones_like(ids)
    if padded:
        mask[0, length // 2 :] = 0
        mask[1, -1] = 0
    return {"input_ids": ids, "attention_mask": mask}


def as_near(got: torch.Tensor, asked: torch.Tensor, exact: torch.Tensor, seen: torch.Tensor) -> None:
    """Demand that a twin is as near to fp32 as its module is: products are rounded in another order, no more."""
    assert (got.float() - exact)[seen].abs().max() <= 2 * (asked.float() - exact)[seen].abs().max() + 1e-3


@needs_onednn
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("length", [1, 2, 9, 64, 150])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_a_twin_answers_as_the_module_does(length: int, padded: bool, activation: str) -> None:
    module = bert(hidden_act=activation)
    given = batch(length, padded=padded)
    with torch.inference_mode():
        twin = prepacked.twin(module)
        asked, got = module(**given).last_hidden_state, twin(**given).last_hidden_state
        exact = copy.deepcopy(module).float()(**given).last_hidden_state
    as_near(got, asked, exact, given["attention_mask"].bool())
    assert any(isinstance(part, prepacked.PrepackedLinear) for part in twin.modules())


SIDE = types.SimpleNamespace(training=False, is_causal=False)


def masks(kind: str, length: int) -> torch.Tensor | None:
    """Return a mask (3, 1, length, length): true where a token is seen."""
    seen = torch.ones(3, 1, length, length, dtype=torch.bool)
    if kind == "behind":
        seen[0, ..., length // 2 :] = False
        seen[1, ..., -1:] = False
    elif kind == "before":
        seen[1, ..., : length // 3] = False
    elif kind == "causal":
        seen = seen.tril()
    elif kind == "one row otherwise":
        seen[2, 0, 0, -1] = False
        seen[1, ..., -1:] = False
    return None if kind == "none" else seen


@pytest.mark.parametrize("piece", [1, 300, prepacked.PIECE])
@pytest.mark.parametrize("length", [2, 15, 33, 70])
@pytest.mark.parametrize("kind", ["none", "behind", "before", "causal", "one row otherwise"])
def test_attention_in_pieces_is_attention(kind: str, length: int, piece: int, monkeypatch) -> None:
    monkeypatch.setattr(prepacked, "PIECE", piece)
    torch.manual_seed(length)
    query, key, value = torch.randn(3, 3, length, 4, 8).transpose(2, 3)
    seen = masks(kind, length)
    with torch.inference_mode():
        got, _ = prepacked.attend(SIDE, query, key, value, seen, scaling=0.2)
        exact = nn.functional.scaled_dot_product_attention(query, key, value, seen, scale=0.2)
    assert got.is_contiguous()
    torch.testing.assert_close(got, exact.transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_a_text_without_a_token_that_is_seen_gives_no_nan() -> None:
    query, key, value = torch.randn(3, 2, 2, 5, 4)
    seen = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    seen[1] = False
    got, _ = prepacked.attend(SIDE, query, key, value, seen)
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got[1], value[1].mean(1)[None].expand(5, 2, 4))


@needs_onednn
def test_the_module_stays_as_it_is() -> None:
    module = bert()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    twin = prepacked.twin(module)
    assert module.config._attn_implementation == "sdpa"
    assert twin.config._attn_implementation == prepacked.ATTENTION
    assert all(type(part) is not prepacked.PrepackedLinear for part in module.modules())
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    # the large table is not held twice
    assert twin.get_input_embeddings().weight is module.get_input_embeddings().weight


@needs_onednn
def test_a_packed_layer_tells_its_weight() -> None:
    layer = nn.Linear(24, 40).bfloat16()
    packed = prepacked.PrepackedLinear(layer, "none")
    assert torch.equal(packed.weight, layer.weight)
    states = torch.randn(2, 5, 24).bfloat16()
    with torch.inference_mode():
        assert torch.allclose(packed(states), layer(states), atol=1e-2, rtol=1e-2)
        gelu = prepacked.PrepackedLinear(layer, "gelu")(states)
        exact = nn.functional.gelu(nn.functional.linear(states.float(), layer.weight.float(), layer.bias.float()))
    assert torch.allclose(gelu.float(), exact, atol=1e-2, rtol=1e-2)


@needs_onednn
def test_layers_with_something_more_to_them_stay_plain() -> None:
    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain, self.head, self.hooked = (nn.Linear(8, 8).bfloat16() for _ in range(3))
            self.one, self.other = (nn.Linear(8, 8).bfloat16() for _ in range(2))
            self.other.weight = self.one.weight
            self.head.float()
            self.hooked.register_forward_hook(lambda *_: None)

    twin = prepacked.twin(Body())
    packed = {name for name, part in twin.named_modules() if isinstance(part, prepacked.PrepackedLinear)}
    assert packed == {"plain"}


def test_only_encoders_in_bf16_on_a_processor_have_one() -> None:
    assert not prepacked.suits(nn.Linear(2, 2), torch.float32, CPU)
    assert not prepacked.suits(nn.Linear(2, 2), torch.bfloat16, torch.device("cuda"))
    writer = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2))
    assert not prepacked.suits(writer, torch.bfloat16, CPU)
    assert prepacked.sooner(writer, torch.bfloat16, CPU) is writer


@needs_onednn
def test_attention_with_a_position_bias_is_left_to_the_fused_kernel() -> None:
    torch.manual_seed(0)
    module = T5EncoderModel(T5Config(vocab_size=60, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)).bfloat16()
    given = batch(12, padded=True)
    with torch.inference_mode():
        asked = module.eval()(**given).last_hidden_state
        got = prepacked.twin(module)(**given).last_hidden_state
        exact = copy.deepcopy(module).float()(**given).last_hidden_state
    as_near(got, asked, exact, given["attention_mask"].bool())
