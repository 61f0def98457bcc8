"""Generating: token ids that a model goes on with, by beam search or the likeliest token at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Search:
    """How answers are looked for: `beams` 1 is greedy; lengths are of new tokens, the ending among them.

    With a `temperature` above 0 tokens are drawn instead, by a generator of the seed's own.
    """

    beams: int
    longest: int
    shortest: int = 0
    length_penalty: float = 1.0
    no_repeat: int = 0
    temperature: float = 0.0
    seed: int = 0


def to_the_right(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return ids and mask (B, L) with the padding of each row moved to its front, where a decoder must have it."""
    order = mask.argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order)


def search(module: nn.Module, ids: Tensor, mask: Tensor, how: Search) -> list[np.ndarray]:
    """Return the new token ids of each row (n,), up to its first ending and with it.

    What ends an answer, what begins it and what pads are the module's own (`generation_config`); no answer is longer
    than the module has places for.
    """
    model: Any = module
    config = model.generation_config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    ending: Any = torch.tensor([end for end in ends if end is not None], device=ids.device)
    places = getattr(model.config, "max_position_embeddings", None)
    taken = 1 if model.config.is_encoder_decoder else ids.shape[1]
    most = how.longest if places is None else max(1, min(how.longest, places - taken))
    drawn = {"do_sample": True, "temperature": how.temperature, "top_k": 0, "top_p": 1.0}
    with torch.random.fork_rng(devices=[], enabled=how.temperature > 0):
        if how.temperature > 0:
            torch.manual_seed(how.seed)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=how.beams,
            max_new_tokens=most,
            min_new_tokens=min(how.shortest, most) or None,
            length_penalty=how.length_penalty if how.beams > 1 else None,
            early_stopping=how.beams > 1,
            no_repeat_ngram_size=how.no_repeat,
            use_cache=True,
            **(drawn if how.temperature > 0 else {"do_sample": False}),
        )
    new = out[:, 1:] if model.config.is_encoder_decoder else out[:, ids.shape[1] :]
    found = []
    for row in new:
        at = torch.isin(row, ending).nonzero()
        found.append(row[: int(at[0]) + 1].cpu().numpy() if len(at) else row.cpu().numpy())
    return found


LOGITS = 1 << 26
"""Logits that are held at once where likelihoods are computed."""


def likelihoods(
    module: nn.Module, ids: Tensor, mask: Tensor, after: Tensor | None = None, after_mask: Tensor | None = None
) -> list[tuple[float, float]]:
    """Return -ln p and the number of the tokens of each row but its first, or of what comes `after` it.

    All are padded (B, L), on either side.
    """
    if after is not None and not after.shape[1]:
        return [(0.0, 0.0)] * len(ids)
    model: Any = module
    found = []
    vocabulary = int(model.config.vocab_size)
    for row in _parts(mask, after_mask, vocabulary):
        texts = [one[own.bool()] for one, own in zip(ids[row], mask[row], strict=True)]
        starts = [1] * len(texts)
        if after is not None and after_mask is not None:
            starts = [len(text) for text in texts]
            more = [one[own.bool()] for one, own in zip(after[row], after_mask[row], strict=True)]
            texts = [torch.cat(pair) for pair in zip(texts, more, strict=True)]
        whole = nn.utils.rnn.pad_sequence(texts, batch_first=True)
        lengths = torch.tensor([len(text) for text in texts], device=ids.device)
        place = torch.arange(whole.shape[1], device=ids.device)[None]
        logits = model(input_ids=whole, attention_mask=(place < lengths[:, None]).long(), use_cache=False).logits
        each = nn.functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), whole[:, 1:], reduction="none")
        wanted = (place >= torch.tensor(starts, device=ids.device)[:, None]) & (place < lengths[:, None])
        wanted = wanted[:, 1:]
        sums = (each * wanted).double().sum(dim=1)
        found += list(zip(sums.tolist(), wanted.sum(dim=1).double().tolist(), strict=True))
    return found


def _parts(mask: Tensor, after: Tensor | None, vocabulary: int) -> list[slice]:
    """Return the rows in runs whose logits fit."""
    longest = mask.shape[1] + (0 if after is None else after.shape[1])
    size = max(1, LOGITS // max(1, longest * vocabulary))
    return [slice(start, start + size) for start in range(0, len(mask), size)]
