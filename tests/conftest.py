"""Groups of tests that need the system's help, and the rule that CI skips nothing."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import guards
import hypothesis
import pytest
from system_packages import GROUPS
from waiting import SCALE

IN_CI = os.environ.get("CI") == "true"
HERE = Path(__file__).parent
UNIT = HERE / "unit"
if not IN_CI:  # there Hypothesis has a profile of its own, which does the same
    # A busy machine is no reason to fail: examples have no deadline, tests do.
    hypothesis.settings.register_profile("here", deadline=None)
    hypothesis.settings.load_profile("here")
OPENCV = {
    f"test_{name}"
    for name in (
        *("network", "network_cameras", "network_pictures", "network_servers", "probe", "source"),
        *("size_changes", "video", "whitelists", "scene", "freeze_detector", "shrink", "camera"),
        *("motion_gate", "gated_camera", "chained"),
        *("codes", "health", "motion", "onnx_models", "previews", "worker", "predictor_calls"),
        "onnx_decoding",
    )
}
"""Files of unit tests whose subject calls OpenCV, whose lines differ."""
_THERE = {group.marker: functools.cache(group.there) for group in GROUPS}


def pytest_configure() -> None:
    """What the tests start has default signals, although pytest itself may have been started by
    `nohup` or in the background of a shell: a handler, unlike "ignore", is not inherited.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In pytest's place: a short path, since sockets have room for 107 bytes of it."""
    with tempfile.TemporaryDirectory(prefix="ff-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def guard_off(request: pytest.FixtureRequest) -> Iterator[None]:
    """The guard that this run of a test is without, if any: see guards.py."""
    off: guards.Off | None = getattr(request, "param", None)
    with guards.switched_off(off.switch, request.module) if off else contextlib.nullcontext():
        yield


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    guards.run_again_without(metafunc)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Guards are switched off for chosen cases; what calls OpenCV is part of the smaller set. On a
    busy machine a test is given more time before it counts as hanging.
    """
    items[:] = guards.chosen(items)
    usual_s = float(config.getini("timeout"))
    for item in items:
        own = item.get_closest_marker("timeout")
        limit_s = own.args[0] if own else usual_s
        item.add_marker(pytest.mark.timeout(limit_s * SCALE), append=False)
        if UNIT in item.path.parents and item.path.stem in OPENCV:
            item.add_marker(pytest.mark.smoke)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, there in _THERE.items():
        if item.get_closest_marker(marker) and not there():
            pytest.skip(f"{marker} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped with CI=true, where nothing may be: {report.longrepr}"
    return report
