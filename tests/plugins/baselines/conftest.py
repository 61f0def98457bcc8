"""Rows of a task of written answers, and a baseline fitted on them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import Rows
from graftlm.core import registry


def rows_of(pairs, name="train"):
    numbers = [str(n) for n in range(len(pairs))]
    columns = {
        "source": [a for a, _ in pairs],
        "target": [b for _, b in pairs],
        "__id__": numbers,
        "__where__": numbers,
    }
    return Rows(name, pa.table(columns), "target", name)


@pytest.fixture
def written_baseline():
    """Return the function that fits a baseline on (source, target) pairs and gives it with the rows to be asked."""

    def make(name, train, asked, **fields):
        rows = rows_of(train)
        task = registry.make("task", "seq2seq")
        nothing = dict.fromkeys(("features", "probe", "scratch"))
        setting = BaselineSetting(task=task, space=task.space(rows), seed=0, **nothing)
        return registry.make("baseline", {"use": name, **fields}).fit(rows, setting), rows_of(asked, "test")

    return make
