"""Some blocks of another model: equal to the original with the other blocks skipped."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graftlm.core import registry
from graftlm.core.errors import UserError

SIZES = {"use": "scratch", "layers": 4, "width": 32, "max_length": 60}
OTHERS = {
    "tiny": {"use": "tiny", "layers": 4},
    "bert": {**SIZES, "architecture": "bert"},
    "modernbert": {**SIZES, "architecture": "modernbert"},
    "gpt2": {**SIZES, "architecture": "gpt2"},
}


class Skip(nn.Module):
    """Passes the states on, and answers for the block that it stands for."""

    def __init__(self, block, as_tuple):
        super().__init__()
        self.__dict__["block"], self.as_tuple = block, as_tuple

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["block"], name)

    def forward(self, states, *_, **__):
        return (states,) if self.as_tuple else states


def make(other, **fields):
    return registry.make("backbone", {"use": "truncated", "of": OTHERS[other], **fields})


def batch_of(base):
    batch = base.tokenizer(["a short text", "another text that is somewhat longer"], padding=True, return_tensors="pt")
    batch.pop("token_type_ids")
    return batch


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("kept", [(0, 1), (0, 2, 3), (3,), (0, 1, 2, 3)])
@pytest.mark.parametrize("kind", ["AutoModel", "AutoModelForSequenceClassification"])
def test_it_equals_the_original_with_blocks_skipped(other, kept, kind):
    if other == "modernbert" and kept[0] != 0:
        with pytest.raises(
            UserError, match=r"Block 0 of 'scratch-modernbert-4x32' is built unlike the others .* \[3\]"
        ):
            make(other, layers=kept).open()
        return
    whole = registry.make("backbone", OTHERS[other]).open()
    part = make(other, layers=kept).open()
    options = {"num_labels": 2, "pad_token_id": 0} if kind != "AutoModel" else {}
    torch.manual_seed(0)
    reference = whole.build(kind, **options).eval()
    torch.manual_seed(0)
    short = part.build(kind, **options).eval()
    inner = getattr(reference, reference.base_model_prefix, reference)
    outputs = []
    inner.get_submodule(whole.card.blocks[0]).register_forward_hook(lambda m, a, out: outputs.append(out))
    batch = batch_of(whole)
    with torch.no_grad():
        reference(**batch)
        for number, path in enumerate(whole.card.blocks):
            if number not in kept:
                holder, _, name = path.rpartition(".")
                blocks = inner.get_submodule(holder)
                blocks[int(name)] = Skip(blocks[int(name)], isinstance(outputs[0], tuple))
        expected, found = reference(**batch), short(**batch)
    keep = batch["attention_mask"].bool()
    if kind == "AutoModel":
        expected, found = expected.last_hidden_state[keep], found.last_hidden_state[keep]
    else:
        expected, found = expected.logits, found.logits
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert len(part.card.blocks) == len(kept)


@pytest.mark.parametrize("other", OTHERS)
def test_it_is_saved_and_loaded_as_a_plain_checkpoint(other, tmp_path):
    from transformers import AutoModel

    base = make(other, layers=(0, 3) if other == "modernbert" else (1, 3)).open()
    module = base.build("AutoModel").eval()
    module.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    batch = batch_of(base)
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).last_hidden_state, module(**batch).last_hidden_state)


def test_the_lowest_half_stays_by_default():
    base = make("tiny").open()
    assert base.card.notes == ("blocks [0, 1] of tiny",)
    assert base.card.name == "tiny-2-of-4"
    assert len(base.build("AutoModel").encoder.layer) == 2


def test_keep_counts_from_below():
    whole = registry.make("backbone", OTHERS["tiny"]).open().build("AutoModel")
    short = make("tiny", keep=3).open().build("AutoModel")
    for number in range(3):
        assert torch.equal(
            whole.encoder.layer[number].output.dense.weight, short.encoder.layer[number].output.dense.weight
        )
    assert short.config.num_hidden_layers == 3


@pytest.mark.parametrize("wrong", [(2, 1), (0, 0), (0, 4), (-1, 2)])
def test_blocks_that_are_not_there_or_out_of_order_are_refused(wrong):
    with pytest.raises(
        UserError, match=r"has blocks 0 to 3; the blocks to keep must be some of them in ascending order"
    ):
        make("tiny", layers=wrong).open()


def test_more_than_there_are_is_refused():
    with pytest.raises(UserError, match="blocks 0 to 3"):
        make("tiny", keep=5).open()


def test_what_the_other_declares_is_kept():
    base = make("tiny", max_length=40).open()
    assert (base.card.pooling, base.card.limit, base.card.pretrained) == ("mean", 40, False)
    assert base.card.hub_id is None
