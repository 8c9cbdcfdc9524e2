"""Who is started when, and who is spared: many children at once on a machine that is busy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framefan.base import host
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan.supervisor.listeners import Listeners
from framefan.supervisor.process_tree import ManagedChild, ProcessTree

CAMERAS = 12
CORES = 2


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessTree]:
    monkeypatch.setattr(host, "cores", lambda: CORES)
    names = [f"cam{number}" for number in range(CAMERAS)]
    rows = tuple(CameraSettings(name=name, source=SourceText("demo")) for name in names)
    with Listeners(Settings(cameras=rows, port=0), str(tmp_path)) as doors:
        yield ProcessTree(doors)


class Born:
    pid = 4711


def start(post: ManagedChild, now: float) -> None:
    child: Any = Born()
    post.child, post.is_up, post.started_at = child, False, now
    post.watch.started(now, child.pid)


def titles(posts: list[ManagedChild]) -> list[str]:
    return [post.watch.title for post in posts]


def test_few_captures_start_at_a_time_and_the_others_at_once(tree: ProcessTree) -> None:
    now, started = 100.0, []
    while len(started) < CAMERAS + 2:
        due = tree.due(now)
        captures = [title for title in titles(due) if title.startswith("capture")]
        assert len(captures) <= 2 * CORES
        if not started:
            assert {"pool", "gateway 1"} <= set(titles(due))
        for post in due:
            start(post, now)
        started += titles(due)
        assert tree.due(now) == [], "each is started once"
        if len(started) < CAMERAS + 2:
            assert tree.next_event(now) > now, "it does not look again and again"
        next(post for post in tree.captures.values() if post.is_coming_up(now)).is_up = True
        now += 0.1
    assert len(set(started)) == CAMERAS + 2
    assert now < 102.0


def test_who_waits_for_a_camera_that_does_not_answer_keeps_nobody_waiting_for_long(
    tree: ProcessTree,
) -> None:
    now, started = 100.0, 0
    while started < CAMERAS + 2:
        for post in tree.due(now):
            start(post, now)
            started += 1
        assert tree.next_event(now) <= now + 3.0 or started == CAMERAS + 2
        now = max(min(tree.next_event(now), now + 3.0), now + 0.01)
    assert now <= 100.0 + 3.1 * CAMERAS / (2 * CORES)


def test_a_child_that_works_is_not_killed_while_it_loads_but_not_for_ever(
    tree: ProcessTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = [0.0]
    monkeypatch.setattr(host, "cpu_s", lambda _: cpu[0])
    post = tree.pool
    start(post, 100.0)
    silence_s = post.watch.no_progress_s
    now, spared = 100.0, 0
    while True:
        now += silence_s + 0.1
        cpu[0] += 0.05 * silence_s
        assert post.watch.overdue(now)
        if not post.spare(now):
            break
        spared += 1
    assert 5 <= spared <= 10
    start(post, now)
    post.is_up = True
    cpu[0] += 9.0
    assert not post.spare(now + silence_s + 0.1), "its loop has come round once"
    start(post, now)
    assert not post.spare(now + 0.1) or not post.spare(now + 0.2), "it stands still"
