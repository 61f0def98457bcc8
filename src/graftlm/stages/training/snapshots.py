"""Snapshots: everything that an exact resume needs, as tensors and JSON."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graftlm.core import seeds
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from graftlm.stages.training.loop import Loop

WEIGHTS, STATES, OPTIMIZER, RANDOM = "weights.", "states.", "optimizer.", "random."


def seed_generators(seed: int, *names: Any) -> None:
    """Seed the global generators of Python, numpy and torch with a named stream, for code that draws from them."""
    random.seed(seeds.child(seed, *names, "python"))
    np.random.seed(seeds.child(seed, *names, "numpy") % 2**32)
    torch.manual_seed(seeds.child(seed, *names, "torch"))


def weights(loop: Loop) -> dict[str, torch.Tensor]:
    """Return what training changes in the model: trainable parameters and buffers that are saved."""
    module = loop.module
    changing = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    kept = set(module.state_dict())
    changing |= {name: b for name, b in module.named_buffers() if name in kept}
    return changing


def take_snapshot(loop: Loop) -> dict[str, Any]:
    """Return `{"tensors": ..., "facts": ...}`; tensors are not copied, so write them before the next step."""
    tensors = {WEIGHTS + name: loop.whole(tensor) for name, tensor in weights(loop).items()}
    tensors |= {STATES + name: tensor for name, tensor in loop.states.state_dict().items()}
    scalars: dict[str, Any] = {}
    for number, state in loop.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{OPTIMIZER}{number}.{key}"] = loop.whole(value)
            else:
                scalars[f"{number}.{key}"] = value
    tensors[f"{RANDOM}torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"{RANDOM}cuda.{number}"] = state
    version, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=True)
    name, keys, *rest = numpy_state
    tensors[f"{RANDOM}numpy"] = torch.from_numpy(keys.astype(np.int64))
    facts = {
        "step": loop.step,
        "steps": loop.steps,
        "micro": loop.micro,
        "best_score": loop.best_score,
        "stale": loop.stale,
        "elapsed": loop.elapsed(),
        "stepping": loop.stepping,
        "counts": [loop.examples, loop.tokens, loop.padded],
        "optimizer": scalars,
        "python_random": [version, list(words), gauss],
        "numpy_random": [name, *rest],
    }
    return {"tensors": tensors, "facts": facts}


def restore_snapshot(loop: Loop, snapshot: Mapping[str, Any], *, weights_only: bool = False) -> None:
    """Put a snapshot back into the loop; `weights_only`: the model and the run objects, not where the run stands.

    What a run object gathers over the whole run (`lasting`) stays as it is then: it is not that of the best weights.

    Raises:
        UserError: the snapshot is of another model.
    """
    tensors = snapshot["tensors"]
    current = weights(loop)
    given = {name.removeprefix(WEIGHTS): t for name, t in tensors.items() if name.startswith(WEIGHTS)}
    if set(given) != set(current):
        odd = sorted(set(given) ^ set(current))
        raise UserError(f"The checkpoint is of another model: {len(odd)} tensors differ, such as '{odd[0]}'.")
    with torch.no_grad():
        for name, tensor in current.items():
            loop.put(tensor, given[name])
    states = {n.removeprefix(STATES): t for n, t in tensors.items() if n.startswith(STATES)}
    if weights_only:
        lasting = tuple(f"{n}." for n, part in loop.states.named_modules() if getattr(part, "lasting", False))
        states |= {n: t.clone() for n, t in loop.states.state_dict().items() if n.startswith(lasting)}
    loop.states.load_state_dict(states)
    if weights_only:
        return
    facts = snapshot["facts"]
    held: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            number, _, key = name.removeprefix(OPTIMIZER).partition(".")
            held.setdefault(int(number), {})[key] = loop.cut(tensor, loop.trainable[int(number)])
    for name, value in facts["optimizer"].items():
        number, _, key = name.partition(".")
        held.setdefault(int(number), {})[key] = value
    loop.optimizer.load_state_dict({"state": held, "param_groups": loop.optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors[f"{RANDOM}torch"])
    cuda = sorted(n for n in tensors if n.startswith(f"{RANDOM}cuda."))
    if cuda and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([tensors[n] for n in cuda])
    version, words, gauss = facts["python_random"]
    random.setstate((version, tuple(words), gauss))
    name, *rest = facts["numpy_random"]
    np.random.set_state((name, tensors[f"{RANDOM}numpy"].numpy().astype(np.uint32), *rest))
    loop.step, loop.steps = facts["step"], facts["steps"]
    loop.micro = facts.get("micro", loop.micro)
    loop.best_score, loop.stale = facts["best_score"], facts["stale"]
    loop.spent, loop.stepping = facts["elapsed"], facts["stepping"]
    loop.examples, loop.tokens, loop.padded = facts["counts"]
