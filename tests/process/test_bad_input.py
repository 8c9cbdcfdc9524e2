"""Bad input, as a person meets it: an exit code, three lines, and nothing left running."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import psutil
import pytest
from fakes_sources import make_mp4
from runs import Run, framefan
from waiting import wait_until

from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

CASES = {
    "unknown flag": (["--wrokers", "2"], 2, "--workers"),
    "unknown scheme": (["gopher://camera/1"], 2, "gopher"),
    "local files by scheme": (["file:///etc/passwd"], 2, "file"),
    "ffmpeg protocols": (["concat:/etc/passwd|/etc/group"], 2, "concat"),
    "malformed predictor": (["-p", "pkg.mod:"], 2, "pkg.mod:"),
    "unknown built-in": (["-p", "montion"], 2, "motion"),
    "every on a live stream": (["rtsp://127.0.0.1:9/x", "--mode", "every"], 2, "every"),
    "public without a token": (["--host", "0.0.0.0"], 2, "token"),
    "bad camera name": (["Front Door=demo"], 2, "Front Door"),
    "two of one name": (["a=demo", "a=demo"], 2, '"a"'),
    "demo with a wrong option": (["demo?sise=640x480"], 2, "size"),
    "missing file": (["nowhere.mp4"], 3, "nowhere.mp4"),
    "all files missing": (["nowhere.mp4", "no_*.jpg"], 3, "nowhere.mp4"),
    "one of many missing": (["demo", "nowhere.mp4", "--fail-fast"], 3, "nowhere.mp4"),
    "one of many no video": (["demo", "TEXT", "--fail-fast"], 3, "text.mp4"),
    "one of many refused": (["demo", "rtsp://127.0.0.1:9/x", "--fail-fast"], 3, "refused"),
    "a name that is no text": (["no\udce9.mp4"], 3, "no\\xe9.mp4"),
    "a file of that name only": (["./0"], 3, "./0"),
    "a pattern without a match": (["**/*.nojpg"], 3, "no image matches **/*.nojpg"),
    "standard input": (["--", "-"], 2, "mkfifo"),
    "an address meant in two ways": (["rtsp://u:12#3@h/x"], 2, "special characters are %XX"),
    "text file as video": (["TEXT"], 3, "text.mp4"),
    "missing predictor file": (["-p", "nowhere.py:predict"], 3, "nowhere.py"),
    "predictor does not import": (["-p", "BROKEN:predict"], 3, "no_such_package_anywhere"),
    "predictor has a syntax error": (["-p", "SYNTAX:predict"], 3, "line 1"),
    "predictor lacks the name": (["-p", "GOOD:predcit"], 3, "predict"),
    "predictor module not found": (["-p", "no_such_module:predict"], 3, "no_such_module"),
    "predictor fails in setup": (["-p", "SETUP:Model"], 3, "weights are missing"),
    "taken port": (["--port", "TAKEN"], 3, "port"),
    "missing configuration": (["--config", "nowhere.toml"], 3, "nowhere.toml"),
    "unknown key": (["--config", "UNKNOWN"], 2, "workers"),
    "missing token file": (["--token-file", "nowhere.token"], 3, "nowhere.token"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("input")
    texts = {
        "TEXT": ("text.mp4", "this is no video\n" * 100),
        "BROKEN": ("broken.py", "import no_such_package_anywhere\n"),
        "SYNTAX": ("syntax.py", "def predict(:\n"),
        "GOOD": ("good.py", "def predict(image):\n    return []\n"),
        "SETUP": (
            "setup.py",
            "class Model:\n    def setup(self):\n        raise OSError('weights are missing')\n"
            "    def predict(self, image):\n        return []\n",
        ),
        "UNKNOWN": ("unknown.toml", "wrokers = 3\n"),
    }
    for name, text in texts.values():
        (folder / name).write_text(text)
    return {key: str(folder / name) for key, (name, _) in texts.items()}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case: str, files: dict[str, str], tmp_path: Path) -> None:
    arguments, code, hint = CASES[case]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        names = files | {"TAKEN": str(taken.getsockname()[1])}
        filled = list(arguments)
        for key, value in names.items():
            filled = [each.replace(key, value) for each in filled]
        port = [] if "--port" in filled else ["--port", "0"]
        before = set(psutil.pids())
        done = framefan(
            *["run", "--duration", "20", *port, *filled], env={"XDG_RUNTIME_DIR": str(tmp_path)}
        )
    assert done.returncode == code, done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    said = done.stderr[done.stderr.index("framefan: ") :].rstrip().splitlines()
    assert said[0].startswith("framefan: ")
    assert said[1].startswith("  why: ")
    assert said[2].startswith("  do:  ")
    assert len(said) == 3, done.stderr
    mine = [pid for pid in set(psutil.pids()) - before if _mentions(pid, str(tmp_path))]
    assert mine == []
    assert [path for path in tmp_path.rglob("*") if path.is_socket()] == []


def _mentions(pid: int, text: str) -> bool:
    try:
        return text in str(psutil.Process(pid).environ())
    except psutil.Error:
        return False


def test_what_cannot_start_does_not_prevent_the_others(tmp_path: Path) -> None:
    """And it is tried again: the file that comes later is played."""
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    config = tmp_path / "few.toml"
    config.write_text("[limits]\nrestarts_within_s = 4\n")
    names = {"late": "late.mp4", "text": "text.mp4", "many": "no_*.png", "code": "nix.py"}
    paths = {name: str(tmp_path / file) for name, file in names.items()}
    paths["code"] = f"py:{paths['code']}:frames"
    sources = [f"{name}={path}" for name, path in paths.items()]
    with Run("demo", *sources, "--config", str(config), "--loop") as run:
        wait_until(lambda: run.camera("demo").state == "live", 15, "the demo")
        told: dict[str, str] = {}

        def all_told() -> bool:
            for name in names:
                facts = run.camera(name)
                if facts.state == "failed":
                    assert facts.reason == "unplayable"
                    told[name] = facts.message
            return len(told) == len(names)

        wait_until(all_told, 15, "reasons")
        for name, file in names.items():
            assert file in told[name]
        make_mp4(tmp_path / "late.mp4", Scene(320, 240, seed=2), 10)
        wait_until(lambda: run.camera("late").state == "live", 15, "the file that came later")
        wait_until(lambda: run.camera("text").restarts > 1, 15, "another try")
        log = run.log().splitlines()
    assert sum("capture text: " in line for line in log) == 1, "told once"


def test_every_on_a_file_is_fine(tmp_path: Path) -> None:
    movie = make_mp4(tmp_path / "scene.mp4", Scene(320, 240, seed=2), 10)
    done = framefan(
        *["run", str(movie), "--mode", "every", "--fast", "--port", "0"],
        env={"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "10 results" in done.stderr
