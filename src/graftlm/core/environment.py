"""Settings of the process that libraries read from the environment: set once, here, on purpose."""

from __future__ import annotations

import os


def settle() -> None:
    """Switch the tokenizers' own threads off, unless the user has said otherwise.

    A process that forks after they have run (a data loader, a server's worker) would wait for ever on
    a lock that nobody holds. Batches of texts are tokenised in a small part of the time that the
    model needs for them, so that the threads are not missed.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
