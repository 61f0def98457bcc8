"""Generating: token ids that a model goes on with, by beam search or the likeliest token at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Search:
    """How answers are looked for: `beams` 1 is greedy; lengths are of new tokens, the ending among them."""

    beams: int
    longest: int
    shortest: int = 0
    length_penalty: float = 1.0
    no_repeat: int = 0


def to_the_right(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return ids and mask (B, L) with the padding of each row moved to its front, where a decoder must have it."""
    order = mask.argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order)


def search(module: nn.Module, ids: Tensor, mask: Tensor, how: Search) -> list[np.ndarray]:
    """Return the new token ids of each row (n,), up to its first ending and with it.

    What ends an answer, what begins it and what pads are the module's own (`generation_config`).
    """
    model: Any = module
    config = model.generation_config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    ending: Any = torch.tensor([end for end in ends if end is not None], device=ids.device)
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=False,
        num_beams=how.beams,
        max_new_tokens=how.longest,
        min_new_tokens=min(how.shortest, how.longest) or None,
        length_penalty=how.length_penalty if how.beams > 1 else None,
        early_stopping=how.beams > 1,
        no_repeat_ngram_size=how.no_repeat,
        use_cache=True,
    )
    new = out[:, 1:] if model.config.is_encoder_decoder else out[:, ids.shape[1] :]
    found = []
    for row in new:
        at = torch.isin(row, ending).nonzero()
        found.append(row[: int(at[0]) + 1].cpu().numpy() if len(at) else row.cpu().numpy())
    return found
