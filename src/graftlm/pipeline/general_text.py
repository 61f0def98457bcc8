"""What a model still knows of its language: the base's masked language model's loss on general text, before and after.

The head of the base's masked language model, as its checkpoint holds it, is put on the encoder before and after the
run, and fills in the same masked tokens of the same text (Devlin et al. 2019, section 3.1, 15 % of the tokens). An
encoder that fine-tuning has moved far fills them in worse, whatever the earlier tasks still say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts.backbone import Base
from graftlm.contracts.model import Model
from graftlm.contracts.values import Score
from graftlm.core import seeds
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

LOGITS = 1 << 25
"""Logits that are held at once."""


@dataclass(frozen=True, slots=True)
class GeneralText:
    """Masked lines of a text, and the head that fills them in; `losses` are sums over the masked tokens of a line."""

    file: str
    head: str
    module: Any
    tokenizer: Any
    masked: Sequence[Any]
    told: Sequence[Any]
    counts: np.ndarray
    before: np.ndarray

    def losses(self, body: Mapping[str, Tensor]) -> np.ndarray:
        """Return the loss of each line (N,), in nats, with the tensors of a base model below the head."""
        _put(self.module, body)
        return _losses(self.module, self.tokenizer, self.masked, self.told)

    def tree(self, body: Mapping[str, Tensor], *, resamples: int, seed: int) -> dict[str, Any]:
        """Return what metrics.json tells, with bootstrap intervals over lines (the change is paired)."""
        from graftlm.nn.resampling import bootstrap_rows, percentile_interval

        after, counts = self.losses(body), self.counts
        drawn = []
        for rows in bootstrap_rows(len(counts), resamples, seed=seed):
            size = counts[rows].sum()
            drawn.append((self.before[rows].sum() / size, after[rows].sum() / size))
        values = np.asarray(drawn)
        whole = [float(part.sum() / counts.sum()) for part in (self.before, after)]
        scores = [
            Score(value, *percentile_interval(values[:, n]), len(counts), higher_is_better=False).as_json()
            for n, value in enumerate(whole)
        ]
        low, high = percentile_interval(values[:, 1] - values[:, 0])
        change = {"value": whole[1] - whole[0], "low": low, "high": high}
        first, last = (math.exp(min(value, 700)) for value in whole)
        said = (
            f"The masked language model's loss on '{self.file}' went from {whole[0]:.3f} to {whole[1]:.3f} "
            f"({change['value']:+.3f} [{low:+.3f}, {high:+.3f}] a token; perplexity {first:,.1f} -> {last:,.1f})."
        )
        return {
            "file": self.file, "head": self.head, "lines": len(counts), "tokens": int(counts.sum()),
            "before": scores[0], "after": scores[1], "change": change, "sentence": said,
        }  # fmt: skip


def open_text(
    path: str, lines: int, bases: Iterable[Base], start: Model, *, seed: int, device: str = "cpu"
) -> GeneralText | str:
    """Mask some lines of a text and measure them at the start; a reason in words where no base has such a head.

    `bases` are those whose heads may be taken, the run's own first, then those that earlier runs came from.

    Raises:
        UserError: the text cannot be read, is empty, or has nothing to mask.
    """
    import torch

    from graftlm.contracts import fisher

    texts = fisher.general_text(path, lines, seed)
    body = start.module.get_submodule(start.base).state_dict()
    reasons = []
    for base in bases:
        found = _head(base, start, body)
        if isinstance(found, str):
            reasons.append(found)
            continue
        module = found.eval().to(device)
        draw = torch.Generator().manual_seed(seeds.child(seed, "general text"))
        pairs = []
        for text in texts:
            ids = base.tokenizer(text, truncation=True, max_length=base.card.limit)["input_ids"]
            hidden, truth = fisher.masked(ids, base.tokenizer, draw)
            if (truth != -100).any():
                pairs.append((hidden[0], truth[0]))
        if not pairs:
            raise UserError(f"remember.text: no line of '{path}' has a token to mask; expected pieces of plain text.")
        counts = np.array([int((truth != -100).sum()) for _, truth in pairs])
        masked, told = [one for one, _ in pairs], [one for _, one in pairs]
        _put(module, body)
        before = _losses(module, base.tokenizer, masked, told)
        name = base.card.hub_id or base.card.name
        return GeneralText(Path(path).name, name, module, base.tokenizer, masked, told, counts, before)
    return "; ".join(dict.fromkeys(reasons))


def _put(module: Any, body: Mapping[str, Tensor]) -> None:
    """Put the tensors of a base model below the head; what the base lacks stays (a pooler is not looked at)."""
    target = module.base_model
    target.load_state_dict({name: body.get(name, tensor) for name, tensor in target.state_dict().items()})


def _head(base: Base, start: Model, body: Mapping[str, Tensor]) -> Any:
    """Return the base with its masked language model's head, or the reason why it has none that fits."""
    name = base.card.hub_id or base.card.name
    kinds = list(getattr(base.config, "architectures", None) or [])
    if not base.tokenizer.mask_token or not any("MaskedLM" in kind or "PreTraining" in kind for kind in kinds):
        return f"'{name}' was saved as {', '.join(kinds) or 'no known class'}, without a masked language model's head"
    if base.tokenizer.get_vocab() != start.tokenizer.get_vocab():
        return f"'{name}' reads with another tokenizer"
    try:
        module: Any = base.build("AutoModelForMaskedLM", complete=True)
    except UserError as fault:
        return str(fault).rstrip(".")
    own = module.base_model.state_dict()
    odd = [part for part, tensor in own.items() if part not in body or body[part].shape != tensor.shape]
    return f"'{name}' is built differently ('{odd[0]}')" if odd else module


def _losses(module: Any, tokenizer: Any, masked: Sequence[Any], told: Sequence[Any]) -> np.ndarray:
    """Return the sum of the cross-entropies of the masked tokens of each line (N,), longest lines first."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils.rnn import pad_sequence

    device = next(module.parameters()).device
    order = sorted(range(len(masked)), key=lambda n: -len(masked[n]))
    found = np.zeros(len(masked))
    with torch.inference_mode():
        while order:
            size = max(1, LOGITS // (len(masked[order[0]]) * int(module.config.vocab_size)))
            rows, order = order[:size], order[size:]
            ids = pad_sequence([masked[n] for n in rows], batch_first=True, padding_value=tokenizer.pad_token_id)
            mask = pad_sequence([torch.ones_like(masked[n]) for n in rows], batch_first=True)
            truth = pad_sequence([told[n] for n in rows], batch_first=True, padding_value=-100).to(device)
            logits = module(input_ids=ids.to(device), attention_mask=mask.to(device)).logits.float()
            each = cross_entropy(logits.transpose(1, 2), truth, reduction="none", ignore_index=-100)
            found[rows] = each.double().sum(dim=1).cpu().numpy()
    return found
