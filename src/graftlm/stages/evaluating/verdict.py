"""Did the transfer help: against the best baseline that knows nothing pretrained, and over the frozen probe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from graftlm.contracts.task import Metric, Task
from graftlm.contracts.verdict import Difference, Scores, Verdict
from graftlm.stages.evaluating.pairing import paired

SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Contender:
    """One set of scores by split ("valid", "test"), and whether it knows anything pretrained."""

    scores: Mapping[str, Scores]
    pretrained: bool


def judge_transfer(
    task: Task,
    model: Mapping[str, Scores],
    baselines: Mapping[str, Contender],
    *,
    resamples: int,
    seed: int,
) -> Verdict | None:
    """Return the verdict on the test rows (the validation rows, where there is no test), or None without baselines.

    The baseline to beat is the best on the validation rows of those that know nothing pretrained; where
    there are no validation rows it is the best on the test rows, which favours the baseline. Beside it
    stands the gain over the best of those that use the pretrained model frozen (the probe).
    """
    split = "test" if "test" in model else "valid"
    chosen_on = "valid" if "valid" in model else "test"
    metric = task.primary
    plain = {name: one for name, one in baselines.items() if not one.pretrained}
    if not plain or split not in model:
        return None

    def best_of(names: Iterable[str]) -> str:
        return max(names, key=lambda name: _worth(metric, baselines[name].scores[chosen_on]))

    def over(name: str) -> Difference:
        other = baselines[name].scores[split].grades
        return paired(task, model[split].grades, other, resamples=resamples, seed=seed)

    against = best_of(plain)
    difference = over(against)
    frozen = [name for name in baselines if name not in plain]
    probe = best_of(frozen) if frozen else ""
    over_probe = over(probe) if probe else None
    word = _word(difference)
    same = over_probe is not None and over_probe.low == over_probe.high == 0  # the model is the probe
    best = best_of(plain if same else baselines)
    wins = _worth(metric, baselines[best].scores[chosen_on]) > _worth(metric, model[chosen_on])
    equal = over_probe is not None and not same and _word(over_probe) != "helped"
    if word != "helped":
        cheaper: str | None = best if wins else against
    else:
        cheaper = probe if equal else best if wins else None
    parts = [_headline(metric, word, against, difference)]
    if split == "valid":
        parts.append("Measured on the validation rows, for there are no test rows.")
    if chosen_on == "test":
        parts.append("The baseline was chosen on the test rows, for there are no validation rows.")
    if wins:
        mine, theirs = (_figure(metric, one[chosen_on]) for one in (model, baselines[best].scores))
        rows = "validation" if chosen_on == "valid" else "test"
        parts.append(f"On the {rows} rows {best} is better ({theirs} against {mine}).")
    if over_probe is not None and not same:
        parts.append(_beside_probe(metric, over_probe, probe))
    if cheaper is not None:
        parts.append(f"The cheaper choice is {cheaper}.")
    return Verdict(word, against, metric.name, split, chosen_on, difference, over_probe, cheaper, " ".join(parts))


def _word(difference: Difference) -> Literal["helped", "no measurable difference", "negative transfer"]:
    if difference.p_value >= SIGNIFICANT or difference.gain == 0:
        return "no measurable difference"
    return "helped" if difference.gain > 0 else "negative transfer"


def _worth(metric: Metric, scores: Scores) -> float:
    value = scores.by_name[metric.name].value
    return value if metric.higher_is_better else -value


def _headline(metric: Metric, word: str, against: str, difference: Difference) -> str:
    low, high = _number(metric, difference.low), _number(metric, difference.high)
    interval, p_value = f"[{low}, {high}]", _p_value(difference)
    if word == "no measurable difference":
        return f"No measurable difference to {against}: {_signed(metric, difference.gain)} {interval}, {p_value}."
    size = _amount(metric, abs(difference.gain))
    if word == "helped":
        return f"Transfer helped by {size} {interval} over {against}, {p_value}."
    return f"Negative transfer: {size} worse than {against} {interval}, {p_value}."


def _beside_probe(metric: Metric, difference: Difference, probe: str) -> str:
    interval = f"[{_number(metric, difference.low)}, {_number(metric, difference.high)}], {_p_value(difference)}"
    if _word(difference) == "helped":
        return f"Over the frozen {probe}: {_signed(metric, difference.gain)} {interval}."
    if difference.gain > 0 or _word(difference) == "no measurable difference":
        return f"The frozen {probe} is as good within noise ({_signed(metric, difference.gain)} {interval})."
    return f"The frozen {probe} is better ({_signed(metric, difference.gain)} {interval})."


def _number(metric: Metric, value: float) -> str:
    return f"{100 * value:.1f}" if metric.percent else f"{value:.3f}"


def _amount(metric: Metric, value: float) -> str:
    return f"{_number(metric, value)} points" if metric.percent else f"{_number(metric, value)} ({metric.name})"


def _signed(metric: Metric, value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{_amount(metric, abs(value))}"


def _figure(metric: Metric, scores: Scores) -> str:
    return _number(metric, scores.by_name[metric.name].value)


def _p_value(difference: Difference) -> str:
    return "p < 0.001" if difference.p_value < 0.001 else f"p = {difference.p_value:.3f}"
