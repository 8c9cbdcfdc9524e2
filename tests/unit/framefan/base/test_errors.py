"""Three lines at most, exit codes by type."""

from __future__ import annotations

import pytest

from framefan import errors


def test_lines_are_what_why_and_what_to_do() -> None:
    error = errors.StartError("it broke", "a reason", "mend it")
    assert error.lines() == ["framefan: it broke", "  why: a reason", "  do:  mend it"]
    assert errors.RunError("it broke").lines() == ["framefan: it broke"]
    assert str(error) == "it broke"


def test_a_usage_error_always_has_three_lines() -> None:
    assert [len(errors.UsageError(*said).lines()) for said in (("x",), ("x", "y"))] == [3, 3]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2),
        (errors.StartError, 3),
        (errors.RingTooLarge, 3),
        (errors.RunError, 1),
        (errors.LinkClosed, 1),
    ],
)
def test_exit_codes(kind: type[errors.FramefanError], code: int) -> None:
    assert kind("x").exit_code == code


def test_an_exit_code_names_its_error() -> None:
    for code, kind in errors.BY_EXIT_CODE.items():
        assert kind("x").exit_code == code


def test_a_source_error_carries_its_reason() -> None:
    assert errors.SourceError("timeout", "no frame").reason == "timeout"


def test_every_error_stands_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.FramefanError):
            assert name in errors.__doc__, name
