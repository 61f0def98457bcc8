"""What backbones share: reading a plain checkpoint folder, and the card of a configuration."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from graftlm.contracts.backbone import Base, Card
from graftlm.contracts.quiet import quiet
from graftlm.core.errors import MissingPackage, UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of an architecture stand: the lists of blocks in the order of the forward pass, the embeddings.

    `cacheable` is False where the prefix of blocks cannot be replaced by stored outputs (T5 keeps its position bias
    in block 0, ALBERT has one shared block, a decoder looks at its encoder); `before` names modules beside the
    embeddings that the states pass before the first block.
    """

    blocks: tuple[str, ...]
    embeddings: str
    cacheable: bool = False
    stack: Literal["encoder", "decoder", "encoder-decoder"] = "encoder"
    before: tuple[str, ...] = ()


_BERT = Layout(("encoder.layer",), "embeddings", cacheable=True)
_LLAMA = Layout(("layers",), "embed_tokens", cacheable=True, stack="decoder")
_T5 = Layout(("encoder.block", "decoder.block"), "shared", stack="encoder-decoder")
_BART = Layout(("encoder.layers", "decoder.layers"), "shared", stack="encoder-decoder",
               before=("encoder.embed_positions",))  # fmt: skip
_NORMED = ("encoder.embed_positions", "encoder.layernorm_embedding")
LAYOUTS = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), _BERT),
    "distilbert": Layout(("transformer.layer",), "embeddings", cacheable=True),
    "modernbert": Layout(("layers",), "embeddings", cacheable=True),
    "deberta-v2": Layout(("encoder.layer",), "embeddings"),
    "mpnet": Layout(("encoder.layer",), "embeddings"),
    "albert": Layout(("encoder.albert_layer_groups",), "embeddings", before=("encoder.embedding_hidden_mapping_in",)),
    "gpt2": Layout(("h",), "wte", cacheable=True, stack="decoder", before=("wpe", "drop")),
    "gpt_neox": Layout(("layers",), "embed_in", cacheable=True, stack="decoder"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2"), _LLAMA),
    **dict.fromkeys(("t5", "mt5", "umt5", "longt5"), _T5),
    **dict.fromkeys(("marian", "pegasus", "m2m_100", "blenderbot", "blenderbot-small"), _BART),
    **dict.fromkeys(("bart", "mbart"), dataclasses.replace(_BART, before=_NORMED)),
}
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
FALLBACK_LIMIT = 512
ATTENTION = (None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")


def count_blocks(config: Any) -> int:
    """Return the number of blocks that a configuration describes."""
    if config.model_type == "albert":
        return int(config.num_hidden_groups)
    for name in ("num_hidden_layers", "n_layer", "num_layers", "n_layers"):
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    raise UserError(f"The configuration of type '{config.model_type}' does not say how many blocks it has.")


def count_decoder_blocks(config: Any) -> int:
    """Return the number of blocks of the decoder beside an encoder."""
    for name in ("decoder_layers", "num_decoder_layers"):
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return count_blocks(config)


def card_of(config: Any, *, name: str, limit: int | None = None, **facts: Any) -> Card:
    """Return the card of a configuration; `limit` can only shorten what the model allows.

    Raises:
        UserError: the architecture is not one whose layout is known.
    """
    if config.model_type not in LAYOUTS:
        raise UserError(
            f"The architecture '{config.model_type}' of '{name}' is not known here. "
            f"Known: {', '.join(sorted(LAYOUTS))}."
        )
    layout = LAYOUTS[config.model_type]
    # relative positions have no end: there the wish decides
    positions = getattr(config, "max_position_embeddings", None) or limit or FALLBACK_LIMIT
    if config.model_type in ("roberta", "xlm-roberta"):
        positions -= 2  # positions start after the padding index
    before = layout.before
    if config.model_type == "electra" and config.embedding_size != config.hidden_size:
        before = ("embeddings_project",)
    longest = min(positions, facts.pop("declared", None) or positions)
    return Card(
        name=name,
        architecture=config.model_type,
        width=int(config.hidden_size),
        blocks=tuple(
            f"{path}.{n}"
            for path, count in zip(layout.blocks, (count_blocks, count_decoder_blocks), strict=False)
            for n in range(count(config))
        ),
        embeddings=layout.embeddings,
        before=before,
        limit=min(longest, limit or longest),
        prefix_cacheable=layout.cacheable,
        stack=layout.stack,
        **facts,
    )


def from_folder(folder: Path, *, name: str, limit: int | None = None, **facts: Any) -> Base:
    """Open a plain checkpoint: tokenizer and configuration now, weights (safetensors only) when built.

    Raises:
        UserError: the folder cannot be opened; the message says what is missing.
    """
    from transformers import AutoConfig, AutoTokenizer

    settings = _json(folder / "config.json")
    _refuse_code(name, "config.json", settings)
    if (folder / "tokenizer_config.json").is_file():
        _refuse_code(name, "tokenizer_config.json", _json(folder / "tokenizer_config.json"))
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"'{name}' has no safetensors weights; pickled weights are never loaded. Convert it first, for instance "
            "with `transformers`' save_pretrained on a machine that you trust it on."
        )
    if not any((folder / file).is_file() for file in TOKENIZERS):
        raise UserError(
            f"'{name}' has no tokenizer: expected one of {', '.join(TOKENIZERS)}. Copy it from the model that it was "
            "made from."
        )
    try:
        config = AutoConfig.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True)
    except (OSError, ValueError, KeyError) as fault:
        raise UserError(f"The model '{name}' cannot be opened: {' '.join(str(fault).split())[:300]}") from None
    except ImportError as fault:
        raise MissingPackage(
            f"The tokenizer of '{name}' needs a package that is not installed (mostly sentencepiece, as Marian's do). "
            f"Install it with: pip install 'graftlm[translation]' ({' '.join(str(fault).split())[:200]})"
        ) from None
    _start_of_decoding(config, tokenizer)
    pooling, declared = _declared(folder, settings)
    card = card_of(config, name=name, limit=limit, pooling=pooling, declared=declared, **facts)

    def build(auto_model: str, *, complete: bool = False, **changes: Any) -> nn.Module:
        import transformers
        from safetensors import SafetensorError

        # what was missing or left over is known: a new head, and the pooler that a pooled model does without
        with quiet():
            loader = getattr(transformers, auto_model)
            try:
                # a head of another size, made for other labels, gives way to a new one
                options = {"output_loading_info": True, "ignore_mismatched_sizes": True, **changes}
                model, told = loader.from_pretrained(folder, use_safetensors=True, **options)
            except (SafetensorError, OSError) as fault:
                raise UserError(
                    f"The weights of '{name}' cannot be read: {' '.join(str(fault).split())[:300]} Download or copy "
                    "the model again."
                ) from None
        inside = f"{model.base_model_prefix}." if hasattr(model, model.base_model_prefix) else ""
        lacking = {*told["missing_keys"], *(found[0] for found in told["mismatched_keys"])}
        missing = sorted(key for key in lacking if complete or (key.startswith(inside) and "pooler" not in key))
        checked: nn.Module = model
        if missing:
            kind = type(model).__name__ if complete else f"the architecture '{config.model_type}'"
            way = "Name one that was saved with this head." if complete else "Download or copy the model again."
            raise UserError(
                f"The weights of '{name}' lack {len(missing)} fitting tensors of {kind}, such as '{missing[0]}'; they "
                f"would start at random. {way}"
            )
        return checked

    return Base(tokenizer, config, card, build)


def from_config(config: Any, tokenizer: Any, *, name: str, seed: int, limit: int | None = None, **facts: Any) -> Base:
    """Return a base with random weights of a configuration, drawn from `seed`."""
    _start_of_decoding(config, tokenizer)
    card = card_of(config, name=name, limit=limit, pretrained=False, **facts)

    def build(auto_model: str, *, complete: bool = False, **changes: Any) -> nn.Module:
        import copy

        import torch
        import transformers

        if complete:
            raise UserError(f"'{name}' has random weights, and no head that knows anything. Name a trained checkpoint.")
        changed = copy.deepcopy(config)
        module_options = {k: changes.pop(k) for k in ("add_pooling_layer", "attn_implementation") if k in changes}
        changes.pop("dtype", None)
        for key, value in changes.items():
            setattr(changed, key, value)
        whole: nn.Module | None = None
        if auto_model != "AutoModel":  # its head is drawn by the caller's generator, as on a pretrained base
            whole = getattr(transformers, auto_model).from_config(changed, **module_options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loader: Any = transformers.AutoModel
            inner: nn.Module = loader.from_config(changed, **module_options)
        if whole is None:
            return inner
        place = str(whole.base_model_prefix)  # T5 with a head has no such part: it is the plain model itself
        (getattr(whole, place) if hasattr(whole, place) else whole).load_state_dict(inner.state_dict(), strict=False)
        return whole

    return Base(tokenizer, config, card, build)


def _start_of_decoding(config: Any, tokenizer: Any) -> None:
    """Tell the tokenizer the token that a decoder beside an encoder begins with, which only the configuration knows."""
    if config.is_encoder_decoder:
        if getattr(config, "decoder_start_token_id", None) is None:
            config.decoder_start_token_id = config.pad_token_id  # as T5 does
        tokenizer.decoder_start_token_id = config.decoder_start_token_id


def _refuse_code(name: str, file: str, settings: dict[str, Any]) -> None:
    """Refuse settings that make a library fetch or run code: Transformers would ask at a prompt, or just do it."""
    if "auto_map" in settings:
        raise UserError(f"'{name}' wants to run its own code (auto_map in {file}), which is never done here.")
    for key, value in settings.items():
        if "attn_implementation" in key and not (isinstance(value, str | None) and value in ATTENTION):
            raise UserError(
                f"'{name}' names an attention of its own ({key} in {file}: {value!r}), which may fetch and run code; "
                "that is never done here."
            )
        if isinstance(value, dict):
            _refuse_code(name, file, value)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UserError(f"'{path.name}' of the base model cannot be read: {fault}") from None
    return value if isinstance(value, dict) else {}


def _declared(folder: Path, settings: dict[str, Any]) -> tuple[str | None, int | None]:
    """Return the pooling and the longest input that a checkpoint declares."""
    longest = None
    if (folder / "sentence_bert_config.json").is_file():
        longest = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    if (folder / "1_Pooling" / "config.json").is_file():
        modes = _json(folder / "1_Pooling" / "config.json")
        if isinstance(modes.get("pooling_mode"), str):
            return modes["pooling_mode"], longest
        for mode, ours in (("mean_tokens", "mean"), ("cls_token", "cls"), ("max_tokens", "max")):
            if modes.get(f"pooling_mode_{mode}"):
                return ours, longest
    return settings.get("classifier_pooling"), longest
