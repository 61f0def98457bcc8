"""Exporters: a bundle becomes another format, checked against its source before it counts."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from graftlm.core.plugin import Plugin


class Exporter(Plugin):
    """Writes a bundle in another format."""

    kind: ClassVar[str] = "exporter"

    @abstractmethod
    def write(self, bundle: Any, folder: Path) -> None:
        """Write the bundle into an empty folder."""
