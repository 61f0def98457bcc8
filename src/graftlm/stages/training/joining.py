"""Joining: several processes find each other, and hear why one of them ended."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from graftlm.core.errors import GraftError, Interrupted, UserError
from graftlm.core.processes import Place
from graftlm.core.workers import Workers
from graftlm.nn import precision as formats
from graftlm.stages.training.processes import Together

CONNECT = 600.0
"""Seconds within which every process has to come."""
PATIENCE = datetime.timedelta(days=7)
"""How long torch waits in a message: the first process may judge or fit baselines for as long as it takes."""
FACTS, OVER = "facts", "over"
INTERFACE = "GLOO_SOCKET_IFNAME"


class Over(GraftError):
    """The first process has ended, and has told its user why."""

    def __init__(self, code: int, told: dict[str, Any]) -> None:
        super().__init__(str(told.get("message", "")))
        self.exit_code = code
        self.how = told


class Meeting:
    """Where the processes leave word for each other: a key-value store at the first of them."""

    def __init__(self, place: Place, store: Any, workers: Workers | None = None) -> None:
        self.place, self.store, self.workers = place, store, workers
        self.group: Together | None = None

    def join(self, device: str) -> Together:
        """Wait until all are here; return this process's side of the group.

        Raises:
            UserError: one does not come, or its device is not there.
        """
        place = self.place
        self.put(f"here/{place.rank}", {"host": socket.gethostname(), "pid": os.getpid()})
        if place.rank == 0:
            self.wait([f"here/{rank}" for rank in range(1, place.world)], CONNECT)
            self.put(FACTS, {"device": device, "world": place.world})
        else:
            self.wait([FACTS])
            facts = self.get(FACTS)
            device = facts["device"]
        unit = device_of(device, place)
        with _loopback(self.workers is not None):
            backend = "cpu:gloo,cuda:nccl" if unit.type == "cuda" else "gloo"
            distributed.init_process_group(
                backend, store=PrefixStore("group", self.store), rank=place.rank, world_size=place.world,
                timeout=PATIENCE,
            )  # fmt: skip
        self.group = Together(place.rank, place.world, unit, self.lost)
        return self.group

    def put(self, key: str, value: Any) -> None:
        """Leave a JSON value for all to see."""
        self.store.set(key, json.dumps(value, default=str))

    def get(self, key: str) -> Any:
        """Return a JSON value that is there."""
        return json.loads(self.store.get(key))

    def has(self, key: str) -> bool:
        """Tell whether a value is there.

        Raises:
            GraftError: the store is gone, and the first process with it.
        """
        try:
            return bool(self.store.check([key]))
        except RuntimeError as fault:
            raise GraftError("The first process is gone.") from fault

    def wait(self, keys: list[str], seconds: float | None = None) -> None:
        """Wait for values, and hear signals meanwhile.

        Raises:
            UserError: time is over.
            GraftError: a process has ended.
        """
        until = None if seconds is None else time.monotonic() + seconds
        for key in keys:
            while not self.has(key):
                if self.place.rank > 0 and self.has(OVER):
                    raise self.over()
                if self.place.rank == 0 and self.faults():
                    raise self.lost(None)
                if until is not None and time.monotonic() > until:
                    missing = [one.rpartition("/")[2] for one in keys if not self.has(one)]
                    raise UserError(
                        f"Only {self.place.world - len(missing)} of {self.place.world} processes came within "
                        f"{seconds:.0f} seconds; missing: {', '.join(missing)}. Start all of them, with the same "
                        "number of processes everywhere and an address of the first machine that the others can reach."
                    )
                time.sleep(0.03)

    def tell(self, fault: BaseException) -> bool:
        """Leave word of a fault of this process for the others; return whether that was possible."""
        code = fault.exit_code if isinstance(fault, GraftError) else 130 if isinstance(fault, KeyboardInterrupt) else 1
        told = {
            "code": code,
            "kind": type(fault).__name__,
            "message": " ".join(str(fault).split()),
            "host": socket.gethostname(),
            "trace": "".join(traceback.format_exception(fault)),
        }
        try:
            self.put(f"fault/{self.place.rank}", told)
        except RuntimeError:
            return False
        return True

    def faults(self) -> dict[int, dict[str, Any]]:
        """Return what other processes have said of their faults, and who of those started here is dead."""
        found = {}
        with contextlib.suppress(RuntimeError, GraftError):
            for rank in range(self.place.world):
                if rank != self.place.rank and self.has(f"fault/{rank}"):
                    found[rank] = self.get(f"fault/{rank}")
        for rank, code in (self.workers.ended() if self.workers else {}).items():
            said = f"it was killed by signal {-code}" if code < 0 else f"it ended with code {code}"
            if code == -9:
                said += " (the system does that when memory runs out)"
            asked = 130 if code in (130, -2, -15) else 1
            found.setdefault(rank, {"code": asked, "kind": "", "message": said, "host": "", "trace": ""})
        return found

    def lost(self, fault: BaseException | None) -> BaseException:
        """Return what to raise where another process does not answer: what it has said, where it has said something."""
        until = time.monotonic() + 3
        while time.monotonic() < until:
            if self.place.rank > 0:
                try:
                    if self.has(OVER):
                        return self.over()
                except GraftError as gone:
                    return gone
            if found := self.faults():
                rank, told = min(found.items(), key=lambda item: (item[1]["kind"] == "", item[0]))
                return self._as_error(rank, told)
            time.sleep(0.05)
        return GraftError(
            f"Another process does not answer any more ({' '.join(str(fault).split())[:160]}). What was trained up to "
            "the last checkpoint is kept: go on with --resume."
        )

    def over(self) -> Over:
        """Return how the first process has ended."""
        told = self.get(OVER)
        return Over(int(told["code"]), told)

    def _as_error(self, rank: int, told: dict[str, Any]) -> BaseException:
        host = "" if told["host"] in ("", socket.gethostname()) else f" on {told['host']}"
        who = f"process {rank + 1} of {self.place.world}{host}"
        if told["code"] == 130:
            return Interrupted(f"Stopped by a signal to {who}.")
        if told["code"] == 2:
            return UserError(f"{told['message']} (said by {who})")
        kind = f"{told['kind']}: " if told["kind"] else ""
        fault = GraftError(
            f"A fault in {who}: {kind}{told['message']}. What was trained up to the last checkpoint is kept: go on "
            "with --resume."
        )
        fault.add_note(told["trace"])
        return fault

    def end(self, how: dict[str, Any]) -> None:
        """Tell the others that the run is over, and let them go; a last process keeps the store until then."""
        with contextlib.suppress(RuntimeError):
            self.put(OVER, how)
        self.leave()
        if self.workers is not None:
            self.workers.close(5)
            return
        until = time.monotonic() + 5
        with contextlib.suppress(RuntimeError, GraftError):
            while time.monotonic() < until and not all(self.has(f"bye/{r}") for r in range(1, self.place.world)):
                time.sleep(0.05)

    def bye(self) -> None:
        """Say that this process needs the store no more."""
        self.leave()
        with contextlib.suppress(RuntimeError):
            self.put(f"bye/{self.place.rank}", True)

    def leave(self) -> None:
        """Close the connections: whoever still waits for this process hears of it."""
        if self.group is not None:
            self.group = None
            with contextlib.suppress(RuntimeError):
                distributed.destroy_process_group()


def device_of(name: str, place: Place) -> torch.device:
    """Return the device of one of several processes.

    Raises:
        UserError: it is not there, or there are fewer of them than processes.
    """
    unit = formats.device_for(name)
    if place.world == 1 or unit.type == "cpu":
        return unit
    ways = "Take fewer processes (--processes), or --device cpu."
    if unit.type != "cuda":
        raise UserError(f"{place.here} processes cannot share one {unit.type} device. {ways}")
    if place.here > (count := torch.cuda.device_count()):
        have = "one GPU" if count == 1 else f"{count} GPUs"
        raise UserError(f"{place.here} processes need {place.here} GPUs; this machine has {have}. {ways}")
    torch.cuda.set_device(place.local)
    return torch.device("cuda", place.local)


def host(workers: Callable[[int], Workers]) -> Meeting:
    """Open a store that only this machine can reach, and start the other processes with `workers(port)`."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    port = int(listening.getsockname()[1])
    store = vars(distributed)["TCPStore"](
        "127.0.0.1", port, None, True, datetime.timedelta(seconds=CONNECT), wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )  # fmt: skip
    started = workers(port)
    world = len(started.running) + 1
    return Meeting(Place(0, world, 0, world), PrefixStore("run1", store), started)  # the first run of those that come


_met = 0


def meet(place: Place) -> Meeting:
    """Find the other processes that a launcher has started.

    Raises:
        UserError: the port is taken, or the first process cannot be reached.
    """
    global _met
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, _, _ = next(rendezvous("env://", timeout=datetime.timedelta(seconds=CONNECT / 2)))
    except RuntimeError as fault:
        said = " ".join(str(fault).split())
        if place.rank == 0 and ("EADDRINUSE" in said or "in use" in said):
            raise UserError(
                f"The port of {where} is taken, by another run perhaps. Name another one: torchrun --master-port, or "
                "accelerate launch --main_process_port."
            ) from None
        raise UserError(
            f"Process {place.rank + 1} of {place.world} cannot meet the first one at {where}: {said[:200]}. Look at "
            "the address, the port, and at what lies between the machines."
        ) from None
    _met += 1
    return Meeting(place, PrefixStore(f"run{_met}", store))


def loopback() -> dict[str, str]:
    """Return the setting with which gloo talks over the loopback device alone, unless the user has named one."""
    found = [one for _, one in socket.if_nameindex() if one in ("lo", "lo0")] if sys.platform != "win32" else []
    return {INTERFACE: found[0]} if found and INTERFACE not in os.environ else {}


@contextlib.contextmanager
def _loopback(wanted: bool) -> Iterator[None]:
    setting = loopback() if wanted else {}
    os.environ.update(setting)
    try:
        yield
    finally:
        for name in setting:
            del os.environ[name]
