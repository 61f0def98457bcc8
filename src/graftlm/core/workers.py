"""Workers: processes that this one starts, and that end with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from graftlm.core.errors import UserError


class Workers:
    """Processes that this one has started. When it ends, however it ends, their standard input closes and they end."""

    def __init__(self, commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]]) -> None:
        self.running: list[subprocess.Popen[bytes]] = []
        try:
            for command, environment in zip(commands, environments, strict=True):
                # a session of their own: Ctrl-C reaches the first process alone, which tells the others
                self.running.append(
                    subprocess.Popen(
                        list(command),
                        env=dict(environment),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        start_new_session=True,
                    )  # fmt: skip
                )
        except OSError as fault:
            self.close(0)
            raise UserError(f"Another process cannot be started: {fault.strerror or fault}.") from None

    def ended(self) -> dict[int, int]:
        """Return the exit codes of those that have ended, by rank; negative where a signal has killed one."""
        return {rank: code for rank, one in enumerate(self.running, 1) if (code := one.poll()) is not None}

    def close(self, seconds: float) -> None:
        """Give them some time to end, then kill them."""
        until = time.monotonic() + seconds
        for one in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(max(0.0, until - time.monotonic()))
            if one.poll() is None:
                one.kill()
                one.wait()
            if one.stdin is not None:
                with contextlib.suppress(OSError):
                    one.stdin.close()


def end_with_parent() -> None:
    """End this process as soon as the one that has started it is gone."""

    def wait() -> None:
        while os.read(0, 1 << 10):  # not sys.stdin: its lock would be held when this process ends by itself
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()
