"""Random two-layer models with a tokenizer made here: for tests of bundles, predictors and verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from graftlm.contracts.backbone import Card
from graftlm.contracts.model import Model
from graftlm.nn.pooled import PooledModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, *(f"w{number}" for number in range(200)), *"好坏书看的很是不我买"]
LIMIT = 32


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a word tokenizer with BERT's template for one text and for two."""
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    return made


def _sizes() -> dict[str, Any]:
    return {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }


def model(style: str, labels: Sequence[str], *, pooling: str = "mean", kind: str = "bert", seed: int = 0) -> Model:
    """Return a random model of a style in training mode, its weights large enough for answers that differ."""
    card = Card(
        name="tiny", architecture=kind, width=32, blocks=("encoder.layer.0", "encoder.layer.1"),
        embeddings="embeddings", limit=64, licence="apache-2.0", languages=("en", "zh"),
    )  # fmt: skip
    config_class, native_class = {
        "bert": (BertConfig, BertForSequenceClassification),
        "roberta": (RobertaConfig, RobertaForSequenceClassification),
    }[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if style == "pooled":
            module: Any = PooledModel(
                BertModel(BertConfig(**_sizes()), add_pooling_layer=False), pooling, len(labels), 32
            )
            torch.nn.init.normal_(module.head.weight, std=0.5)
            torch.nn.init.normal_(module.head.bias, std=0.5)
            return Model(module, tokenizer(), card, "pooled", "encoder", "head", "AutoModelForSequenceClassification")
        module = native_class(
            config_class(
                **_sizes(),
                id2label=dict(enumerate(labels)),
                label2id={label: number for number, label in enumerate(labels)},
            )
        )
    head = {"bert": "classifier", "roberta": "classifier.out_proj"}[kind]
    return Model(
        module.train(), tokenizer(), card, "native", module.base_model_prefix, head,
        "AutoModelForSequenceClassification",
    )  # fmt: skip


def texts(count: int, seed: int = 0) -> list[str]:
    """Return texts of 0 to 40 words."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(count):
        size = int(torch.randint(0, 41, (1,), generator=generator))
        picks = torch.randint(len(SPECIAL), len(WORDS), (size,), generator=generator)
        out.append(" ".join(WORDS[int(pick)] for pick in picks))
    return out
