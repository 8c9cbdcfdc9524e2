"""A guard that is off is off where it should be, and on again afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import guards
import pytest
import waiting
from guards import Off, Switch, switched_off
from waiting import pause

from framefan.base import clock

HERE = sys.modules[__name__]


def switch(of: str, instead: str, **more: Any) -> Switch:
    return Switch("x", of, instead, "it is seen", "words", (), **more)


def test_it_is_off_here_by_every_name_and_on_again_afterwards() -> None:
    scale = waiting.SCALE
    with switched_off(switch("waiting:pause", "lambda *_: real.__name__"), HERE):
        assert waiting.pause() == HERE.pause() == "pause"  # type: ignore[func-returns-value]
        assert scale > waiting.SCALE
    assert waiting.pause is HERE.pause is pause
    assert scale == waiting.SCALE


def test_several_parts_go_together() -> None:
    before = clock.now, clock.wall
    with switched_off(
        switch(
            "framefan.base.clock:now",
            "lambda: 7",
            also=(("framefan.base.clock:wall", "lambda: 8"),),
        ),
        HERE,
    ):
        assert (clock.now(), clock.wall()) == (7, 8)
    assert (clock.now, clock.wall) == before


def test_in_children_it_is_off_in_those_that_are_named() -> None:
    def said(*code: str) -> str:
        run = [sys.executable, *code]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout

    asked = "import framefan.base.clock as c; print(c.now() == 7)"
    with switched_off(switch("framefan.base.clock:now", "lambda: 7", process="-c"), HERE):
        assert clock.now() != 7
        assert said("-c", asked) == "True\n"
    with switched_off(switch("framefan.base.clock:now", "lambda: 7", process="other"), HERE):
        assert said("-c", asked) == "False\n"


def item(case: str, guard: Off | None) -> Any:
    name = f"{case}-without-x" if guard else case
    spec = SimpleNamespace(id=name, params={"guard_off": guard})
    return SimpleNamespace(path=Path("test_it.py"), callspec=spec)


def test_of_several_cases_the_one_that_is_named_is_run() -> None:
    off = Off(switch("a:b", "c"), "two")
    items = [item(case, guard) for case in ("one", "two") for guard in (None, off)]
    assert guards.chosen(items) == [items[0], items[2], items[3]]
    assert guards.chosen(items[1:2]) == []
    every = Off(off.switch, "")
    items = [item(case, every) for case in ("one", "two")]
    assert guards.chosen(items) == items


def test_a_case_that_is_not_there_is_a_mistake() -> None:
    off = Off(switch("a:b", "c"), "three")
    with pytest.raises(pytest.UsageError, match="three"):
        guards.chosen([item("one", off), item("two", off)])
