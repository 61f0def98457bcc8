"""The page: whole, self-contained, and safe with any text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftlm.report.page import page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \" ' & {{ 7*7 }}"


class Reader(HTMLParser):
    """Collects tags, attributes and text, and holds the nesting to account."""

    VOID = frozenset({"meta", "link", "img", "br", "line", "path", "rect", "circle", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.events, self.text = [], [], [], [], []
        self.ids, self.targets = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = [value for name, value in attrs if name in ("src", "href", "action", "xlink:href")]
        self.targets += [value[1:] for value in named if value.startswith("#")]
        self.links += [value for value in named if not value.startswith("#")]
        self.ids += [value for name, value in attrs if name == "id"]
        self.events += [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID and self.get_starttag_text()[-2:] != "/>":
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    return reader


def full(metrics, text="why was my card declined?"):
    return {
        "title": text,
        "metrics": metrics,
        "findings": [{"level": "warning", "code": "x", "message": text, "count": 4, "rows": [text] * 4}],
        "progress": [
            {"step": i, "epoch": i / 5, "loss": 1 / i, "rate": 0.1, "score": 0.5 if i % 3 == 0 else None}
            for i in range(1, 12)
        ],
        "details": {
            "labels": [text, "b"],
            "per_class": [
                {"label": name, "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4, "predicted": 2}
                for name in (text, "b")
            ],
            "confusion": [[0, 0, 3], [0, 1, 1], [1, 1, 5]],
            "never_seen": 2,
        },
        "wrong": [{"id": "1", "where": text, "text": text, "true": text, "predicted": "b", "probability": 0.99},
                  {"id": "2", "where": "", "text": "二", "true": "b", "predicted": text, "probability": None}],
        "data": {"train": 9002, text: 3},
        "recipe": f"data: {text}",
        "lineage": {"base": text},
    }  # fmt: skip


def test_the_verdict_comes_first_and_every_part_is_there(metrics):
    found = read(page(full(metrics)))
    text = " ".join(" ".join(found.text).split())
    assert text.index("Transfer helped by 3.9 points [3.0, 4.8] over tfidf, p < 0.001.") < text.index("accuracy %")
    for part in (
        "Over the frozen probe: +0.4 points.", "93.1", "[92.1, 94.1]", "Beside its baselines", "Learning curves",
        "Confusion matrix", "Most frequent mistakes", "By class", "Most confidently wrong", "9,002 training rows",
        "Where the time went", "1 min 32 s", "412 examples/s", "1.00 GiB", "cpu, bf16", "Recipe and lineage",
        "graftlm 0.1.0", "2 rows have labels", "迁移有效：比 tfidf 好 3.9 个百分点 [3.0, 4.8]", "混淆矩阵",
    ):  # fmt: skip
        assert part in text, part


def test_hostile_texts_stay_texts(metrics):
    metrics["transfer"]["sentence"] = HOSTILE
    plain, hostile = (read(page(full(metrics, text))) for text in ("harmless", HOSTILE))
    assert hostile.tags == plain.tags
    assert not hostile.events
    assert HOSTILE in "".join(hostile.text)
    assert (
        "49"
        not in "".join(hostile.text)
        .replace("[92.1, 94.1]", "")
        .split("Most frequent mistakes")[1]
        .split('"use strict"')[0]
    )


def test_nothing_comes_from_outside(metrics):
    html = page(full(metrics))
    assert not read(html).links
    assert not re.search(r"https?://|@import|url\(", html)
    assert "color-scheme: light dark" in html
    assert 'name="viewport"' in html


def test_a_run_without_judgement_has_a_page_too(bare):
    text = " ".join(read(page({"metrics": bare})).text)
    assert "not judged: there were no validation or test rows" in text


def test_a_run_without_baselines_says_so(metrics):
    metrics |= {"baselines": {}, "transfer": None}
    text = " ".join(read(page({"metrics": metrics})).text)
    assert "accuracy 93.1 % [92.2, 94.0]" in text
    assert "No baseline was asked for" in text
    assert "Beside its baselines" not in text


@pytest.mark.parametrize("classes", [2, 14, 77, 120, 121, 300])
def test_any_number_of_classes(metrics, classes):
    values = full(metrics)
    values["details"]["labels"] = [f"class {i}" for i in range(classes)]
    values["details"]["confusion"] = [[i, i, 3] for i in range(classes)]
    found = page(values)
    assert found.count('<rect class="right"') == min(classes, 160)
    assert (">class 1</text>" in found) == (classes <= 120)
    assert ('class="count' in found) == (classes <= 14)
    assert ("160 of 300 classes" in found) == (classes > 160)


def test_the_page_has_landmarks_names_and_a_place_for_every_link(metrics):
    html = page(full(metrics))
    found = read(html)
    assert {"main", "header", "footer", "nav"} <= set(found.tags)
    assert found.tags.count("h1") == 1
    assert len(found.ids) == len(set(found.ids))
    assert set(found.targets) <= set(found.ids)
    assert found.tags.count("caption") == found.tags.count("table")
    for tag in re.findall(r"<(?:svg|nav|section)[^>]*>", html):
        assert "aria-label" in tag, tag
    for tag in re.findall(r"<th\b[^>]*>", html):
        assert "scope=" in tag, tag
    for place in re.findall(r'<div class="scroll[^"]*"[^>]*>', html):
        assert "plain" in place or ('tabindex="0"' in place and "aria-label" in place), place


@pytest.mark.parametrize("language", ["en", "zh", "xx"])
def test_the_page_opens_in_a_language_and_holds_both(metrics, language):
    html = page({**full(metrics), "language": language})
    assert f'<html lang="{"en" if language == "xx" else language}">' in html
    assert html.count('class="en" lang="en"') == html.count('class="zh" lang="zh"') > 50


def test_other_tasks_show_what_they_give(metrics):
    details = {
        "tables": [{"title": "Errors by range", "columns": ["range", "rows"], "rows": [["0 to 1", 7]], "about": "why"}],
        "curves": [{"title": "Calibration", "x": "answered", "y": "true", "lines": [
            {"name": "model", "points": [[0, 0.1], [1, 0.9]]}, {"name": "ideal", "points": [[0, 0]]}]}],
        "per_class": [{"label": "PER", "recall": None, "threshold": 0.35}],
    }  # fmt: skip
    found = read(page({"metrics": metrics, "details": details, "wrong": [{"text": None, "true": [1, "B-PER"]}]}))
    text = " ".join(" ".join(found.text).split())
    for part in ("Errors by range", "0 to 1", "why", "Calibration", "ideal", "PER", "35.0", "1, B-PER"):
        assert part in text, part
    assert set(found.targets) <= set(found.ids)


def test_several_tasks_have_a_part_each(metrics):
    tasks = {"intent": metrics, "slots": {**metrics, "transfer": None}}
    details = {"intent": full(metrics)["details"], "slots": {"tables": [{"columns": ["a"], "rows": [[1]]}]}}
    found = read(page({"metrics": {"tasks": tasks, "timing": {}}, "details": details, "wrong": {"intent": []}}))
    assert found.tags.count("h1") == 1
    assert len(found.ids) == len(set(found.ids))
    assert set(found.targets) <= set(found.ids)


def joint(metrics, **gains):
    single = {
        name: {"gain": gain, "low": gain - 0.01, "high": gain + 0.01, "p_value": p, "hurt": gain < 0 and p < 0.05,
               "alone": {"value": 0.9, "percent": True}}
        for name, (gain, p) in gains.items()
    }  # fmt: skip
    progress = [
        {"step": n, "epoch": n, "loss": 1.0, "score": 0.5, "best": n == 2,
         **{f"{kind}/{name}": 0.1 * n for kind in ("loss", "weight", "score") for name in gains}}
        for n in (1, 2, 3)
    ]  # fmt: skip
    return {
        "metrics": {"tasks": dict.fromkeys(gains, metrics), "single": single, "timing": {}},
        "pages": {name: f"tasks/{name}/report.html" for name in gains},
        "progress": progress,
        "data": {name: {"train": 120} for name in gains},
    }


@pytest.mark.parametrize(
    ("gains", "said", "chinese", "tone"),
    [
        ({"a": (-0.05, 0.001), "b": (0.05, 0.001)}, "Training together hurt a.", "联合训练损害了 a。", "bad"),
        ({"a": (-0.05, 0.4), "b": (0.05, 0.001)}, "helped b and hurt none", "帮助了 b", "good"),
        ({"a": (-0.05, 0.4), "b": (0.05, 0.06)}, "measurably hurt none of 2 tasks", "2 个任务中的任何一个", "even"),
    ],
)
def test_several_tasks_begin_with_what_training_together_did(metrics, gains, said, chinese, tone):
    html = page(joint(metrics, **gains))
    found = read(html)
    text = " ".join(" ".join(found.text).split())
    for part in (said, chinese, "+5.0 [+4.0, +6.0]", "-5.0 [-6.0, -4.0]", "90.0", "a: 120 training rows", "step 2"):
        assert part in text, part
    assert f'class="verdict {tone}"><h1' in html
    assert html.count("data-chart>") == 3
    assert found.tags.count("h1") == 1
    assert len(found.ids) == len(set(found.ids))
    assert set(found.targets) <= set(found.ids)


def test_weights_that_never_move_are_not_drawn_and_losses_may_go_down(metrics):
    values = joint(metrics, a=(0.0, 1.0))
    for one in values["progress"]:
        one["weight/a"] = 1.0
        one["score/a"] = -0.3
    primary = {**metrics["primary"], "percent": False, "higher_is_better": False}
    values["metrics"]["tasks"]["a"] = {**metrics, "primary": primary}
    html = page(values)
    assert html.count("data-chart>") == 2
    assert '[480.0, 110.0, "3: 0.3"]' in html


def test_without_single_training_nothing_is_said_on_it(metrics):
    values = joint(metrics, a=(0.0, 1.0), b=(0.0, 1.0))
    del values["metrics"]["single"]
    text = " ".join(" ".join(read(page(values)).text).split())
    assert "2 tasks on one backbone" in text
    assert "evaluate.single" in text


KEYS = st.sampled_from(["label", "name", "points", "rows", "title", "columns", "lines", "x"])
HOLES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details=st.fixed_dictionaries({}, optional={
    key: st.lists(HOLES, max_size=3) for key in ("labels", "per_class", "confusion", "tables", "curves")}))  # fmt: skip
def test_no_details_break_a_page(metrics, details):
    read(page({"metrics": metrics, "details": details}))


@pytest.mark.parametrize("hole", [None, float("nan"), {}])
def test_no_hole_in_the_figures_breaks_a_page(metrics, hole):
    for path in (
        ("primary",), ("metrics",), ("metrics", "test"), ("metrics", "test", "accuracy"), ("baselines",), ("transfer",),
        ("baselines", "tfidf"), ("baselines", "tfidf", "test"), ("baselines", "tfidf", "test", "accuracy"), ("timing",),
        ("timing", "seconds"), ("timing", "peak_memory_bytes"), ("metrics", "test", "accuracy", "value"), ("versions",),
        ("metrics", "test", "log_loss", "low"), ("transfer", "p_value"), ("transfer", "gain"), ("primary", "n"),
    ):  # fmt: skip
        if isinstance(hole, float) and path[-1] not in ("value", "low", "p_value", "gain", "peak_memory_bytes"):
            continue
        tree = json.loads(json.dumps(metrics))
        place = tree
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = hole
        read(page({"metrics": tree}))
    keys = ("title", "findings", "progress", "details", "wrong", "data", "recipe", "lineage", "language")
    read(page({"metrics": metrics, **dict.fromkeys(keys, None if hole != hole else hole)}))


def test_the_largest_page_stays_below_two_megabytes(metrics):
    text = "字" * 600
    values = full(metrics, "x" * 300)
    size = 1500
    values["details"] = {
        "labels": [f"label number {i} of many" for i in range(size)],
        "confusion": [[i, (i * j) % size, 1 + j] for i in range(size) for j in range(12)],
        "per_class": [{"label": f"{i}", **{name: 0.5 for name in "abcdefgh"}} for i in range(size)],
        "tables": [{"columns": list("abcdef"), "rows": [["some words here"] * 6] * 5000}] * 20,
        "curves": [{"title": "c", "x": "x", "y": "y",
                    "lines": [{"name": f"{n}", "points": [[i, i * i] for i in range(10_000)]} for n in range(9)]}] * 6,
    }  # fmt: skip
    values["wrong"] = [{"id": "1", "text": text, "true": "a", "predicted": "b", "probability": 0.9}] * 50
    values["progress"] = [{"step": i, "loss": 1 / (i + 1), "score": i % 7} for i in range(50_000)]
    assert len(page(values).encode()) < 2_000_000
