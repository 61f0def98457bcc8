"""Errors: exit codes, near names, listings."""

from __future__ import annotations

import pytest

from graftlm.core import errors
from graftlm.core.errors import listing, near


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("GraftError", 1),
        ("UserError", 2),
        ("DataError", 2),
        ("RecipeError", 2),
        ("BundleError", 2),
        ("MissingPackage", 2),
        ("GateMissed", 3),
        ("Interrupted", 130),
    ],
)
def test_each_error_has_its_exit_code_and_one_base(name, code):
    fault = getattr(errors, name)
    assert fault.exit_code == code
    assert issubclass(fault, errors.GraftError)


def test_a_user_error_is_a_value_error_so_that_pydantic_reports_it_with_the_others():
    assert issubclass(errors.UserError, ValueError)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fulll", " Did you mean 'full'?"), ("prob", " Did you mean 'probe'?"), ("qqqq", ""), ("", "")],
)
def test_near(name, expected):
    assert near(name, ["full", "freeze", "probe"]) == expected


def test_listing_cuts_long_lists_and_counts_the_rest():
    assert listing([]) == ""
    assert listing(["a", "文本"]) == "'a', '文本'"
    assert listing([str(n) for n in range(15)], most=3) == "'0', '1', '2' and 12 more"
    assert listing(["a", "b", "c"], most=3) == "'a', 'b', 'c'"
