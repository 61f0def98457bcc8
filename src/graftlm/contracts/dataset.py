"""A data set: its splits in the task's own terms, and what was found out while reading them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Finding


@dataclass(frozen=True, slots=True)
class Dataset:
    """Splits by name ("train", "valid", "test": those that there are), facts in JSON types, and findings.

    `facts["sources"][name]` tells for each source its reader, format, columns and counts
    (`read = kept + skipped`; `mended` of the kept ones in part); `facts["splits"][name]` where the rows
    of a split come from and how many they are; `facts["unused"]` counts rows that a limit left out.
    """

    splits: Mapping[str, Rows]
    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def train(self) -> Rows:
        """Return the training rows."""
        return self.splits["train"]

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each split's content."""
        return {name: rows.fingerprint for name, rows in self.splits.items()}
