"""Metrics of the user's own: a function of truths and answers, by import path or as it is."""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from graftlm.contracts.values import Score
from graftlm.core import log, seeds
from graftlm.core.errors import UserError, near
from graftlm.nn.resampling import bootstrap_rows, percentile_interval

_SECONDS = 10.0  # for the interval of one metric


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A named function `f(true: list, predicted: list) -> float`.

    Higher is better, unless the function has an attribute `higher_is_better = False`.
    """

    name: str
    function: Callable[[list[Any], list[Any]], float]

    @property
    def higher_is_better(self) -> bool:
        """Tell which way the metric points."""
        return bool(getattr(self.function, "higher_is_better", True))

    def value(self, true: list[Any], predicted: list[Any]) -> float:
        """Call the function.

        Raises:
            UserError: it raises, or returns anything but a number.
        """
        try:
            found = self.function(true, predicted)
        except Exception as fault:
            raise UserError(
                f"Your metric '{self.name}' failed on {len(true)} rows with {type(fault).__name__}: {fault}. "
                "It is called as f(true: list, predicted: list) and must return a number."
            ) from fault
        if isinstance(found, np.generic):
            found = found.item()
        if not isinstance(found, Real):
            raise UserError(
                f"Your metric '{self.name}' must return a number; it returned {type(found).__name__}: {found!r:.80}."
            )
        return float(found)

    def score(self, true: Sequence[Any], predicted: Sequence[Any], *, resamples: int, seed: int) -> Score:
        """Return the value with its bootstrap interval; a slow function gets fewer resamples, or no interval.

        Raises:
            UserError: the function fails, or gives no finite number on all rows.
        """
        started = time.perf_counter()
        value = self.value(list(true), list(predicted))
        seconds = time.perf_counter() - started
        if not math.isfinite(value):
            raise UserError(f"Your metric '{self.name}' must return a finite number; it returned {value}.")
        count = int(min(resamples, _SECONDS / max(seconds, 1e-9)))
        if count < 100:
            log.note(f"Metric '{self.name}' takes {seconds:.2f} s a call: told without an interval.")
            return Score(value, None, None, len(true), self.higher_is_better)
        draws = []
        for rows in bootstrap_rows(len(true), count, seed=seeds.child(seed, "bootstrap")):
            numbers = rows.tolist()
            draws.append(self.value([true[i] for i in numbers], [predicted[i] for i in numbers]))
        finite = [draw for draw in draws if math.isfinite(draw)]
        if len(finite) < 0.95 * len(draws):
            log.note(f"Metric '{self.name}' has no value on {len(draws) - len(finite)} of {len(draws)} resamples.")
            return Score(value, None, None, len(true), self.higher_is_better)
        return Score(value, *percentile_interval(finite), len(true), self.higher_is_better)


def own_metric(given: str | Callable[[list[Any], list[Any]], float]) -> OwnMetric:
    """Return the user's metric from an import path "package.module:function", or from the function.

    Modules beside the current folder are found too.

    Raises:
        UserError: the path has another form, or leads nowhere, or to something that cannot be called.
    """
    if not isinstance(given, str):
        if not callable(given):
            raise UserError(f"A metric must be a function or 'package.module:function'; got {given!r}.")
        return OwnMetric(getattr(given, "__name__", type(given).__name__), given)
    module_name, colon, name = given.partition(":")
    if not (module_name and colon and name):
        raise UserError(f"A metric is named as 'package.module:function'; got '{given}'.")
    module = _imported(module_name, given)
    if not hasattr(module, name):
        known = [item for item, value in vars(module).items() if callable(value) and not item.startswith("_")]
        raise UserError(f"Metric '{given}': the module '{module_name}' has no function '{name}'.{near(name, known)}")
    function = getattr(module, name)
    if not callable(function):
        raise UserError(f"Metric '{given}': '{name}' is not a function but {type(function).__name__}.")
    return OwnMetric(name, function)


def _imported(module: str, given: str) -> Any:
    folder = os.getcwd()  # the command's own path holds the folder of the script, not the user's
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module)
    except Exception as fault:
        raise UserError(
            f"Metric '{given}': the module '{module}' cannot be imported from {folder} or the installed packages "
            f"({type(fault).__name__}: {fault})."
        ) from fault
    finally:
        if added:
            sys.path.remove(folder)
