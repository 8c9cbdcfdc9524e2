"""What would have kept a run from starting does not end one that has worked."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import psutil
from fakes_sources import make_mp4
from runs import Run, assert_balanced, assert_exactly_once
from waiting import wait_until

from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

SCENE = Scene(320, 240, seed=4)
OTHER = 'name = "b"\nsource = "demo?size=320x240"'


def configured(folder: Path, camera: str) -> list[str]:
    """Arguments for a run of that camera, named a, and of another one beside it."""
    path = folder / "framefan.toml"
    path.write_text(f'[[camera]]\nname = "a"\n{textwrap.dedent(camera)}\n[[camera]]\n{OTHER}\n')
    return ["--config", str(path)]


def assert_b_goes_on(run: Run) -> None:
    before = run.camera("b").results
    wait_until(lambda: run.camera("b").results > before + 30, 10, "the other camera's results")
    assert run.process.poll() is None
    assert_balanced(run.fresh_state())


def test_a_file_that_vanishes_and_a_capture_that_dies_hurt_no_other_camera(tmp_path: Path) -> None:
    movie = make_mp4(tmp_path / "a.mp4", SCENE, 60)
    camera = f'source = "{movie}"\nloop = true\nbackoff_cap_s = 1'
    with Run(*configured(tmp_path, camera)) as run:
        movie.rename(tmp_path / "elsewhere.mp4")
        psutil.Process(run.camera("a").pid).kill()
        wait_until(lambda: run.camera("a").reason == "not_found", 15, "a try in vain")
        assert_b_goes_on(run)
        assert run.camera("a").restarts == 1  # its process lives, and tries again
        assert "a.mp4 does not exist" in run.log()
        (tmp_path / "elsewhere.mp4").rename(movie)
        wait_until(lambda: run.camera("a").state == "live", 15, "the file again")


def test_a_file_worked_through_goes_on_where_its_killed_capture_was(tmp_path: Path) -> None:
    movie = make_mp4(tmp_path / "a.mp4", SCENE, 300, fps=100)
    with Run(*configured(tmp_path, f'source = "{movie}"\nmode = "every"')) as run:
        outcomes = run.results("a")
        for kill in range(2):
            wait_until(lambda n=kill: run.camera("a").results > 20 + 60 * n, 15, "some results")
            killed = run.camera("a").pid
            psutil.Process(killed).kill()
            wait_until(lambda n=kill: run.camera("a").restarts == n + 1, 15, "a death that counts")
            wait_until(lambda old=killed: run.camera("a").pid not in (0, old), 15, "a new capture")
        wait_until(lambda: run.camera("a").state == "ended", 30, "the end of the file")
        facts = run.camera("a")
        assert (facts.captured, facts.leased, facts.next_frame) == (300, 300, 300)
        seen = outcomes.read()
        assert_exactly_once(seen)
        frames = [outcome.frame for outcome in seen]
        assert frames == list(range(frames[0], 300))
        outcomes.close()
        assert_balanced(run.fresh_state())


STUCK = """
    import threading
    import numpy as np
    def it():
        yield np.zeros((24, 32), np.uint8)
        threading.Event().wait()
    """


def test_a_function_that_never_answers_is_killed_and_hurts_no_other_camera(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(textwrap.dedent(STUCK))
    camera = f'source = "py:{tmp_path / "own.py"}:it"\nno_progress_s = 2'
    with Run(*configured(tmp_path, camera)) as run:
        first = run.camera("a").pid
        wait_until(lambda: run.camera("a").restarts >= 1, 20, "its end")
        wait_until(lambda: run.camera("a").captured >= 2, 20, "a picture of the next process")
        assert run.camera("a").pid != first
        assert_b_goes_on(run)
        assert "no progress" in run.log()
