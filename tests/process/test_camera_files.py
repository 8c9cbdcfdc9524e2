"""Files of all shapes, worked through to their ends; and those that are no videos, or not ours."""

from __future__ import annotations

import os
import struct
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from camera_runs import write_config
from fake_camera import FakeCamera
from fakes_sources import make_mp4, make_video
from runs import Run, assert_exactly_once, framefan

from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

SCENE = Scene(320, 240, seed=3)
SHAPES = {"grey": (24, 32), "four-channels": (24, 32, 4), "one-pixel": (1, 1, 3)}
PICTURES = 5
OWN = """
import numpy as np
def it():
    yield from np.zeros((5, 24, 32), np.uint8)
"""
VIDEO = 20


def make_images(folder: Path, count: int, shape: tuple[int, ...]) -> str:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.full(shape, number * 20, np.uint8))
    return str(folder / "*.png")


def make_liar(path: Path) -> Path:
    """An AVI whose header claims 99,999 pictures, and no time between them."""
    make_video(path, SCENE, VIDEO, 30, "MJPG")
    data = bytearray(path.read_bytes())
    main, stream = data.index(b"avih") + 8, data.index(b"strh") + 8
    struct.pack_into("<I", data, main + 16, 99_999)
    struct.pack_into("<II", data, stream + 20, 0, 0)
    struct.pack_into("<I", data, stream + 32, 99_999)
    path.write_bytes(data)
    return path


def test_each_file_gives_exactly_its_pictures_and_the_run_ends_with_0(tmp_path: Path) -> None:
    worked_through = {"mode": "every", "fast": True}
    movie = str(make_mp4(tmp_path / "a.mp4", SCENE, VIDEO))
    tables: dict[str, dict[str, Any]] = {
        "video": {"source": movie} | worked_through,
        "played": {"source": movie},
        "lies": {"source": str(make_liar(tmp_path / "liar.avi"))} | worked_through,
        "eight-k": {"source": make_images(tmp_path / "8k", 1, (4320, 7680))} | worked_through,
    }
    counts = {"video": VIDEO, "played": VIDEO, "lies": VIDEO, "eight-k": 1}
    sizes = {"grey": (32, 24), "four-channels": (32, 24), "one-pixel": (1, 1)}
    sizes["eight-k"] = (7680, 4320)
    for name, shape in SHAPES.items():
        tables[name] = {"source": make_images(tmp_path / name, PICTURES, shape)} | worked_through
        counts[name] = PICTURES
    (tmp_path / "own.py").write_text(OWN)
    tables["function"] = {"source": f"py:{tmp_path / 'own.py'}:it"} | worked_through
    counts["function"], sizes["function"] = PICTURES, (32, 24)
    run = Run("--config", str(write_config(tmp_path, tables)), "-w", "1").start()
    outcomes = run.results()
    assert run.process.wait(40) == 0, run.log()
    seen = outcomes.read()
    outcomes.close()
    assert_exactly_once(seen)
    for name, count in counts.items():
        of_it = [each for each in seen if each.camera == name]
        assert f"{name}: {count} frames captured" in run.log()
        if name != "played":
            assert f"{name}: {count} frames captured, {count} results, 0 errors" in run.log()
            assert [each.frame for each in of_it] == list(range(count)), name
        size = sizes.get(name, (SCENE.width, SCENE.height))
        assert {(each.width, each.height) for each in of_it} == {size}, name
    run.__exit__(None, None, None)


def no_pictures(folder: Path) -> Path:
    """An AVI that ends before its first picture."""
    path = make_video(folder / "empty.avi", SCENE, 3, 30, "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])
    return path


def playlist(path: Path, entry: str) -> Path:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{entry}\n#EXT-X-ENDLIST\n"
    if path.suffix == ".ffconcat":
        text = f"ffconcat version 1.0\nfile '{entry}'\n"
    path.write_text(text)
    return path


@pytest.mark.parametrize("what", ["no pictures", "a.m3u8", "other.ffconcat"])
def test_a_file_that_is_no_video_ends_the_run_that_begins_with_it(
    what: str, tmp_path: Path
) -> None:
    """A playlist does not lead out of the files, and shows nothing of a file that is no video."""
    private = tmp_path / "private.txt"
    private.write_text("root:s3cr3t:0:0\n" * 100)
    with FakeCamera("http") as camera:
        if what == "no pictures":
            path = no_pictures(tmp_path)
        else:
            path = playlist(
                tmp_path / what, str(private) if "other" in what else f"{camera.url}.ts"
            )
        done = framefan(
            *["run", str(path), "demo", "--fail-fast", "--port", "0", "--duration", "20"],
            env={"XDG_RUNTIME_DIR": str(tmp_path)},
        )
        assert camera.connections == 0
    assert done.returncode == 3, done.stderr
    assert f"framefan: {path} cannot be played as a video" in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr


@pytest.mark.parametrize("source", ["file:///etc/passwd", "concat:/etc/passwd|a.avi", "data:,x"])
def test_other_schemes_are_refused_in_the_configuration_too(source: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, {"door": {"source": source}})
    done = framefan("run", "--config", str(config), env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.returncode == 2, done.stderr
    assert f'does not open "{source.partition(":")[0]}:" sources' in done.stderr


def test_files_of_any_name_are_played_whole_and_so_is_a_named_pipe(tmp_path: Path) -> None:
    movie = make_video(tmp_path / "a.avi", SCENE, VIDEO, 30, "MJPG").read_bytes()
    names = ["a*b.avi", "100%d.avi", "cam=1", "door:12@30.avi", "\u00fc.avi", "caf\udce9.avi"]
    for name in names:
        (tmp_path / name).write_bytes(movie)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(movie,))
    writer.start()
    sources = [str(tmp_path / name) for name in [*names, "pipe"]]
    done = framefan(
        *["run", *sources, "--fast", "--port", "0", "--duration", "60"],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "LC_ALL": "C"},
        seconds=90,
    )
    writer.join(10)
    assert not writer.is_alive()
    assert done.returncode == 0, done.stderr
    for number in range(1, len(sources) + 1):
        assert f"cam{number}: {VIDEO} frames captured, {VIDEO} results" in done.stderr
