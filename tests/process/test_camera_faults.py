"""Cameras that do not open, stop or send nonsense: each tells why, and is back when it is well.

All of them share one run with a good camera, which none of them disturbs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import textwrap
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from camera_runs import SOON, CameraRun, frames_rise
from clients import first
from fake_camera import FakeCamera, Frames, Garbage, Stall, Status
from faults import limits
from waiting import wait_until

from framefan_capture.camera import LEAST_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fake_camera import Step

pytestmark = pytest.mark.alone

WELL = Frames(fps=20)
WAITS_S = (LEAST_WAIT_S, 0.2, 0.4, 0.5)
"""What waits would be without jitter; the first is the shortest that there is."""
OWN = """
    import itertools, pathlib, time
    import numpy as np
    WELL = pathlib.Path({well!r})
    def it():
        for number in itertools.count():
            if not WELL.exists():
                {fault}
            yield np.full((24, 32, 3), number % 250, np.uint8)
            time.sleep(0.05)
    """


class Fault(msgspec.Struct, frozen=True):
    reason: str
    script: tuple[Step, ...] = ()
    """Of a fake camera."""
    protocol: str = "rtsp"
    listens: bool = True
    fault: str = ""
    """A statement of a py: source."""
    host: str = ""
    """Of an address that nobody can ever reach."""


FAULTS = {
    "never-answers": Fault("timeout", (Stall(),)),
    "stalls": Fault("timeout", (Frames(10, fps=100), Stall()), "http"),
    "closes": Fault("closed", (Frames(4, fps=100),)),
    "refuses": Fault("refused", listens=False),
    "unauthorised": Fault("unauthorised", (Status(401),)),
    "not-found": Fault("not_found", (Status(404),), "http"),
    "nonsense": Fault("unreadable", (Garbage(),)),
    "damaged": Fault("corrupt", (Frames(4), Frames(kind="noise")), "http"),
    "no-host": Fault("dns", host="camera.invalid"),
    "raises": Fault("source_failed", fault="raise OSError('the cable is out')"),
    "no-picture": Fault("source_failed", fault="yield 'no picture'"),
}


class Bench:
    """All those cameras in one run, and the way to make each of them well."""

    def __init__(
        self, folder: Path, ends: contextlib.ExitStack, env: dict[str, str] | None = None
    ) -> None:
        self._heal: dict[str, Callable[[], Any]] = {}
        tables = {name: self._table(name, fault, folder, ends) for name, fault in FAULTS.items()}
        self.run = CameraRun(folder, tables, env=limits(state_every_s=0.1) | (env or {}))
        self.shares: dict[str, float] = {}
        """Of one core, by camera, while all of them failed."""

    def heal(self, name: str) -> None:
        self._heal[name]()

    def _table(
        self, name: str, fault: Fault, folder: Path, ends: contextlib.ExitStack
    ) -> dict[str, Any]:
        if fault.host:
            return SOON | {"source": f"rtsp://{fault.host}/stream"}
        if fault.fault:
            well = folder / f"{name} is well"
            code = OWN.format(well=str(well), fault=fault.fault)
            (folder / f"{name}.py").write_text(textwrap.dedent(code))
            self._heal[name] = well.touch
            return SOON | {"source": f"py:{folder / name}.py:it"}
        camera = ends.enter_context(FakeCamera(fault.protocol, (160, 120)))
        camera.play(*fault.script)
        self._heal[name] = functools.partial(camera.play, WELL)
        if not fault.listens:
            camera.play(WELL)
            camera.kill()
            self._heal[name] = camera.start
        return SOON | {"source": camera.url}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with contextlib.ExitStack() as ends:
        bench = Bench(tmp_path_factory.mktemp("cameras"), ends)
        ends.enter_context(bench.run)
        bench.shares = bench.run.shares(list(FAULTS), 2.0)
        yield bench


def test_cameras_that_fail_again_and_again_cost_next_to_nothing(bench: Bench) -> None:
    assert all(share < 0.05 for share in bench.shares.values()), bench.shares


def test_a_client_is_told_why(bench: Bench) -> None:
    told = asyncio.run(first(bench.run.ws, 2 * len(FAULTS), "status"))
    failed = [each for each in told if each["state"] == "backoff"]
    assert {each["camera"] for each in failed} <= set(FAULTS)
    assert all(each["reason"] == FAULTS[each["camera"]].reason for each in failed)
    assert all(0 <= each["next_try_s"] <= SOON["backoff_cap_s"] for each in failed)
    assert len({each["camera"] for each in failed}) > 1


def test_waits_are_random(bench: Bench) -> None:
    assert_waits_are_diced(bench.run)


def assert_waits_are_diced(run: CameraRun) -> None:
    """Cameras that fail together do not come back together."""

    def waits() -> list[float]:
        return [each.next_try_s for name in FAULTS for each in run.statuses(name, "backoff")]

    wait_until(lambda: len(waits()) >= 5 * len(FAULTS), 15, "tries of all")
    diced = [wait for wait in waits() if min(abs(wait - whole) for whole in WAITS_S) > 0.003]
    assert len(diced) > len(waits()) / 4, waits()


@pytest.mark.parametrize("name", FAULTS)
def test_a_camera_reports_reason_and_next_try_and_recovers(bench: Bench, name: str) -> None:
    run, fault = bench.run, FAULTS[name]
    told = lambda: run.statuses(name, "backoff")  # noqa: E731
    wait_until(lambda: len(told()) >= 3, 15, f"tries of {name}: {run.story(name)}")
    assert {each.reason for each in told()} == {fault.reason}, told()
    assert all(each.message for each in told())
    waits = [each.next_try_s for each in told()]
    assert all(wait is not None and 0 < wait <= SOON["backoff_cap_s"] for wait in waits)
    assert_all_places_say(run, name, fault.reason)
    if not fault.host:
        bench.heal(name)
        run.wait_for(name, "live")
        run.wait_for_results(name)
        assert frames_rise(run.outcomes(name))
    assert run.camera(name).restarts == 0
    run.assert_good_is_unharmed()


def assert_all_places_say(run: CameraRun, name: str, reason: str) -> None:
    """The table of the HTTP interface, and the metrics; each is a little behind the others."""

    def table() -> bool:
        facts = run.get("/api/status")[1]["cameras"][name]
        return bool(facts["reason"] == reason and facts["state"] == "backoff" and facts["message"])

    wait_until(table, 5, f"/api/status: {reason}")
    labels = f'camera="{name}",reason="{reason}",state="backoff"'
    change = f"framefan_camera_state_changes_total{{{labels}}}"
    wait_until(lambda: change in run.get("/metrics")[1].decode(), 5, change)
