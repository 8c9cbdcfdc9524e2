"""What must not be lost with a worker: the ids of tracks, and the home of a camera's state."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from faults import limits, sabotage
from runs import Run, assert_balanced
from waiting import wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPES = Path(__file__).parents[2] / "examples" / "shapes" / "shapes.onnx"
OFTEN = limits(state_every_s=0.1, restart_first_s=0.2)
COUNTS = """
import os
class Counts:
    stateful = True
    def __init__(self):
        self.seen = {}
    def predict(self, image, frame):
        seen = self.seen.setdefault(frame.camera, [])
        seen.append(frame.frame)
        return {"pid": os.getpid(), "in_order": seen == sorted(seen)}
"""


@contextlib.contextmanager
def reading(run: Run) -> Iterator[Any]:
    """The next so many messages of a client that wants all of them."""
    with connect(f"{run.ws}?delivery=every", proxy=None) as client:

        def read(count: int) -> list[dict[str, Any]]:
            return [json.loads(client.recv(timeout=20)) for _ in range(count)]

        yield read


def kill_a_worker(run: Run, pid: int) -> None:
    psutil.Process(pid).kill()
    wait_until(lambda: all(w.pid != pid for w in run.fresh_state().workers), 5, "its end")
    wait_until(lambda: all(w.pid for w in run.fresh_state().workers), 10, "another one")


def assert_nothing_is_missing(messages: list[dict[str, Any]]) -> None:
    """Each seq is a message, or was told to be lost."""
    at: dict[str, int] = {}
    for each in messages:
        if each["type"] == "gap":
            at[each["camera"]] = each["last_seq"]
        elif each["type"] in ("result", "error"):
            camera, seq = each["camera"], each["seq"]
            assert at.get(camera, seq - 1) == seq - 1, each
            at[camera] = seq


def ids_by_label(messages: list[dict[str, Any]]) -> dict[tuple[str, str], set[int]]:
    ids: dict[tuple[str, str], set[int]] = {}
    for each in messages:
        for found in each.get("detections", ()):
            ids.setdefault((each["camera"], found["label"]), set()).add(found["track_id"])
    return ids


def track_over_a_kill(*arguments: str, env: dict[str, str] | None = None) -> None:
    cameras = ["a=demo?fps=15&seed=2&size=640x360", "b=demo?fps=15&seed=5&size=640x360"]
    with Run(*cameras, "-p", f"onnx:{SHAPES}", *arguments, env=OFTEN | (env or {})) as run:
        with reading(run) as read:
            wait_until(lambda: all(w.model for w in run.fresh_state().workers), 20, "both workers")
            messages = read(40)  # the other one goes on while the dead one's successor loads
            kill_a_worker(run, run.fresh_state().workers[0].pid)
            messages += read(60)
        assert_nothing_is_missing(messages)
        assert len({each["epoch"] for each in messages if each["type"] == "result"}) == 1
        ids = ids_by_label(messages)
        assert len(ids) == 12
        lost = sorted(thing for thing, each in ids.items() if len(each) > 1)
        assert not lost, f"their ids are lost: {lost}"
        assert len(set.union(*ids.values())) == 12, "two things share an id"
        assert_balanced(run.fresh_state())


def test_tracks_keep_their_ids_over_a_workers_death() -> None:
    track_over_a_kill("--track")


def test_a_tracker_without_a_memory_would_not(tmp_path: Path) -> None:
    code = """
import framefan_inference.tracking.tracker as m
go_on = m.Tracker._go_on
def forgetful(self, picture):
    go_on(self, picture)
    self.tracks = m.Tracks()
m.Tracker._go_on = forgetful
"""
    with pytest.raises(AssertionError, match="their ids are lost"):
        track_over_a_kill("--track", env=sabotage(tmp_path, "framefan_inference.main", code))


def test_a_camera_has_one_home_and_another_one_when_that_dies(tmp_path: Path) -> None:
    (tmp_path / "counts.py").write_text(COUNTS)
    cameras = [f"{name}=demo?size=160x120&fps=20" for name in "abcd"]
    with Run(*cameras, "-p", f"{tmp_path}/counts.py:Counts", "-w", "2", env=OFTEN) as run:
        wait_until(lambda: all(w.model for w in run.fresh_state().workers), 10, "both workers")
        with reading(run) as read:
            read(40)  # cameras that moved to the second one have done so
            before = homes(read(60))
            dead = before["a"]
            kill_a_worker(run, dead)
            messages = read(200)
        assert_nothing_is_missing(messages)
        after: dict[str, list[int]] = {}
        for each in messages:
            if each["type"] == "result":
                assert each["result"]["in_order"], each
                known = after.setdefault(each["camera"], [])
                if each["result"]["pid"] not in known[-1:]:
                    known.append(each["result"]["pid"])
        for camera, home in before.items():
            moves = [pid for pid in after[camera] if pid != home]
            assert dead not in after[camera][1:], "it came back to the dead"
            if home != dead:
                assert after[camera][0] == home, "it moved though its worker lives"
            assert len(moves) == len(set(moves)) <= 2, "a camera has more than one home"
        assert_balanced(run.fresh_state())


def homes(messages: list[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, set[int]] = {}
    for each in messages:
        if each["type"] == "result":
            found.setdefault(each["camera"], set()).add(each["result"]["pid"])
    assert all(len(pids) == 1 for pids in found.values()), found
    assert sorted(found) == list("abcd")
    assert len(set.union(*found.values())) == 2, "one worker has them all"
    return {camera: pids.pop() for camera, pids in found.items()}
