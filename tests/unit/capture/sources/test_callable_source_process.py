"""Cameras that are a Python function of the user's, in real capture processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_pool import FakePool, balanced

from framefan.base import clock
from framefan_capture.main import PULSE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., FakePool]


COUNTED = """
    import time
    from framefan_capture.sources.scene import Scene
    def it():
        scene = Scene(320, 240)
        picture = np.zeros((240, 320, 3), np.uint8)
        for n in range({frames}):
            scene.draw(n, picture)
            yield picture, n / 10
            time.sleep({pause_s})
    """


def counted(frames: int, pause_s: float) -> str:
    return COUNTED.format(frames=frames, pause_s=pause_s)


def test_every_picture_comes_once_where_it_may_wait(start: Start, written: Any):
    pool = start(written(counted(50, 0)), mode="every", slots=2)
    pool.until(lambda p: p.state == "ended")
    assert pool.numbers == list(range(50))
    assert [ready.pts for ready in pool.ready] == [n / 10 for n in range(50)]
    assert (pool.status.no_slot, pool.status.captured) == (0, 50)


def test_in_live_it_is_drained_as_it_yields(start: Start, written: Any):
    pool = start(written(counted(10_000, 0.005)), slots=2)
    pool.free_at_once = False
    pool.until(lambda p: bool(p.statuses) and p.status.no_slot > 20)
    assert len(pool.ready) == 2
    pool.free_at_once = True
    pool.free(*pool.ready)
    pool.until(lambda p: len(p.ready) > 10)
    assert pool.numbers == [ready.frame for ready in pool.ready]
    pool.until(balanced)


def test_with_loop_it_is_called_again(start: Start, written: Any):
    pool = start(written(counted(5, 0)), mode="every", loop=True)
    pool.until(lambda p: len(p.ready) >= 20)
    assert pool.numbers == [n % 5 for n in range(len(pool.ready))]
    assert [ready.frame for ready in pool.ready] == list(range(len(pool.ready)))


def test_a_failure_before_the_first_picture_is_tried_again(
    start: Start, written: Any, tmp_path: Path
):
    text = written(f"""
        import pathlib
        def it():
            if not pathlib.Path({str(tmp_path / "there")!r}).exists():
                raise OSError("not there yet")
            while True:
                yield np.zeros((4, 6), np.uint8)
        """)
    pool = start(text, backoff_first_s=0.1, backoff_cap_s=0.2)
    pool.until(lambda p: p.state == "backoff")
    assert pool.status.reason == "source_failed"
    assert pool.status.message == "own.py:6: OSError: not there yet"
    assert pool.status.next_try_s is not None
    (tmp_path / "there").touch()
    pool.until(lambda p: p.state == "live")
    assert pool.fatal == []


def test_what_cannot_be_loaded_ends_the_run_only_the_first_time(start: Start, written: Any):
    text = written("1 / 0")
    pool = start(text)
    assert pool.until_exit() == 3
    assert "own.py:2: ZeroDivisionError" in pool.fatal[0].why
    later = start(text, backoff_first_s=0.1)
    later.first_frame = 100  # it had been live in an earlier process
    later.until(lambda p: p.state == "backoff")
    assert later.status.reason == "source_failed"
    assert "own.py:2: ZeroDivisionError" in later.status.message
    assert later.fatal == []


BLOCKED = """
    import pathlib, threading
    def it():
        pathlib.Path({there!r}).touch()
        threading.Event().wait()
    """


@pytest.mark.parametrize("how", ["message", "sigterm", "end of link"])
def test_one_that_never_answers_cannot_keep_the_process(
    start: Start, written: Any, tmp_path: Path, how: str
):
    there = tmp_path / "there"
    pool = start(written(BLOCKED.format(there=str(there))))
    pool.until(lambda p: there.exists())
    if how == "message":
        pool.stop()
    elif how == "sigterm":
        pool.child.terminate()
    else:
        pool.child.link.close()
        pool.supervisor_closed = True
    assert pool.until_exit(15) == 0


WITH_THREAD = """
    import threading
    def it():
        threading.Thread(target=threading.Event().wait).start()
        print("the camera's SDK is there")
        while True:
            yield np.zeros((4, 6), np.uint8)
    """


def test_a_thread_that_it_leaves_running_cannot_keep_the_process(start: Start, written: Any):
    pool = start(written(WITH_THREAD))
    pool.until(lambda p: len(p.ready) > 3)
    pool.stop()
    assert pool.until_exit() == 0


def test_nor_does_such_a_thread_change_the_exit_code(start: Start, written: Any):
    text = written("import threading\nthreading.Thread(target=threading.Event().wait).start()\n1/0")
    pool = start(text)
    assert pool.until_exit() == 3


def test_one_that_never_answers_makes_no_progress(start: Start, written: Any, tmp_path: Path):
    there = tmp_path / "there"
    pool = start(written(BLOCKED.format(there=str(there))))
    pool.until(lambda p: there.exists())
    pool.pump()
    heard, since = len(pool.progress), clock.now()
    pool.until(lambda p: clock.now() - since > 2 * PULSE_S + 0.5)
    assert len(pool.progress) == heard
    assert pool.child.process.poll() is None
