"""The verdict's sentences in both languages, from the tree of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graftlm.report.figures import finite, mapping, number
from graftlm.report.vocabulary import METRICS
from graftlm.report.words import Both, both


def sentences(metrics: Mapping[str, Any]) -> tuple[Both, Both] | None:
    """Return the headline of the verdict and what else it says; None where there is no verdict.

    The English text is the one that the run gave; the Chinese one is written from the same figures.
    """
    told = mapping(metrics.get("transfer"))
    if not told.get("sentence"):
        return None
    first, dot, rest = str(told["sentence"]).partition(". ")
    english = (f"{first}." if dot else first), rest
    needed = (told.get("verdict"), told.get("against"), told.get("gain"), told.get("low"), told.get("high"))
    if any(value is None for value in needed) or not finite(told["gain"]):
        return both(english[0]), both(english[1])
    headline, others = _chinese(told, metrics)
    return Both(english[0], headline), Both(english[1], others)


def _chinese(told: Mapping[str, Any], metrics: Mapping[str, Any]) -> tuple[str, str]:
    primary = mapping(metrics.get("primary"))
    percent = bool(primary.get("percent"))
    name = METRICS.get(str(told.get("metric")), str(told.get("metric")))

    def amount(value: float) -> str:
        return f"{number(value, percent)} 个百分点" if percent else f"{number(value, percent)}（{name}）"

    def signed(value: float) -> str:
        return f"{'+' if value >= 0 else '-'}{amount(abs(value))}"

    def spread(one: Mapping[str, Any]) -> str:
        low, high = number(one.get("low"), percent), number(one.get("high"), percent)
        return f"[{low}, {high}]，{p_value(one.get('p_value'))}"

    against, gain = told["against"], told["gain"]
    size = amount(abs(gain))
    headline = {
        "helped": f"迁移有效：比 {against} 好 {size} {spread(told)}。",
        "negative transfer": f"负迁移：比 {against} 差 {size} {spread(told)}。",
    }.get(told["verdict"], f"与 {against} 没有可测得的差异：{signed(gain)} {spread(told)}。")
    parts = []
    chosen = str(told.get("chosen_on"))
    if told.get("split") == "valid":
        parts.append("没有测试行，因此在验证行上衡量。")
    if chosen == "test":
        parts.append("没有验证行，因此基线按测试行选定。")
    cheaper, probe = told.get("cheaper"), told.get("over_probe")
    parts += _better_on(metrics, chosen, percent)
    if probe and finite(probe.get("gain")) and not probe.get("low") == probe.get("high") == 0:
        clear = finite(probe.get("p_value")) and probe["p_value"] < 0.05
        if clear and probe["gain"] > 0:
            parts.append(f"相对冻结的 probe：{signed(probe['gain'])} {spread(probe)}。")
        elif clear and probe["gain"] < 0:
            parts.append(f"冻结的 probe 更好（{signed(probe['gain'])} {spread(probe)}）。")
        else:
            parts.append(f"冻结的 probe 在误差范围内同样好（{signed(probe['gain'])} {spread(probe)}）。")
    if cheaper:
        parts.append(f"更省的选择是 {cheaper}。")
    return headline, "".join(parts)


def _better_on(metrics: Mapping[str, Any], split: str, percent: bool) -> list[str]:
    """Return the sentence on a baseline that is better than the model on the rows it was chosen on."""
    primary = mapping(metrics.get("primary"))
    name = str(primary.get("name"))
    mine = mapping(mapping(mapping(metrics.get("metrics")).get(split)).get(name)).get("value")
    sign = 1 if primary.get("higher_is_better", True) else -1
    found = {
        who: value
        for who, by_split in mapping(metrics.get("baselines")).items()
        if finite(value := mapping(mapping(mapping(by_split).get(split)).get(name)).get("value"))
    }
    if not found or not finite(mine):
        return []
    best = max(found, key=lambda who: sign * found[who])
    if sign * found[best] <= sign * mine:
        return []
    rows = "验证行" if split == "valid" else "测试行"
    return [f"在{rows}上 {best} 更好（{number(found[best], percent)} 对 {number(mine, percent)}）。"]


def p_value(value: Any) -> str:
    """Return "p < 0.001" or "p = 0.123"."""
    if not finite(value):
        return "p = –"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
