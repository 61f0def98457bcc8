"""Both languages: whole, alike in their gaps, and chosen by data and machine."""

from __future__ import annotations

import string

import pytest

from graftlm.contracts.task import Task
from graftlm.core import registry
from graftlm.report import verdicts, words
from graftlm.report.vocabulary import COLUMNS, METRICS, SENTENCES, STAGES


def fields(text):
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


def han(text):
    return any("\u4e00" <= sign <= "\u9fff" for sign in text)


@pytest.mark.parametrize("key", SENTENCES)
def test_both_languages_say_the_same_values(key):
    english, chinese = SENTENCES[key]
    assert fields(english) == fields(chinese)
    assert not han(english)
    assert han(chinese) or not any(sign.isalpha() for sign in string.Formatter().vformat(english, range(9), Gaps()))


class Gaps(dict):
    def __missing__(self, key):
        return ""


def test_other_words_are_chinese_too():
    assert all(han(chinese) or chinese in ("p", "p（Holm）") for _, chinese in [*STAGES.values(), *COLUMNS.values()])
    for task in registry.names("task"):
        loaded = registry.load("task", task)
        assert issubclass(loaded, Task)
        for metric in loaded.metrics:
            assert words.metric(metric.name).zh  # the English name where the vocabulary lacks it
    assert METRICS["accuracy"] == "准确率"


@pytest.mark.parametrize(
    ("wanted", "texts", "lang", "chosen"),
    [
        ("zh", ["plain English"], "en_US.UTF-8", "zh"),
        ("en", ["中文"], "zh_CN.UTF-8", "en"),
        ("auto", ["这家酒店很好", "OK"], "en_US.UTF-8", "zh"),
        ("auto", ["plain English"], "en_US.UTF-8", "en"),
        ("auto", ["plain English"], "zh_CN.UTF-8", "zh"),
        ("auto", [], "C", "en"),
    ],
)
def test_the_language_follows_the_wish_then_the_data_then_the_machine(monkeypatch, wanted, texts, lang, chosen):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", lang)
    assert words.choose(wanted, texts) == chosen


def test_the_verdict_is_told_in_both_languages(metrics):
    metrics["transfer"]["over_probe"] = {
        "gain": 0.004,
        "low": -0.005,
        "high": 0.012,
        "p_value": 0.413,
        "n": 9,
        "test": "",
    }
    metrics["transfer"]["cheaper"] = "probe"
    headline, rest = verdicts.sentences(metrics)
    assert headline.en == "Transfer helped by 3.9 points [3.0, 4.8] over tfidf, p < 0.001."
    assert headline.zh == "迁移有效：比 tfidf 好 3.9 个百分点 [3.0, 4.8]，p < 0.001。"
    assert rest.zh == "冻结的 probe 在误差范围内同样好（+0.4 个百分点 [-0.5, 1.2]，p = 0.413）。更省的选择是 probe。"
    metrics["transfer"] |= {"verdict": "negative transfer", "gain": -0.02, "low": -0.03, "high": -0.01}
    assert verdicts.sentences(metrics)[0].zh == "负迁移：比 tfidf 差 2.0 个百分点 [-3.0, -1.0]，p < 0.001。"
    metrics["baselines"]["tfidf"]["valid"]["accuracy"]["value"] = 0.95
    assert "在验证行上 tfidf 更好（95.0 对 92.0）。" in verdicts.sentences(metrics)[1].zh


def test_a_verdict_without_figures_stays_as_it_is_told():
    assert verdicts.sentences({"transfer": {"sentence": "Only this."}})[0].zh == "Only this."
    assert verdicts.sentences({"transfer": None}) is None
