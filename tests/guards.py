"""Guards switched off on purpose: the tests that a switch names have to fail then.

A test of guard_table.py runs twice in one session: as it stands, and once more for each of its
switches, with that guard replaced before the test begins. The second run must fail, and fail with
the words that the table watch_replay; so a guard that no test would miss fails the suite.

With FRAMEFAN_TEST_KEEP_GUARDS=1 the second runs keep their guard, and have to pass: a test that
fails then misses no guard, but only the time that it is not given.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import pytest
import waiting
from faults import sabotage
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
KEEP = os.environ.get("FRAMEFAN_TEST_KEEP_GUARDS") == "1"
_WAIT = ("gateway_server", "talk", "peers", "staged_run")
_WAITING = ("SCALE", "WAIT_S", "DEADLINE_S")
_FAREWELL = "framefan_gateway.server._FAREWELL_S"
_NAMES = {"ANY": mock.ANY, "SimpleNamespace": SimpleNamespace, "contextlib": contextlib}
_IN_CHILDREN = """
import importlib
m = importlib.import_module({module!r})
*way, last = {path!r}.split(".")
for each in way:
    m = getattr(m, each)
real = m.__dict__.get(last) if isinstance(m, type) else getattr(m, last)
setattr(m, last, {instead})
"""


class Switch(NamedTuple):
    name: str
    of: str
    """MODULE:ATTRIBUTE, what the guard is made of."""
    instead: str
    """The expression that takes its place; in it, `real` is what was there."""
    seen: str
    """What is seen then."""
    fails: str
    """What the failure says: a regular expression."""
    tests: tuple[str, ...]
    """As in fault_rows.py, each perhaps with the [id] of the one case to run."""
    process: str = ""
    """The guard is in processes started as `-m PROCESS`, not in the test's own."""
    also: tuple[tuple[str, str], ...] = ()
    """More of what it is made of, and what takes its place: as in `of` and `instead`."""

    patience: float = 0.07
    """What would take the test's whole patience is believed after this much of it."""

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        return ((self.of, self.instead), *self.also)


class Off(NamedTuple):
    """One test without one guard."""

    switch: Switch
    case: str


@cache
def switches_of(test: str) -> tuple[Off, ...]:
    """The switches of a test, named by its file under tests/ and its function."""
    from guard_table import SWITCHES

    found = []
    for switch in SWITCHES:
        for each in switch.tests:
            name, _, case = each.partition("[")
            if name == test:
                found.append(Off(switch, case.removesuffix("]")))
    return tuple(found)


def run_again_without(metafunc: pytest.Metafunc) -> None:
    """Parametrise a test of the table by its guards: none is off, and then each of them."""
    file = Path(metafunc.module.__file__).relative_to(HERE).with_suffix("")
    found = switches_of(f"{file.as_posix()}::{metafunc.function.__name__}")
    if found:
        plain = pytest.param(None, id=pytest.HIDDEN_PARAM)
        without = [pytest.param(o, id=f"without-{o.switch.name}", marks=_marks(o)) for o in found]
        metafunc.parametrize("guard_off", [plain, *without], indirect=True)


def _marks(off: Off) -> list[pytest.MarkDecorator]:
    kinds = (AssertionError, pytest.fail.Exception, TimeoutError, ConnectionClosed)
    red = pytest.RaisesExc(kinds, match=off.switch.fails)
    return [
        pytest.mark.xfail(not KEEP, strict=True, raises=red, reason=off.switch.seen),
        # What a test that failed halfway left open is no trouble of ours.
        pytest.mark.filterwarnings("ignore::ResourceWarning"),
        pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    ]


def chosen(items: list[pytest.Item]) -> list[pytest.Item]:
    """Without the cases that the table does not mean, of tests with several."""
    kept, left_out = [], {}
    for item in items:
        spec = getattr(item, "callspec", None)
        off: Off | None = spec.params.get("guard_off") if spec else None
        if spec is None or off is None or not off.case:
            kept.append(item)
            continue
        key = (item.path, off)
        if spec.id == f"{off.case}-without-{off.switch.name}":
            kept.append(item)
            left_out[key] = -len(items)
        else:
            left_out[key] = left_out.get(key, 0) + 1
    for (path, off), count in left_out.items():
        if count > 1:  # or just one was asked for on the command line
            raise pytest.UsageError(f"{off.switch.name}: {path.name} has no case [{off.case}]")
    return kept


@contextlib.contextmanager
def switched_off(switch: Switch, module: ModuleType) -> Iterator[None]:
    """Without this guard, for a test of this module, and with less patience."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        for each in {
            waiting,
            module,
            *(sys.modules[name] for name in _WAIT if name in sys.modules),
        }:
            for name in _WAITING:
                if hasattr(each, name):
                    patch.setattr(each, name, getattr(each, name) * switch.patience)
        if "framefan_gateway.server" in sys.modules:
            patch.setattr(_FAREWELL, 0.1)  # to clients that such a test left behind
        for of, instead in () if KEEP else switch.parts:
            if switch.process:
                for key, value in _off_in_children(switch.process, of, instead, folder).items():
                    patch.setenv(key, value)
            else:
                _off_here(of, instead, module, patch)
        gc.freeze()
        yield
        # What the failed test held is let go here, where its warnings are not counted.
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)
        gc.collect()
        gc.unfreeze()


def _off_here(of: str, instead: str, module: ModuleType, patch: pytest.MonkeyPatch) -> None:
    name, _, path = of.partition(":")
    *way, last = path.split(".")
    owner: Any = importlib.import_module(name)
    for each in way:
        owner = getattr(owner, each)
    real = vars(owner)[last] if isinstance(owner, type) else getattr(owner, last)
    made = eval(instead, _NAMES | {"real": real})
    patch.setattr(owner, last, made)
    if not isinstance(real, ModuleType) and vars(module).get(last) is real:
        patch.setattr(module, last, made)  # the test imported it by its name


def _off_in_children(process: str, of: str, instead: str, folder: str) -> dict[str, str]:
    name, _, path = of.partition(":")
    code = _IN_CHILDREN.format(module=name, path=path, instead=instead)
    return sabotage(Path(folder), process, code)
