"""What plug-ins there are: names and one line each, read from their files without importing them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from graftlm.core import registry


@dataclass(frozen=True, slots=True)
class Entry:
    """One plug-in: its kind, its name in a recipe, and the first line of its file."""

    kind: str
    name: str
    summary: str

    def as_json(self) -> dict[str, str]:
        """Return the JSON form."""
        return asdict(self)


def list_plugins(kind: str | None = None) -> list[Entry]:
    """Return the plug-ins of one kind, or of all, sorted by kind and name.

    Raises:
        UserError: there is no such kind.
    """
    chosen = registry.kinds() if kind is None else [registry.kind_named(kind)]
    return [Entry(each, name, registry.summary(each, name)) for each in chosen for name in registry.names(each)]
