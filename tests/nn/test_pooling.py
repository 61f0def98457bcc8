"""Poolings against Sentence Transformers' own, and by hand."""

from __future__ import annotations

import pytest
import torch

from graftlm.nn.pooling import POOLINGS


@pytest.fixture
def states():
    torch.manual_seed(0)
    return torch.randn(4, 6, 8), torch.tensor([[1] * 6, [1, 1, 0, 0, 0, 0], [1] * 3 + [0] * 3, [1] + [0] * 5])


@pytest.mark.parametrize("name", POOLINGS)
def test_it_equals_sentence_transformers(name, states):
    from sentence_transformers.sentence_transformer.modules.pooling import Pooling

    tokens, mask = states
    reference = Pooling(8, pooling_mode=name)({"token_embeddings": tokens.clone(), "attention_mask": mask})
    torch.testing.assert_close(POOLINGS[name](tokens, mask), reference["sentence_embedding"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", POOLINGS)
def test_what_stands_in_the_padding_does_not_matter(name, states):
    tokens, mask = states
    other = torch.where(mask.bool().unsqueeze(-1), tokens, torch.full_like(tokens, 1e4))
    assert torch.equal(POOLINGS[name](tokens, mask), POOLINGS[name](other, mask)) or name == "mean"
    torch.testing.assert_close(POOLINGS[name](tokens, mask), POOLINGS[name](other, mask))


def test_by_hand():
    tokens = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert POOLINGS["mean"](tokens, mask).tolist() == [[2.0, -3.0]]
    assert POOLINGS["cls"](tokens, mask).tolist() == [[1.0, -4.0]]
    assert POOLINGS["max"](tokens, mask).tolist() == [[3.0, -2.0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_number_format_is_kept(dtype, states):
    tokens, mask = states
    assert all(pool(tokens.to(dtype), mask).dtype == dtype for pool in POOLINGS.values())
