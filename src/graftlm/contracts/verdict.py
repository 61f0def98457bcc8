"""What the comparison of a model with its baselines comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from graftlm.contracts.values import Grades, Score


@dataclass(frozen=True, slots=True)
class Scores:
    """All figures of one set of answers: a Score by metric name, and the grades that they come from."""

    primary: str
    by_name: Mapping[str, Score]
    grades: Grades = field(default_factory=dict, repr=False)

    @property
    def headline(self) -> Score:
        """Return the score of the metric that decides."""
        return self.by_name[self.primary]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, one entry for each metric."""
        return {name: score.as_json() for name, score in self.by_name.items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one set of answers is better than another on the same rows.

    `gain` is positive where the first is better, whichever way the metric points; `low` and `high` are
    its 95 % interval, `p_value` that of a two-sided paired test, `test` its name.
    """

    gain: float
    low: float
    high: float
    p_value: float
    n: int
    test: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the transfer helped: against the best baseline that knows nothing pretrained.

    `split` names the rows of the test, `chosen_on` the rows on which that baseline was chosen;
    `over_probe` is the gain over the frozen probe, `cheaper` a baseline that is as good or better.
    """

    verdict: Literal["helped", "no measurable difference", "negative transfer"]
    against: str
    metric: str
    split: str
    chosen_on: str
    difference: Difference
    over_probe: Difference | None
    cheaper: str | None
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, the numbers of the difference on the top level."""
        return {
            "verdict": self.verdict,
            "against": self.against,
            "metric": self.metric,
            "split": self.split,
            "chosen_on": self.chosen_on,
            **self.difference.as_json(),
            "over_probe": self.over_probe.as_json() if self.over_probe else None,
            "cheaper": self.cheaper,
            "sentence": self.sentence,
        }
