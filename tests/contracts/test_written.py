"""What tasks of written answers share."""

from __future__ import annotations

import sys

import pytest
import torch

from graftlm.contracts import written
from graftlm.core.errors import MissingPackage


def test_right_answers_are_one_text_or_several():
    assert written.references("a") == ["a"]
    assert written.references(["a", " ", None, "b"]) == ["a", "b"]
    assert written.references(None) == written.references(" ") == written.references([]) == []


@pytest.mark.parametrize("package", ["sacrebleu", "rouge_score"])
def test_a_missing_package_names_its_install_command(monkeypatch, package):
    written.installed()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=r"pip install 'graftlm\[generation\]'"):
        written.installed()


def test_labels_are_padded_with_what_counts_nowhere():
    assert torch.equal(written.stacked([[1, 2], [3], []]), torch.tensor([[1, 2], [3, -100], [-100, -100]]))


def test_figures_of_what_answers_do_not_have_are_none():
    import numpy as np

    bare = {"nll": np.zeros(3)}
    assert all(np.isnan(metric.compute(bare)) for metric in (written.ROUGE_L, written.EXACT))
    assert written.EXACT.hits(bare).all()
