"""Trains with each method and each loss on two processes; run by test_processes.py, once as each of them.

Arguments: rank, port, file for the findings, names (none: all). Dropout is 0, so that what is left of chance is the
plug-in's own.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from graftlm.core import registry
from graftlm.core.errors import GraftError
from graftlm.core.processes import Place
from graftlm.stages.training import loop, processes, snapshots
from graftlm.stages.training.joining import Meeting


def conformance() -> Any:
    spec = importlib.util.spec_from_file_location("conformance", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(tools: Any, methods: list[str], losses: list[str], dropout: float) -> Any:
    run = tools.Run(methods, losses, 2, "classification")
    for part in run.model.module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = dropout
        if hasattr(part, "dropout_prob"):
            part.dropout_prob = dropout
    for method in run.methods:
        if (reason := method.refuses(run.model, run.setting)) is not None:
            raise GraftError(reason)
    for loss in run.losses:
        if (reason := loss.refuses(run.model, run.task) or loss.clashes(run.methods)) is not None:
            raise GraftError(reason)
    return run


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("graftlm").addHandler(logging.NullHandler())
    logging.getLogger("graftlm").propagate = False
    rank, port, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    store = vars(torch.distributed)["TCPStore"]("127.0.0.1", port, 2, rank == 0)
    group = Meeting(Place(rank, 2, rank, 2), store).join("cpu")
    loop.REPORT_SECONDS = -1.0  # every step is told
    tools, found = conformance(), {}
    plain = snapshots.seed_generators

    def other(seed: int, *names: Any) -> None:
        plain(seed + 1000, *names)

    for kind in ("method", "loss"):
        for name in (each for each in registry.names(kind) if each in sys.argv[4:] or len(sys.argv) == 4):
            methods, losses = ([name], []) if kind == "method" else (["full"], [name])
            dropout = 0.1 if name == "r_drop" else 0.0
            try:
                run = made(tools, methods, losses, dropout)
                together = run.train(steps=3, group=group)
                sums = torch.stack([p.detach().double().abs().sum() for p in run.model.module.parameters()])
                equal = bool(torch.equal(sums, group._send(sums.clone())))
                one = made(tools, methods, losses, dropout).train(steps=3)
                smaller = made(tools, methods, losses, dropout).train(steps=3, micro=2)
                for module in (loop, processes, snapshots):
                    module.seed_generators = other
                lucky = made(tools, methods, losses, dropout).train(steps=3)
            except GraftError as refused:
                found[f"{kind} {name}"] = {"refused": str(refused)}
                continue
            finally:
                for module in (loop, processes, snapshots):
                    module.seed_generators = plain
            found[f"{kind} {name}"] = {
                "together": together, "one": one, "equal": equal, "chance": lucky != one,
                "compares": max(abs(a - b) for a, b in zip(smaller, one, strict=True)) > 1e-5 if one else False,
            }  # fmt: skip
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
