"""Frozen features: what the head of a model reads, for each row, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from graftlm.contracts.method import Linear
from graftlm.contracts.model import Model
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Inputs, Space
from graftlm.nn import linear
from graftlm.nn import precision as formats
from graftlm.nn.packed import Packed
from graftlm.prediction.planning import plan
from graftlm.prediction.predictor import BATCH_TOKENS


class Features:
    """Features of rows under one model as it was when this was made; each split is computed once."""

    def __init__(
        self, model: Model, task: Task, space: Space, *, limit: int, device: str, precision: Any, seed: int
    ) -> None:
        self.task, self.space, self.limit, self.seed = task, space, limit, seed
        self.tokenizer, self.head = model.tokenizer, model.head
        self.device = formats.device_for(device)
        dtype, _ = formats.choose(precision, self.device)
        self.module = formats.converted(model.module, dtype, model.head, self.device) if model.head else None
        self.known: dict[str, np.ndarray] = {}
        self.solution: Linear | None = None

    def __call__(self, rows: Rows) -> np.ndarray:
        """Return the features (N, D) of rows as float32."""
        if rows.fingerprint not in self.known:
            self.known[rows.fingerprint] = self._compute(rows)
        return self.known[rows.fingerprint]

    def probe(self, rows: Rows) -> Linear | None:
        """Return the linear solution on the features of these rows, computed once; None without a linear head."""
        if self.module is None or self.head is None:
            return None
        if self.solution is None:
            examples = rows.examples()
            inputs = self.task.encode(examples[:1], self.tokenizer, self.limit)
            targets = self.task.targets(examples[:1], inputs, self.space)
            if len(inputs) != 1 or not linear.solvable(targets[0]):
                return None
            every = self.task.targets(examples, [Inputs(n, {}) for n in range(len(examples))], self.space)
            features = self(rows)
            found = linear.solve(features, np.asarray(every), self.space.size, seed=self.seed)
            self.solution = Linear(found.weight, found.bias, found.strength)
            if self.module.get_submodule(self.head).bias is None:
                self.solution = _without_bias(self.solution, features)
        return self.solution

    def _compute(self, rows: Rows) -> np.ndarray:
        if self.module is None or self.head is None:
            raise RuntimeError("features are asked of a model without a head")
        packed = Packed.joined(
            Packed.of([one.features for one in self.task.encode(chunk, self.tokenizer, self.limit)])
            for chunk in rows.chunks()
        )
        out: np.ndarray | None = None
        caught: list[torch.Tensor] = []
        hook = self.module.get_submodule(self.head).register_forward_pre_hook(lambda _, args: caught.append(args[0]))
        try:
            with torch.inference_mode():
                for numbers in plan(packed.lengths, BATCH_TOKENS):
                    batch = packed.batch(_list(numbers), self.tokenizer.pad_token_id, self.tokenizer.padding_side)
                    self.module(**{name: tensor.to(self.device) for name, tensor in batch.items()})
                    part = _one_a_row(caught.pop(), batch["input_ids"], self.tokenizer.pad_token_id)
                    if out is None:
                        out = np.empty((len(packed), part.shape[-1]), dtype=np.float32)
                    out[numbers] = part
        finally:
            hook.remove()
        return out if out is not None else np.empty((0, 0), dtype=np.float32)


def _one_a_row(states: torch.Tensor, ids: torch.Tensor, pad: int) -> np.ndarray:
    """Return the vectors (B, H) behind the logits: a decoder's head reads every token, and its last one answers."""
    if states.ndim == 3:
        # the last token that is no padding, as Transformers' sequence classifiers choose it
        last = ((ids != pad) * torch.arange(ids.shape[1])).argmax(dim=1).to(states.device)
        states = states[torch.arange(len(states), device=states.device), last]
    return np.asarray(states.float().cpu().numpy())


def _without_bias(solution: Linear, features: np.ndarray) -> Linear:
    """Return the solution for a head without a bias: carried by the direction in which features are most nearly one."""
    gram = features.T @ features + 1e-6 * np.trace(features.T @ features) / len(features.T) * np.eye(features.shape[1])
    direction = np.linalg.solve(gram, features.sum(axis=0))
    weight = solution.weight + np.outer(solution.bias, direction)
    return Linear(weight.astype(np.float32), np.zeros_like(solution.bias), solution.strength)


def _list(numbers: np.ndarray) -> Sequence[int]:
    return numbers  # type: ignore[return-value]
