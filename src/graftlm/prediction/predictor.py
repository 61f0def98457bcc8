"""The predictor: examples in, answers out, in the same order."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graftlm.contracts.model import Model
from graftlm.contracts.packed_inputs import PackedInputs
from graftlm.contracts.texts import encode_texts
from graftlm.contracts.values import Answer, Example, Inputs, Space
from graftlm.core import environment
from graftlm.core.errors import DataError
from graftlm.prediction.planning import plan

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from graftlm.contracts.task import Task
    from graftlm.nn.precision import Precision

BATCH_TOKENS = 1024
"""Padded tokens in one batch on a processor: enough to fill it, few enough to stay in its cache. Measured
with a 22M encoder in bf16: 512 and 1024 alike, 2048 some 5 % and 4096 some 30 % slower."""

ACCELERATOR_BATCH_TOKENS = 65_536


class Predictor:
    """Answers examples with one model.

    `limit` is the longest input in tokens; `precision` as in a recipe: fp32 gives what plain torch
    gives, bf16 rounds the weights of all but the last linear layer. The module that was given is left
    as it is: in another number format a copy works, in its own one its training flags are set back
    after each call. A live module's copy holds the weights of the moment when the predictor was made.

    Raises:
        ValueError: fp32 is asked of a model whose weights are rounded already.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        space: Space,
        *,
        limit: int,
        precision: Precision = "auto",
        batch_tokens: int | None = None,
        device: str | None = None,
    ) -> None:
        environment.settle()
        from graftlm.nn import precision as formats
        from graftlm.nn import prepacked

        self.model, self.task, self.space, self.limit = model, task, space, limit
        self._tokenizing = threading.Lock()
        self._catalogue: list[np.ndarray] | None = None
        first = next(model.module.parameters())
        self.device: torch.device = first.device if device is None else formats.device_for(device)
        self.dtype, self.reason = formats.choose(precision, self.device)
        self.batch_tokens = batch_tokens or (BATCH_TOKENS if self.device.type == "cpu" else ACCELERATOR_BATCH_TOKENS)
        held = formats.dtype_of(model.module)
        if precision == "fp32" and held != self.dtype:
            raise ValueError(
                f"expected a model in fp32, as precision='fp32' asks; got one in {held}, rounded already. "
                "Load it with load(bundle, precision='fp32')."
            )
        there = first.device.type == self.device.type and self.device.index in (None, first.device.index)
        if held == self.dtype and there:
            self.module = model.module
        else:
            self.module = formats.converted(model.module, self.dtype, model.head, self.device)
        self.module = prepacked.sooner(self.module, self.dtype, self.device)

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        """Return the answer to each example, in their order.

        Raises:
            DataError: a text holds half a character (a lone surrogate); the message names its place.
        """
        examples = list(examples)
        return self.of_inputs(self.encode(examples), examples)

    def encode(self, examples: Sequence[Example]) -> list[Inputs]:
        """Tokenise examples as the task does; one thread at a time, since a call sets the tokenizer's cut for all."""
        try:
            with self._tokenizing:
                return self.task.encode(examples, self.model.tokenizer, self.limit)
        except (TypeError, UnicodeEncodeError):
            for example in examples:
                for role, value in example.fields.items():
                    if isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
                        raise DataError(
                            f"{example.where or example.id}, {role}: expected text; got a lone surrogate, half of a "
                            "character that was cut in two. Write the file as UTF-8 again, or take the row out."
                        ) from None
            raise

    def of_inputs(self, inputs: Sequence[Inputs], examples: Sequence[Example]) -> list[Answer]:
        """Return the answer to each example from its tokenised inputs, which may be used many times.

        Each `Inputs.row` is a number in `examples`; an example may have several, in any order.
        """
        return self.decode(inputs, self.pieces(inputs), examples)

    def decode(
        self, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], examples: Sequence[Example]
    ) -> list[Answer]:
        """Return the answer to each example from its inputs and what the model gave for each of them.

        Where something was too long to be read whole, `cut` among what is public tells how many tokens were not read.
        """
        beside = self.catalogue()
        of_row: list[list[int]] = [[] for _ in examples]
        for number, one in enumerate(inputs):
            of_row[one.row].append(number)
        answers = []
        for example, numbers in zip(examples, of_row, strict=True):
            own = [inputs[n] for n in numbers]
            answer = self.task.decode(example, own, [*(pieces[n] for n in numbers), *beside], self.space)
            cut = max((one.truncated for one in own), default=0)
            answers.append(replace(answer, public={**answer.public, "cut": cut}) if cut else answer)
        return answers

    def stream(self, chunks: Iterable[Sequence[Example]]) -> Iterator[tuple[Example, Answer]]:
        """Yield each example with its answer, in order; memory holds one chunk at a time."""
        for chunk in chunks:
            yield from zip(chunk, self.answers(chunk), strict=True)

    def tune(self, inputs: Sequence[Inputs], examples: Sequence[Example]) -> list[Answer]:
        """Let the task choose what it chooses on these rows (thresholds); return their answers with that choice."""
        pieces = self.pieces(inputs)
        self.space = self.task.tune(examples, inputs, pieces, self.space)
        return self.decode(inputs, pieces, examples)

    def pieces(self, inputs: Sequence[Inputs]) -> list[np.ndarray]:
        """Return what the task's `infer` gives for each of the inputs."""
        return pieces(
            self.module,
            self.model.tokenizer,
            inputs,
            self.task.infer,
            device=self.device,
            batch_tokens=self.batch_tokens,
        )

    def catalogue(self) -> list[np.ndarray]:
        """Return what the model gives for the task's catalogue as one array (C, ...), computed once; [] without one."""
        if self._catalogue is None:
            texts = self.task.catalogue(self.space)
            found = [self.embed(texts)] if texts else []
            self._catalogue = found
        return self._catalogue

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return what the model gives for each text alone (N, ...)."""
        import numpy as np

        with self._tokenizing:
            inputs = encode_texts(texts, None, self.model.tokenizer, self.limit)
        return np.stack(self.pieces(inputs)) if inputs else np.zeros((0, self.model.card.width), np.float32)


def embed(
    model: Model, texts: Sequence[str], *, limit: int, precision: Precision = "auto", device: str | None = None
) -> np.ndarray:
    """Return the vectors (N, H) of texts under a model without a head."""
    import numpy as np

    from graftlm.nn import precision as formats
    from graftlm.nn import prepacked

    place = formats.device_for(device or "auto")
    dtype, _ = formats.choose(precision, place)
    module = prepacked.sooner(formats.converted(model.module, dtype, None, place), dtype, place)
    inputs = encode_texts(texts, None, model.tokenizer, limit)
    tokens = BATCH_TOKENS if place.type == "cpu" else ACCELERATOR_BATCH_TOKENS
    found = pieces(module, model.tokenizer, inputs, logits, device=place, batch_tokens=tokens)
    return np.stack(found) if found else np.zeros((0, model.card.width), np.float32)


def logits(module: nn.Module, inputs: dict[str, Any]) -> list[np.ndarray]:
    """Run a model on a padded batch; return its logits, or vectors, as float32."""
    return list(module(**inputs).logits.float().cpu().numpy())


def pieces(
    module: nn.Module,
    tokenizer: Any,
    inputs: Sequence[Inputs],
    infer: Callable[[nn.Module, dict[str, Any]], list[np.ndarray]],
    *,
    device: torch.device,
    batch_tokens: int,
) -> list[np.ndarray]:
    """Return what `infer` gives for each of the inputs, in batches of similar length."""
    import torch

    from graftlm.nn.packed import Packed

    if not inputs:
        return []
    packed = inputs.packed if isinstance(inputs, PackedInputs) else Packed.of([one.features for one in inputs])
    pad = tokenizer.pad_token_id
    found: list[Any] = [None] * len(inputs)
    with torch.inference_mode(), resting(module):
        for rows in plan(packed.lengths, batch_tokens):
            batch = packed.batch(rows, 0 if pad is None else pad, tokenizer.padding_side)  # type: ignore[arg-type]
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            for row, piece in zip(rows, infer(module, moved), strict=True):
                found[row] = piece
    return found


@contextlib.contextmanager
def resting(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode for a while, then give each part back the mode that it had."""
    training = [part for part in module.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True
