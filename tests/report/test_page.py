"""The page: whole, self-contained, and safe with any text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from graftlm.report.page import page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \" ' & {{ 7*7 }}"


class Reader(HTMLParser):
    """Collects tags, attributes and text, and holds the nesting to account."""

    VOID = frozenset({"meta", "link", "img", "br", "line", "path", "rect", "circle", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.events, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "xlink:href")]
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
        "Over the frozen probe: +0.4 points.", "93.1", "[92.1, 94.1]", "Beside its baselines", "Learning curve",
        "Confusion matrix",
        "Most frequent mistakes", "By class", "Most confidently wrong", "train 9,002", "Timing", "1 min 32 s",
        "412 examples/s", "1.00 GiB", "cpu, bf16", "Recipe and lineage", "graftlm 0.1.0", "2 rows have labels",
    ):  # fmt: skip
        assert part in text, part


def test_hostile_texts_stay_texts(metrics):
    metrics["transfer"]["sentence"] = HOSTILE
    plain, hostile = (read(page(full(metrics, text))) for text in ("harmless", HOSTILE))
    assert hostile.tags == plain.tags
    assert not hostile.events
    assert HOSTILE in "".join(hostile.text)
    assert "49" not in "".join(hostile.text).replace("[92.1, 94.1]", "").split("Recipe")[1]


def test_nothing_comes_from_outside(metrics):
    html = page(full(metrics))
    assert not read(html).links
    assert not re.search(r"https?://|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html
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


@pytest.mark.parametrize("classes", [2, 12, 24, 25, 300])
def test_any_number_of_classes(metrics, classes):
    values = full(metrics)
    values["details"]["labels"] = [f"class {i}" for i in range(classes)]
    values["details"]["confusion"] = [[i, i, 3] for i in range(classes)]
    found = page(values)
    assert found.count("data-c=") == classes
    assert (">class 1</text>" in found) == (classes <= 24)
    assert ('class="count' in found) == (classes <= 12)
