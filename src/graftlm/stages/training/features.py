"""Frozen features: what the head of a model reads, for each row, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graftlm.contracts.method import Linear
from graftlm.contracts.model import Model
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Inputs, Space
from graftlm.core import cache, environment, hashing, log
from graftlm.nn import linear, marks, prepacked, tokens
from graftlm.nn import precision as formats
from graftlm.nn.packed import Packed
from graftlm.nn.resampling import stratified_part
from graftlm.prediction.planning import plan
from graftlm.prediction.predictor import BATCH_TOKENS

MOST_ROWS = 50_000
"""Training rows that the probe is solved on at most: more hardly move it, and their features fill the memory."""
KEPT_FROM = 20_000
"""Rows from which on the solution is kept for the next run."""


class Features:
    """Features of rows under one model as it was when this was made; each split is computed once."""

    def __init__(
        self, model: Model, task: Task, space: Space, *, limit: int, device: str, precision: Any, seed: int
    ) -> None:
        self.task, self.space, self.limit, self.seed = task, space, limit, seed
        self.tokenizer, self.head = model.tokenizer, model.head
        self.device = formats.device_for(device)
        self.dtype, _ = formats.choose(precision, self.device)
        place = torch.device("cpu")  # on a GPU only while features are computed: training needs its memory
        self.module = formats.converted(model.module, self.dtype, model.head, place) if model.head else None
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
            part = _part(rows, self.seed)
            if len(part) < len(rows):
                log.note(f"probe: solved on {len(part):,} of {len(rows):,} training rows, every class in proportion")
            self.solution = self._kept(part) if len(part) >= KEPT_FROM else self._solve(part)
        return self.solution

    def _kept(self, rows: Rows) -> Linear | None:
        """Return the solution, from the cache where one of the same rows under the same weights is there."""
        mark = tokens.tokenizer_mark(self.tokenizer)
        if mark is None:
            return self._solve(rows)
        beside = [self.task.as_use(), self.space.as_json(), self.limit, self.seed, str(self.device)]
        key = hashing.of_value([environment.code_mark(), rows.fingerprint, mark, self.mark(), beside])
        if (place := cache.find("probes", key)) is not None:
            weight, bias = (np.load(place / f"{name}.npy", allow_pickle=False) for name in ("weight", "bias"))
            return Linear(weight, bias, float(np.load(place / "strength.npy", allow_pickle=False)))
        found = self._solve(rows)
        if found is not None:
            held = {"weight": found.weight, "bias": found.bias, "strength": np.float64(found.strength or 0.0)}

            def write(folder: Path) -> None:
                for name, values in held.items():
                    np.save(folder / f"{name}.npy", values, allow_pickle=False)

            cache.put("probes", key, write, f"probe of {len(rows):,} rows of {rows.name}")
        return found

    def mark(self) -> str:
        """Return a hash of the weights behind the features."""
        return marks.of_weights(self.module if self.module is not None else torch.nn.Module())

    def _solve(self, rows: Rows) -> Linear | None:
        if self.module is None or self.head is None:
            return None
        examples = rows.examples()
        inputs = self.task.encode(examples[:1], self.tokenizer, self.limit)
        targets = self.task.targets(examples[:1], inputs, self.space)
        if len(inputs) != 1 or not linear.solvable(targets[0]):
            return None
        every = self.task.targets(examples, [Inputs(n, {}) for n in range(len(examples))], self.space)
        features = self(rows)
        found = linear.solve(features, np.asarray(every), self.space.size, seed=self.seed)
        solution = Linear(found.weight, found.bias, found.strength)
        return solution if self.module.get_submodule(self.head).bias is not None else _without_bias(solution, features)

    def _compute(self, rows: Rows) -> np.ndarray:
        if self.module is None or self.head is None:
            raise RuntimeError("features are asked of a model without a head")
        packed = Packed.joined(
            Packed.of([one.features for one in self.task.encode(chunk, self.tokenizer, self.limit)])
            for chunk in rows.chunks()
        )
        out: np.ndarray | None = None
        caught: list[torch.Tensor] = []
        module = prepacked.sooner(self.module.to(self.device), self.dtype, self.device)
        hook = module.get_submodule(self.head).register_forward_pre_hook(lambda _, args: caught.append(args[0]))
        try:
            with torch.inference_mode():
                for numbers in plan(packed.lengths, BATCH_TOKENS):
                    batch = packed.batch(_list(numbers), self.tokenizer.pad_token_id, self.tokenizer.padding_side)
                    module(**{name: tensor.to(self.device) for name, tensor in batch.items()})
                    part = _one_a_row(caught.pop(), batch["input_ids"], self.tokenizer.pad_token_id)
                    if out is None:
                        out = np.empty((len(packed), part.shape[-1]), dtype=np.float32)
                    out[numbers] = part
        finally:
            hook.remove()
            self.module.to("cpu")
        return out if out is not None else np.empty((0, 0), dtype=np.float32)


def _part(rows: Rows, seed: int) -> Rows:
    """Return the rows, or of many a part with every class in proportion."""
    if len(rows) <= MOST_ROWS:
        return rows
    classes = np.zeros(len(rows), dtype=np.int64)
    column = rows.table.column(rows.target) if rows.target is not None else None
    if column is not None and str(column.type) == "string":
        codes = column.combine_chunks().dictionary_encode()
        classes = np.asarray(codes.indices.fill_null(-1))
    if len(np.unique(classes)) > MOST_ROWS // 10:  # no classes to speak of
        classes = np.zeros(len(rows), dtype=np.int64)
    return rows.take(stratified_part(classes, MOST_ROWS, seed=seed).tolist())


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
