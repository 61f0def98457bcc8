"""Filling in: the likeliest tokens at the masks of texts, by a masked language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from graftlm.nn.packed import Packed
from graftlm.nn.precision import choose

LOGITS = 1 << 26
"""Logits that are held at once."""


def likeliest(
    module: Any,
    tokenizer: Any,
    texts: Sequence[str],
    allowed: Sequence[np.ndarray],
    top: int,
    *,
    limit: int,
    device: str,
) -> list[list[tuple[list[int], list[float]]]]:
    """Return for each mask of each text, from the left, the likeliest token ids and their probabilities, best first.

    `allowed` holds for each text booleans (masks, V): what may stand at each mask; probabilities are among all tokens.
    A text is cut at `limit` tokens: masks behind it are left out. A text with other masks than its own has none.
    """
    coded = tokenizer(list(texts), truncation=True, max_length=limit)
    packed = Packed.of([{name: values[n] for name, values in coded.items()} for n in range(len(texts))])
    order = np.argsort(-packed.lengths, kind="stable")
    dtype, _ = choose("auto", device)
    vocabulary = int(module.config.vocab_size)
    found: list[list[tuple[list[int], list[float]]]] = [[] for _ in texts]
    begin = 0
    with torch.inference_mode(), torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32):
        while begin < len(order):
            size = max(1, LOGITS // (int(packed.lengths[order[begin]]) * vocabulary))
            rows = [int(row) for row in order[begin : begin + size]]
            begin += size
            batch = packed.batch(rows, tokenizer.pad_token_id, tokenizer.padding_side)
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            logits = module(**inputs).logits
            at = (inputs["input_ids"] == tokenizer.mask_token_id).nonzero()
            told = logits[at[:, 0], at[:, 1]].float().softmax(-1).cpu()
            line = at[:, 0].cpu().numpy()
            for number, row in enumerate(rows):
                own = told[torch.as_tensor(line == number)]
                if len(own) > len(allowed[row]):
                    continue
                for chances, may in zip(own, allowed[row], strict=False):
                    best = chances[: len(may)].masked_fill(~torch.as_tensor(may), -1.0).topk(min(top, int(may.sum())))
                    found[row].append((best.indices.tolist(), best.values.tolist()))
    return found
