"""Detectors: alarms on live text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from graftlm.core.plugin import Plugin


class Detector(Plugin):
    """Compares a window of live values with a reference."""

    kind: ClassVar[str] = "detector"

    @abstractmethod
    def fit(self, reference: Any) -> Any:
        """Learn what is normal."""

    @abstractmethod
    def check(self, window: Any) -> Sequence[Any]:
        """Return the alarms of a window."""
