"""Bottleneck adapters: the formula, every architecture, and the plain wider block at the end."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from graftlm.contracts.method import Setting
from graftlm.core import registry
from graftlm.nn.bottleneck import After, WiderIn, WiderOut, feedforwards

SETTING = Setting(None, None, None, rows=1, steps=1, seed=0, methods=("bottleneck",))


def method(**fields):
    return registry.make("method", {"use": "bottleneck", **fields})


def parts(made, kind):
    return [part for part in made.model.module.modules() if isinstance(part, kind)]


def drawn(made):
    """Give the adapters weights that matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for part in parts(made, WiderOut):
            part.up.weight.normal_(std=0.5)
        for part in parts(made, WiderIn):
            part.down.weight.normal_(std=0.5)
            if part.down.bias is not None:
                part.down.bias.normal_(std=0.5)


def test_the_start_is_the_pretrained_model_and_widening_changes_no_answer(prepare, backbone, logits_of):
    made = prepare(backbone)
    before = logits_of(made)
    blocks = feedforwards(made.model.module, made.model.blocks)
    assert len(blocks) == len(made.model.blocks)
    adaptation = method(head="random").apply(made.model, made.setting)
    torch.testing.assert_close(logits_of(made), before, atol=1e-5, rtol=1e-5)
    drawn(made)
    told = logits_of(made)
    assert (told - before).abs().max() > 1e-3
    adaptation.finish()
    assert not parts(made, WiderIn | WiderOut)
    torch.testing.assert_close(logits_of(made), told, atol=1e-4, rtol=1e-4)


def test_a_block_with_it_is_the_formula(prepare):
    """FFN(x) + scale * up(gelu(down(x))), computed by hand from BERT's parts."""
    made = prepare("tiny")
    block = made.model.module.get_submodule(made.model.blocks[0])
    x = torch.randn(2, 5, made.model.card.width)
    plain = block.output.dense(block.intermediate(x))
    method(head="random", scale=3.0, reduction=4).apply(made.model, made.setting)
    drawn(made)
    down, up = block.intermediate.dense.down, block.output.dense.up
    assert tuple(down.weight.shape) == (8, 32)  # width 32 through reduction 4
    expected = plain + 3.0 * torch.nn.functional.gelu(x @ down.weight.T + down.bias) @ up.weight.T
    torch.testing.assert_close(block.output.dense(block.intermediate(x)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "architecture",
    ["bert", "roberta", "distilbert", "electra", "albert", "modernbert", "gpt2", "deberta-v2", "mpnet", "llama"],
)
def test_the_wider_model_is_a_plain_checkpoint(architecture, tmp_path):
    """Transformers alone reads what is saved, and answers the same."""
    from transformers import AutoConfig

    from graftlm.contracts.model import Model
    from graftlm.contracts.pretrained import card_of

    sizes = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50,
        "max_position_embeddings": 40, "pad_token_id": 0,
    }  # fmt: skip
    other = {
        "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40},
    }.get(architecture, sizes)
    config = AutoConfig.for_model(architecture, **{"vocab_size": 50, "pad_token_id": 0, **other})
    torch.manual_seed(0)
    module = AutoModelForSequenceClassification.from_config(config).eval()
    model = Model(module, None, card_of(config, name="x"), "native", module.base_model_prefix, None, "AutoModel")
    assert method().refuses(model, SETTING) is None
    adaptation = method(head="random").apply(model, SETTING)
    made = type("Made", (), {"model": model})
    drawn(made)
    ids = torch.randint(1, 50, (3, 7))
    with torch.no_grad():
        told = module(input_ids=ids).logits
    adaptation.finish()
    module.save_pretrained(tmp_path)
    again, found = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(input_ids=ids).logits, told, atol=1e-4, rtol=1e-4)


def test_an_encoder_with_a_decoder_has_them_in_both(tmp_path):
    base = registry.make("backbone", {"use": "tiny", "architecture": "t5"}).open()
    from graftlm.contracts.model import Model

    module = base.build("AutoModelForSeq2SeqLM").eval()
    model = Model(module, base.tokenizer, base.card, "native", "", None, "AutoModelForSeq2SeqLM")
    adaptation = method(head="random").apply(model, SETTING)
    made = type("Made", (), {"model": model})
    assert len(parts(made, WiderOut)) == 4
    drawn(made)
    ids = torch.randint(5, 50, (2, 6))
    with torch.no_grad():
        told = module(input_ids=ids, decoder_input_ids=ids).logits
        adaptation.finish()
        torch.testing.assert_close(module(input_ids=ids, decoder_input_ids=ids).logits, told, atol=1e-4, rtol=1e-4)
    module.save_pretrained(tmp_path)
    again = type(module).from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=ids, decoder_input_ids=ids).logits, told, atol=1e-4, rtol=1e-4)


def test_adapters_and_head_train_alone_at_their_rate(prepare):
    made = prepare("tiny")
    adaptation = method().apply(made.model, made.setting)
    training = {name for name, p in made.model.module.named_parameters() if p.requires_grad}
    assert all(".down." in name or ".up." in name or name.startswith("head.") for name in training)
    assert {name.rpartition(".")[0] for name in training if not name.startswith("head.")} == set(adaptation.rates)
    assert set(adaptation.rates.values()) == {5.0}


def test_a_second_kind_of_adapter_is_refused(prepare):
    made = prepare("tiny", methods=("bottleneck", "lora"))
    assert "'lora' too" in method().refuses(made.model, made.setting)
    made = prepare("tiny", methods=("lora", "bottleneck"))
    assert "'bottleneck' too" in registry.make("method", "lora").refuses(made.model, made.setting)


@pytest.mark.parametrize("position", ["houlsby", "pfeiffer"])
def test_after_a_layer_it_is_the_formula_on_every_architecture(prepare, backbone, logits_of, position):
    made = prepare(backbone)
    before = logits_of(made)
    method(head="random", position=position, scale=2.0).apply(made.model, made.setting)
    found = parts(made, After)
    assert len(found) == len(made.model.blocks) * (2 if position == "houlsby" else 1)
    torch.testing.assert_close(logits_of(made), before, atol=1e-6, rtol=1e-6)
    torch.manual_seed(0)
    with torch.no_grad():
        for part in found:
            for parameter in (*part.down.parameters(), *part.up.parameters()):
                parameter.normal_(std=0.5)
    assert (logits_of(made) - before).abs().max() > 1e-3
    one = found[0]
    x = torch.randn(2, 3, _inputs(one.base))
    h = one.base(x)
    f = torch.nn.functional.silu if position == "houlsby" else torch.relu
    expected = h + 2.0 * (f(h @ one.down.weight.T + one.down.bias) @ one.up.weight.T + one.up.bias)
    torch.testing.assert_close(one(x), expected, atol=1e-5, rtol=1e-5)
    training = [name for name, p in made.model.module.named_parameters() if p.requires_grad]
    assert sum(".down." in name or ".up." in name for name in training) == 4 * len(found)


def _inputs(layer):
    return layer.weight.shape[1 if isinstance(layer, torch.nn.Linear) else 0]


def test_an_activation_of_its_own_only_where_it_has_one():
    with pytest.raises(ValueError, match="the block's own"):
        method(activation="relu")
    assert method(position="pfeiffer", activation="gelu").activation == "gelu"
