"""Optional packages: imported late, and a missing one names its install command."""

from __future__ import annotations

import importlib
from types import ModuleType

from graftlm.core.errors import MissingPackage


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import and return a module of an extra.

    Raises:
        MissingPackage: it is not installed; the message says for what it is needed and how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as fault:
        if fault.name is None or not f"{module}.".startswith(f"{fault.name}."):
            raise
        raise MissingPackage(
            f"{purpose} needs the package '{module.partition('.')[0]}', which is not installed. "
            f"Install it with: pip install 'graftlm[{extra}]'"
        ) from None
