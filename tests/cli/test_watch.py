"""Watching a run: plain lines where nobody sees a live one, and the log left as it was."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from graftlm.cli._watch import Screen
from graftlm.contracts.progress import Progress
from graftlm.contracts.values import Score
from graftlm.core import log


def step(number: int, **facts) -> Progress:
    return Progress(
        step=number, steps=20, epoch=number / 10, loss=0.5, rate=1e-3, examples_per_second=123.4, tokens_per_second=2e3,
        padding_share=0.0312, seconds_left=75.0, **facts,
    )  # fmt: skip


@pytest.fixture
def screen():
    made = Screen()
    made.console = Console(file=io.StringIO(), soft_wrap=True, highlight=False)
    return made


def said(screen) -> str:
    return screen.console.file.getvalue()


def test_plain_lines_have_the_figures(screen):
    with screen:
        screen.stage("train")
        screen.progress(step(10, score=Score(0.875), best=True))
    expected = (
        "train ...\n  step 10/20  loss 0.5000  validation 0.8750 (best)  123 examples/s  padding 3.1%  1:15 left\n"
    )
    assert said(screen) == expected


def test_plain_lines_are_few_but_for_scores_and_the_end(screen):
    with screen:
        for number in range(1, 20):
            screen.progress(step(number))
        screen.progress(step(20, last=True))
    assert [line.split()[1] for line in said(screen).splitlines()] == ["1/20", "20/20"]


def test_notes_and_warnings_are_shown_word_for_word(screen):
    with screen:
        log.note("chose [bold]bf16[/]")
        log.warn("two classes are missing")
    assert said(screen) == "  chose [bold]bf16[/]\n  warning: two classes are missing\n"


def test_the_log_is_left_as_it_was_even_after_a_fault(screen):
    logger = logging.getLogger("graftlm")
    before = (list(logger.handlers), logger.level, logger.propagate)

    def breaks():
        with screen:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_a_live_line_ends_with_the_run_however_it_ended(screen):
    screen.console = Console(file=io.StringIO(), force_terminal=True)

    def breaks():
        with screen:
            screen.progress(step(3))
            assert screen.live is not None
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks()
    assert screen.live is None
    assert said(screen).endswith("\x1b[?25h"), "the cursor is shown again"


def test_a_long_pass_over_rows_is_told_now_and_then(screen, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("graftlm.cli._watch.time.monotonic", lambda: clock[0])
    with screen:
        for done in range(0, 30):
            log.advance("reading", done * 1000)
            clock[0] += 1
        for done in range(0, 15):
            log.advance("tokenising train", done * 1000, 15000)
            clock[0] += 1
    assert said(screen) == (
        "  reading: 11,000 rows\n  reading: 22,000 rows\n  tokenising train: 11,000 of 15,000 rows\n"
    )
    log.advance("reading", 5)  # nobody hears it any more


def test_at_a_terminal_a_long_pass_has_a_bar(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("graftlm.cli._watch.time.monotonic", lambda: clock[0])
    made = Screen()
    made.console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with made:
        log.advance("checking train", 1, 4)
        assert made.live is None
        clock[0] += 2
        log.advance("checking train", 2, 4)
        assert made.live is not None
        log.advance("checking train", 4, 4)
        assert made.live is None
        made.progress(step(10))
    assert "checking train: 4 of 4 rows" in made.console.file.getvalue()
