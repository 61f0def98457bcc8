"""Old rows beside the new ones: drawn by the step, padded, run through the encoder in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graftlm.core import seeds
from graftlm.nn.importance import vector
from graftlm.nn.packed import Packed
from graftlm.nn.teachers import Aside


class OldRows(nn.Module):
    """Packed rows with their targets (None: general text), and the models that look at them; nothing of it is saved."""

    between_updates = True
    task: Any = None
    """The task of the old rows; None: general text."""

    def __init__(self, models: Aside, rows: Sequence[Any], targets: Sequence[Any], tokenizer: Any, seed: int) -> None:
        super().__init__()
        self.models, self.tokenizer, self.seed = models, tokenizer, seed
        self.packed, self.targets = Packed.of(rows), list(targets)

    def draw(self, step: int, first: int, count: int) -> list[int]:
        """Return so many different rows (all, where there are fewer): a function of the step and of a row's number."""
        size = len(self.targets)
        rng = seeds.generator(self.seed, "replay", step, first)
        return sorted(rng.choice(size, min(count, size), replace=False).tolist())

    def inputs(self, rows: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Return the padded tensors of rows."""
        batch = self.packed.batch(list(rows), self.tokenizer.pad_token_id, self.tokenizer.padding_side)
        return {name: tensor.to(device) for name, tensor in batch.items()}

    def answers(self, look: Any, inputs: dict[str, Tensor]) -> Any:
        """Return what the old head says of the encoder in training."""
        return look.run(self.models.live, inputs)

    def masked(self, look: Any, inputs: dict[str, Tensor], share: float, first: int) -> Tensor:
        """Return the masked language model's mean loss with a share of the tokens masked."""
        ids = inputs["input_ids"].cpu()
        draw = torch.Generator().manual_seed(seeds.child(self.seed, "masks", look.step, first))
        special = torch.isin(ids, torch.as_tensor(self.tokenizer.all_special_ids))
        chosen = (torch.rand(ids.shape, generator=draw) < share) & ~special
        if not chosen.any():
            return torch.zeros((), device=inputs["input_ids"].device)
        hidden = torch.where(chosen, self.tokenizer.mask_token_id, ids).to(inputs["input_ids"])
        logits = self.answers(look, {**inputs, "input_ids": hidden}).logits[chosen.to(hidden.device)]
        return nn.functional.cross_entropy(logits, ids[chosen].to(logits.device))

    def apart(self, look: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Return the mean of 1 - cos of the base's vectors and those in training."""
        mask = inputs["attention_mask"]
        base = vector(self.models.answer(look, inputs=inputs), mask)
        now = vector(look.run(look.model.module, inputs), mask)
        return (1 - nn.functional.cosine_similarity(base, now, dim=-1)).mean()
