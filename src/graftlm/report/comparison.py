"""The page of several runs side by side: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.report import charts, figures, tables, words
from graftlm.report.figures import mapping, number
from graftlm.report.rendering import render
from graftlm.report.tables import cell, score_cell, table
from graftlm.report.verdicts import p_value
from graftlm.report.words import Both, both, say

SIGNIFICANT = 0.05


def page(values: Mapping[str, Any]) -> str:
    """Return the page.

    ```
    language      what it opens in
    names         one for each run
    comparison    runs, split, metric, values, higher_is_better, percent, test, rows
    pairs         [{names: [first, second], gain, low, high, p_value, p_holm}]
    metrics       for each run {scores: {name: score}, timing}
    progress      for each run [{step, epoch, loss, score}]
    recipes       for each run {path: value}
    disagreement  {all, count, judged, rows: [{where, text, truth, answers: [{answer, right}]}]}
    why_no_texts  why the rows' texts are not there, or ""
    ```
    """
    names, found, pairs = values["names"], values["comparison"], values["pairs"]
    metric = words.metric(found["metric"], {"percent": found["percent"]})
    scores = [mapping(one).get("scores") or {} for one in values["metrics"]]
    primary = [
        (both(name), one.get(found["metric"]) or {"value": value, "percent": found["percent"]})
        for name, one, value in zip(names, scores, found["values"], strict=True)
    ]
    about = "differences_about" if len(pairs) > 1 else "differences_about_one"
    sign = 1 if found["higher_is_better"] else -1
    ranked = sorted(range(len(names)), key=lambda n: -sign * found["values"][n])
    return render(
        "compare.html.j2",
        language=values.get("language") or "en",
        title=" · ".join(names),
        headline=_headline(names, ranked, pairs, found),
        rows=say("compare_rows", metric=metric, n=f"{found['rows']:,}", split=found["split"]),
        bars=charts.bars_of([primary[n] for n in ranked], percent=found["percent"]),
        scores=_scores(names, ranked, scores, primary, found),
        pairs=_pairs(pairs, found) if pairs else None,
        pairs_about=say(about, test=found["test"], n=len(pairs)),
        curves=_curves(names, values["progress"], metric, found["percent"]),
        recipes=_recipes(names, values["recipes"]),
        disagreement=_disagreement(names, values["disagreement"]),
        disagreement_about=_about(values["disagreement"]),
        why=say("no_texts", why=values["why_no_texts"]) if values.get("why_no_texts") else None,
    )  # fmt: skip


def _amount(value: float, found: Mapping[str, Any]) -> Both:
    text = number(abs(value), found["percent"])
    return say("points", n=text) if found["percent"] else both(text)


def _headline(names: Sequence[str], ranked: Sequence[int], pairs: Sequence[Any], found: Mapping[str, Any]) -> Both:
    if len(names) == 2:
        pair = pairs[0]
        first, second = pair["names"] if pair["gain"] >= 0 else pair["names"][::-1]
        low, high = sorted((abs(pair["low"]), abs(pair["high"]))) if pair["low"] * pair["high"] > 0 else (
            (pair["low"], pair["high"]) if pair["gain"] >= 0 else (-pair["high"], -pair["low"])
        )  # fmt: skip
        spread = figures.interval({"low": low, "high": high}, percent=found["percent"])
        key = "compare_best" if pair["p_value"] < SIGNIFICANT and pair["gain"] else "compare_none"
        gain = _amount(pair["gain"], found)
        return say(key, first=first, second=second, gain=gain, interval=spread, p=p_value(pair["p_value"]))
    best = names[ranked[0]]
    better = 0
    for pair in pairs:
        if best in pair["names"] and pair["p_holm"] < SIGNIFICANT:
            better += (pair["gain"] > 0) == (pair["names"][0] == best)
    return say("compare_several", first=best, n=len(names), better=better)


def _scores(
    names: Sequence[str], ranked: Sequence[int], scores: Sequence[Any], primary: Sequence[Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every figure of every run."""
    columns = list(dict.fromkeys([found["metric"], *(name for one in scores for name in one)]))
    known = {name: next((one[name] for one in scores if name in one), primary[0][1]) for name in columns}
    rows = []
    for n in ranked:
        mine = {found["metric"]: primary[n][1], **scores[n]}
        rows.append([cell(names[n]), *(score_cell(mine.get(name)) for name in columns)])
    return table(say("side_by_side"), [say("run"), *(words.metric(n, known[n]) for n in columns)], rows, sortable=True,
                 titled=True)  # fmt: skip


def _pairs(pairs: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> dict[str, Any]:
    percent = found["percent"]
    names = ["first", "second", "difference", "interval", "p", *(["p_holm"] if len(pairs) > 1 else [])]
    rows = []
    for pair in pairs:
        shown = f"{pair['gain']:+.3f}" if not percent else f"{100 * pair['gain']:+.1f}"
        row = [cell(pair["names"][0]), cell(pair["names"][1]), cell(pair["gain"], text=shown),
               cell(None, text=figures.interval(pair, percent=percent)),
               cell(pair["p_value"], text=p_value(pair["p_value"])[2:].removeprefix("= "))]  # fmt: skip
        if len(pairs) > 1:
            row.append(cell(pair["p_holm"], text=p_value(pair["p_holm"])[2:].removeprefix("= ")))
        rows.append(row)
    return table(say("differences"), [words.column(name) for name in names], rows, sortable=True, titled=True)


def _curves(names: Sequence[str], progress: Sequence[Any], metric: Both, percent: bool) -> list[dict[str, Any]]:
    def drawn(key: str) -> list[tuple[str, list[Any]]]:
        return [
            (name, [(one.get("step"), one.get(key)) for one in history])
            for name, history in zip(names, progress, strict=True)
        ]

    judged = say("validation_metric", name=metric)
    found = [
        charts.lines(drawn("loss"), x=say("step"), y=say("training_loss"), zero=True),
        charts.lines(drawn("score"), x=say("step"), y=judged, percent=percent),
    ]
    return [one for one in found if one is not None]


def _recipes(names: Sequence[str], recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what differs, or None where nothing does."""
    paths = list(dict.fromkeys(path for one in recipes for path in one if path != "out"))
    rows = []
    for path in paths:
        given = [tables.words(one.get(path)) for one in recipes]
        if len(set(given)) > 1:
            rows.append([{**cell(path), "code": True}, *(cell(value) for value in given)])
    if not rows:
        return None
    return table(say("recipes"), [words.column("key"), *names], rows, titled=True)


def _disagreement(names: Sequence[str], found: Mapping[str, Any]) -> dict[str, Any] | None:
    rows = []
    for one in found["rows"]:
        row = [cell(one["where"], quiet=True)]
        if any(each["text"] for each in found["rows"]):
            row.append({**cell(None, text=one["text"] or "–"), "long": True})
        row.append(cell(tables.words(one["truth"])))
        for answer in one["answers"]:
            said = both(tables.words(answer["answer"]))
            if answer["right"] is None:
                row.append(cell(None, text=said))
            else:
                word = say("right" if answer["right"] else "wrong_word")
                row.append({**cell(None, text=said), "verdict": word, "right": answer["right"]})
        rows.append(row)
    if not rows:
        return None
    titles = [words.column("row"), *([words.column("text")] if len(rows[0]) > 2 + len(names) else []),
              words.column("true"), *names]  # fmt: skip
    return table(say("disagree"), titles, rows, sortable=True, tall=True, titled=True)


def _about(found: Mapping[str, Any]) -> Both:
    if not found["count"]:
        return say("disagree_none")
    key = "disagree_about" if found["judged"] else "disagree_answers"
    return say(key, n=f"{found['count']:,}", all=f"{found['all']:,}", shown=f"{len(found['rows']):,}")
