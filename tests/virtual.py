"""What holds for every method of virtual tokens."""

from __future__ import annotations

from typing import Any

import torch


def batch(made: Any, rows: list[int]) -> Any:
    return made.data.packed.batch(rows, made.model.tokenizer.pad_token_id)


def padding_changes_nothing(made: Any) -> None:
    """Hold that the shortest text is answered the same alone and padded beside the longest."""
    lengths = made.data.packed.lengths
    short, long = int(lengths.argmin()), int(lengths.argmax())
    assert lengths[short] < lengths[long]
    module = made.model.module.eval()
    with torch.no_grad():
        together = module(**batch(made, [short, long])).logits[0]
        alone = module(**batch(made, [short])).logits[0]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
