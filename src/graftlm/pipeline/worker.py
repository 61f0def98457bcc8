"""A process that another one has started to train with it: it says nothing, and its exit code is how the run ended."""

from __future__ import annotations

import logging
import sys
import warnings

from graftlm.core import environment, workers
from graftlm.core.errors import GraftError


def main() -> int:
    """Follow the first process to its end."""
    workers.end_with_parent()
    environment.settle()
    warnings.simplefilter("ignore")
    logger = logging.getLogger("graftlm")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    from graftlm.pipeline.crew import follow

    try:
        follow()
    except GraftError as fault:
        return fault.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception:
        return 1  # the first process has heard of it, and tells it
    return 0


if __name__ == "__main__":
    sys.exit(main())
