"""The page of a chain: what is remembered, in both languages."""

from __future__ import annotations

import pytest

from graftlm.report.chain import page

MATRIX = {"first": {"first": 0.9}, "<b>二</b>": {"first": 0.85, "<b>二</b>": 0.7}}
PRIMARY = {"primary": {"name": "accuracy", "percent": True}}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_figures_changes_and_both_languages(language):
    summary = {"backward_transfer": -0.05, "forgetting": 0.05, "forward_transfer": 0.02}
    html = page("a chain", MATRIX, dict.fromkeys(MATRIX, PRIMARY), summary, language)
    assert f'<html lang="{language}">' in html
    for part in (
        "90.0",
        "85.0",
        "<small>-5.0</small>",
        "backward transfer is -5.0 points",
        "平均后向迁移为 -5.0",
        "Forward transfer is +2.0 points",
        "平均前向迁移为 +2.0",
        "准确率",
    ):
        assert part in html
    assert "<b>" not in html
    assert "--heat: 15%" in html


def test_a_run_without_figures_and_a_plan_that_branches():
    html = page("a chain", {"a": {}, "b": {"b": 2.5}}, {"a": {}, "b": {"primary": {"name": "rmse"}}}, {})
    assert "2.500" in html
    assert "Over the chain" not in html
    assert 'aria-label="not judged"' in html
