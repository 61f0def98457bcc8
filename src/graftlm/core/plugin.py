"""The base record of every plug-in: its fields are its whole configuration."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Plugin(BaseModel):
    """Frozen record of options, checked at birth, without state; JSON and YAML carry it unchanged.

    The folder is the kind, the file name is the name in a recipe. Each concrete class states in
    `source` where the method comes from: paper with section or equation, or the file of a reference
    implementation.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    kind: ClassVar[str] = ""
    source: ClassVar[str] = ""

    @classmethod
    def name(cls) -> str:
        """Return the name in a recipe: the last part of the module's name."""
        return cls.__module__.rpartition(".")[2]

    def as_use(self) -> dict[str, Any]:
        """Return the recipe form, `{"use": name, field: value, ...}`, in JSON types."""
        return {"use": self.name(), **self.model_dump(mode="json")}
