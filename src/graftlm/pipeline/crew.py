"""A crew: the processes that train a run together. The first one leads; the others train what it asks for."""

from __future__ import annotations

import _thread
import dataclasses
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm import recipe as recipes
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Score, Space
from graftlm.core import log, processes
from graftlm.core.errors import GateMissed, GraftError, RecipeError, UserError
from graftlm.core.processes import Place
from graftlm.core.workers import Workers
from graftlm.pipeline.earlier import open_earlier
from graftlm.pipeline.work import Run
from graftlm.recipe import Recipe

if TYPE_CHECKING:
    from graftlm.contracts.backbone import Base
    from graftlm.stages.training.fitting import Trained, Wanted
    from graftlm.stages.training.joining import Meeting
    from graftlm.stages.training.processes import Together

NAMES = {"section": "train"}
"""Fields of `Wanted` that the recipe calls otherwise."""


class Crew:
    """The processes of one run, seen from the first of them; alone it trains by itself."""

    def __init__(self, recipe: Recipe, place: Place) -> None:
        asked = recipe.train.processes
        if place.launched and asked not in (1, place.world):
            raise RecipeError(
                f"train.processes is {asked}, but the launcher has started {place.world} processes. Leave one of "
                "the two out."
            )
        self.recipe = recipe
        self.world = place.world if place.launched else asked
        if recipe.train.batch_size < self.world:
            raise RecipeError(
                f"train.batch_size is {recipe.train.batch_size} for all {self.world} processes together, so that some "
                f"would never have a row. Take at most {recipe.train.batch_size} processes, or a larger batch."
            )
        self.meeting: Meeting | None = None
        self.group: Together | None = None
        self.orders = 0
        self.texts: list[str] | None = None  # training texts that the base was made from
        self.closing = threading.Event()
        if place.launched:
            from graftlm.stages.training.joining import meet

            self.meeting = meet(place)
            self.group = self.meeting.join(recipe.train.device)

    def open_on(self, texts: Callable[[], Iterable[str]]) -> Base:
        """Open the base model; texts that it is made from are kept for the other processes."""

        def asked() -> Iterable[str]:
            self.texts = list(texts())
            return self.texts

        return self.recipe.backbone.open_on(texts if self.world == 1 else asked)

    def suits(self, rows: int) -> None:
        """Refuse what several processes cannot do, before anything is made.

        Raises:
            RecipeError: a part of the recipe does not go with shards.
            UserError: there are fewer rows or devices than processes; the message says how many.
        """
        if self.recipe.train.sharding != "none":
            from graftlm.stages.training.sharded import refuse

            refuse(self.recipe.train, self.recipe.methods, self.recipe.losses, self.world)
        if rows < self.world:
            raise UserError(f"There are {rows} training rows for {self.world} processes. Take at most {rows} of them.")
        if self.world > 1 and self.meeting is None:
            from graftlm.stages.training.joining import device_of

            device_of(self.recipe.train.device, Place(0, self.world, 0, self.world))

    def start(self) -> None:
        """Start the other processes, now that the data are known to be fit: they load while this one goes on."""
        if self.world == 1 or self.meeting is not None:
            return
        from graftlm.nn.precision import device_for
        from graftlm.stages.training.joining import host, loopback

        unit = device_for(self.recipe.train.device)
        threads = max(1, processes.processors() // self.world)

        def workers(port: int) -> Workers:
            shared = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")}
            shared |= {
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(self.world),
                "LOCAL_WORLD_SIZE": str(self.world),
                "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
                **loopback(),
            }
            ranks = range(1, self.world)
            command = [sys.executable, "-m", "graftlm.pipeline.worker"]
            return Workers([command] * len(ranks), [{**shared, "RANK": str(r), "LOCAL_RANK": str(r)} for r in ranks])

        self.meeting = host(workers)
        log.note(f"processes: {self.world} on this machine, each with its share of every batch")
        threading.Thread(target=self._watch, args=(unit.type,), daemon=True, name="watch").start()

    def train(
        self, wanted: Wanted, base: Base, space: Space, rows: Rows, *, limit: int, fresh: bool = False, **options: Any
    ) -> Trained:
        """Train with all processes; `fresh` says that the base is the recipe's own with random weights."""
        from graftlm.stages.training.fitting import fit

        if self.world == 1 or self.meeting is None:
            return fit(wanted, base, space, rows, limit=limit, **options)
        if self.group is None:
            self.group = self.meeting.join(self.recipe.train.device)
        self.orders += 1
        self.meeting.put(f"order/{self.orders}", "train")
        data, texts = _packed(rows), json.dumps(self.texts).encode()
        self.texts = None
        self.group.share(
            {
                "wanted": _told(wanted), "space": space.as_json(), "limit": limit, "fresh": fresh,
                "judged": options.get("judge") is not None, "epochs": options.get("epochs"),
                "rows": {"name": rows.name, "target": rows.target, "fingerprint": rows.fingerprint, "bytes": len(data)},
                "texts": len(texts),
            }
        )  # fmt: skip
        self.group.share_bytes(data, len(data))
        self.group.share_bytes(texts, len(texts))
        del data, texts
        with _fewer_threads(self.world if self.meeting.workers and self.group.device.type == "cpu" else 1):
            return fit(wanted, base, space, rows, limit=limit, group=self.group, **options)

    def close(self, run: Run | None, fault: BaseException | None) -> None:
        """Tell the others how it ended, and let them go."""
        self.closing.set()
        if self.meeting is None:
            return
        code = 0 if fault is None else fault.exit_code if isinstance(fault, GraftError) else 1
        told: dict[str, Any] = {
            "code": 130 if isinstance(fault, KeyboardInterrupt) else code,
            "message": str(fault or ""),
        }
        if run is not None:
            told |= {"folder": str(run.folder), "metrics": run.metrics, "recipe": run.recipe.as_json()}
        self.meeting.end(told)

    def _watch(self, device: str) -> None:
        """Hear when a process that was started here ends before its time."""
        meeting = self.meeting
        while meeting is not None and meeting.workers is not None and not self.closing.wait(0.2):
            if not (ended := meeting.workers.ended()):
                continue
            if set(ended.values()) & {130, -signal.SIGTERM, -signal.SIGINT}:
                _thread.interrupt_main(signal.SIGTERM)  # a stop that one process was asked for is for all
            if device == "cuda" and not self.closing.wait(10):
                from torch.distributed.distributed_c10d import _abort_process_group

                _abort_process_group()  # NCCL would wait for it for ever
            return


@contextmanager
def gathered(recipe: Recipe) -> Iterator[tuple[Crew, list[Run]]]:
    """Yield the crew of a run and a list for what came of it; at the end the others hear how it ended."""
    crew, runs = Crew(recipe, processes.place()), list[Run]()
    try:
        yield crew, runs
    except BaseException as fault:
        crew.close(runs[-1] if runs else None, fault)
        raise
    crew.close(runs[-1] if runs else None, None)


def follow() -> Run:
    """Train what the first process asks for, until it says that the run is over; return its run.

    Raises:
        GraftError: the run ended otherwise, as the first process has told its user.
    """
    from graftlm.stages.training.joining import Over, meet
    from graftlm.stages.training.stopping import terminable

    meeting = meet(processes.place())
    try:
        with terminable():
            group = meeting.join("auto")
            bases: dict[str, Base] = {}
            for number in range(1, sys.maxsize):
                meeting.wait([f"order/{number}"])
                _train(group, bases)
        raise RuntimeError("a run without an end")
    except Over as over:
        how = over.how
        if over.exit_code == 0:
            return Run(Path(how["folder"]), how["metrics"], None, (), recipes.build(how["recipe"]))
        said: type[GraftError] = GateMissed if over.exit_code == GateMissed.exit_code else Over
        ended = over if said is Over else said(str(over))
        ended.told = True
        raise ended from None
    except BaseException as fault:
        if meeting.tell(fault) and isinstance(fault, GraftError):
            fault.told = True
        raise
    finally:
        meeting.bye()


def _train(group: Together, bases: dict[str, Base]) -> None:
    import pyarrow as pa

    from graftlm.core.errors import Interrupted
    from graftlm.stages.training.fitting import Wanted, fit

    order = group.share(None)
    rows = order["rows"]
    table = pa.ipc.open_stream(pa.py_buffer(group.share_bytes(None, rows["bytes"]))).read_all()
    texts = json.loads(group.share_bytes(None, order["texts"]))
    tree = order["wanted"]
    recipe = recipes.build(tree)
    names = [field.name for field in dataclasses.fields(Wanted)]
    wanted = Wanted(**{name: getattr(recipe, NAMES.get(name, name)) for name in names})
    key = json.dumps(tree["backbone"])
    if key not in bases:
        bases[key] = recipe.backbone.open_on(lambda: texts)
    base = fresh_base(bases[key], recipe.train.seed) if order["fresh"] else bases[key]
    try:
        fit(
            wanted, base, Space.from_json(order["space"]),
            Rows(rows["name"], table, rows["target"], rows["fingerprint"]),
            limit=order["limit"], probe=lambda: None, judge=_nobody if order["judged"] else None,
            epochs=order["epochs"], earlier=open_earlier, group=group,
        )  # fmt: skip
    except Interrupted:
        return  # the first process writes the checkpoint now: only its end is the end


def _nobody(_model: Any) -> Score:
    raise RuntimeError("only the first process judges")


def fresh_base(base: Base, seed: int) -> Base:
    """Return a base of the same configuration with random weights."""
    from graftlm.contracts.pretrained import from_config

    facts: dict[str, Any] = {"pooling": base.card.pooling, "languages": base.card.languages}
    return from_config(base.config, base.tokenizer, name=f"random {base.card.name}", seed=seed, **facts)


def _told(wanted: Wanted) -> dict[str, Any]:
    """Return the parts of the recipe in JSON types."""
    parts = {NAMES.get(each.name, each.name): getattr(wanted, each.name) for each in dataclasses.fields(wanted)}
    parts = {name: list(part) if isinstance(part, tuple) else part for name, part in parts.items()}
    tree = Recipe.model_construct(**parts).model_dump(mode="json")
    return {name: tree[name] for name in parts}


def _packed(rows: Rows) -> Any:
    """Return a table as Arrow's stream of bytes."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.table.schema) as writer:
        writer.write_table(rows.table)
    return sink.getvalue()


@contextmanager
def _fewer_threads(world: int) -> Iterator[None]:
    """Leave processors to the other processes for a while."""
    import torch

    before = torch.get_num_threads()
    if world > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(before, processes.processors() // world)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


__all__ = ["Crew", "follow", "fresh_base", "gathered"]
