"""Figures of written answers against sacrebleu and rouge-score."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from rouge_score import rouge_scorer

from graftlm.nn import ngrams

EN = [
    ("the cat sat on the mat", ["the cat sat on a mat", "a cat was on the mat"]),
    ("a dog barks loudly at 3.5 men, doesn't it?", ["the dog barks at 3.5 men, doesn't it?"]),
    ("", ["something"]),
    ("nothing shared here", ["one two three"]),
    ("Two young people walk along the road", ["Two young people are walking along the street today", "two people"]),
]
ZH = [
    ("今天天气很好，我们去公园。", ["今天的天气很好，我们去公园吧。"]),
    ("猫坐在 mat 上", ["猫坐在垫子上", "那只猫坐在 mat 上"]),
]
SETS = {"13a": EN, "zh": ZH, "char": ZH}


def columns(rows):
    """Return references as sacrebleu wants them: one list for each place, None where a row has fewer."""
    most = max(len(refs) for _, refs in rows)
    return [[refs[n] if n < len(refs) else None for _, refs in rows] for n in range(most)]


@pytest.mark.parametrize("cut", SETS)
def test_bleu_of_summed_counts_is_the_corpus_figure(cut):
    rows = SETS[cut]
    for part in (rows, rows[:1], rows[1:], rows[-2:], rows * 3):
        counts = np.array([ngrams.bleu_counts(answer, refs, cut) for answer, refs in part]).sum(axis=0)
        expected = sacrebleu.corpus_bleu([answer for answer, _ in part], columns(part), tokenize=cut).score
        assert 100 * ngrams.bleu(counts) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rows", [EN, ZH])
def test_chrf_of_summed_counts_is_the_corpus_figure(rows):
    for part in (rows, rows[:1], rows[1:], rows[-2:], rows * 3):
        counts = np.array([ngrams.chrf_counts(answer, refs) for answer, refs in part]).sum(axis=0)
        expected = sacrebleu.corpus_chrf([answer for answer, _ in part], columns(part)).score
        assert 100 * ngrams.chrf(counts) == pytest.approx(expected, abs=1e-6)


def test_answers_too_short_for_four_words_have_no_bleu():
    counts = np.array(ngrams.bleu_counts("a b", ["a b"], "13a"))
    assert ngrams.bleu(counts) == sacrebleu.corpus_bleu(["a b"], [["a b"]]).score == 0


def test_rouge_on_latin_letters_is_that_of_the_reference():
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    for answer, refs in EN:
        found = scorer.score_multi(refs, answer)
        expected = [found[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")]
        assert ngrams.rouge(answer, refs) == pytest.approx(expected, abs=1e-12)


def test_rouge_of_chinese_counts_characters():
    # by hand: 5 of 6 and 5 of 7 characters are shared, in order; 3 of 5 and 3 of 6 pairs of neighbours
    one, two, longest = ngrams.rouge("猫坐垫子上了", ["猫坐在垫子上吧"])
    assert one == longest == pytest.approx(2 * 5 / (6 + 7))
    assert two == pytest.approx(2 * 3 / (5 + 6))
    assert rouge_scorer.RougeScorer(["rouge1"]).score("猫坐", "猫坐")["rouge1"].fmeasure == 0


def test_words_of_scripts_with_and_without_spaces():
    assert ngrams.words("Zwei Männer, GPT-4 和 3 只猫_x") == [
        "zwei", "männer", "gpt", "4", "和", "3", "只", "猫", "x",
    ]  # fmt: skip


def test_the_tokeniser_follows_the_script():
    assert ngrams.cut_of(["a text", "Übung"]) == "13a"
    assert ngrams.cut_of(["今天天气 is fine"]) == "zh"
    assert ngrams.cut_of(["これはペンです"]) == "char"
    assert ngrams.cut_of([]) == "13a"


def test_the_signature_is_sacrebleus():
    metric = sacrebleu.BLEU(tokenize="zh")
    metric.corpus_score(["猫"], [["猫"]])
    assert ngrams.bleu_signature("zh", 1) == str(metric.get_signature())


def test_distinct_counts_different_runs_of_words():
    assert ngrams.distinct(["a b a b", "a c"], 1) == 3 / 6
    assert ngrams.distinct(["a b a b", "a c"], 2) == 3 / 4
    assert ngrams.distinct(["", "a"], 2) == 0
