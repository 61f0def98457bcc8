"""Tokenizers made here: of bytes, which need no training, and of pieces of words found in the training texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def byte_tokenizer(limit: int, *, start: bool = True) -> Any:
    """Return a fast tokenizer over UTF-8 bytes; one text is [CLS] bytes [SEP], a pair adds bytes [SEP].

    Without `start` nothing stands before a text: it only ends, in [SEP].
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))  # noqa: S106
    return _finished(tokenizer, limit, start)


def trained_tokenizer(texts: Iterable[str], limit: int, size: int, *, start: bool = True) -> Any:
    """Return a fast tokenizer of at most `size` pieces, found in texts by byte-level BPE (GPT-2's kind).

    It is a function of the texts and their order alone; bytes that no text holds are in it too, so that nothing is
    unknown to it.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _finished(tokenizer, limit, start)


def _finished(tokenizer: Any, limit: int, start: bool) -> Any:
    from tokenizers import decoders, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    first = "[CLS] " if start else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first}$A [SEP]",
        pair=f"{first}$A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
        eos_token=None if start else "[SEP]",
        clean_up_tokenization_spaces=False,
        model_max_length=limit,
        model_input_names=["input_ids", *(["token_type_ids"] if start else []), "attention_mask"],
    )
