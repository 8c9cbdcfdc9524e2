"""What would have kept a run from starting does not end one that has worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
from fakes_sources import make_mp4
from runs import Run
from waiting import wait_until

from framefan_capture.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_vanishes_and_a_capture_that_dies_hurt_no_other_camera(tmp_path: Path) -> None:
    movie = make_mp4(tmp_path / "a.mp4", Scene(320, 240, seed=4), 60)
    with Run(f"a={movie}", "b=demo?size=320x240", "--loop") as run:
        movie.rename(tmp_path / "elsewhere.mp4")
        psutil.Process(run.camera("a").pid).kill()
        wait_until(lambda: run.camera("a").restarts >= 2, 15, "two tries in vain")
        before = run.camera("b").results
        wait_until(lambda: run.camera("b").results > before + 30, 10, "the other camera's results")
        assert run.process.poll() is None
        assert "a.mp4" in run.log()
