"""What lies in the folder where a person is takes no module's place; a failed start says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runs import Run, framefan
from waiting import wait_until

SHADOWS = (
    *("abc", "asyncio", "bisect", "calendar", "collections", "contextlib", "copy", "dataclasses"),
    *("decimal", "email", "enum", "functools", "hashlib", "heapq", "http", "inspect", "json"),
    *("logging", "operator", "os", "pathlib", "platform", "queue", "random", "re", "secrets"),
    *("select", "shutil", "signal", "socket", "ssl", "statistics", "string", "struct"),
    *("subprocess", "tempfile", "threading", "token", "traceback", "types", "typing", "urllib"),
    *("uuid", "weakref"),
    *("cv2", "cyclopts", "framefan", "framefan_capture", "google", "msgspec", "numpy", "psutil"),
    *("rich", "setproctitle", "websockets", "zmq"),
)
"""Modules of Python's own, and all that framefan imports."""
PREDICTOR = """
import cv2, json, random, secrets
import neighbour

def predict(image):
    return [*image.shape, neighbour.VALUE]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('in the place of {name}')")
    (tmp_path / "neighbour.py").write_text("VALUE = 5")
    (tmp_path / "size.py").write_text(PREDICTOR)
    return tmp_path


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As a person types it there; `python -m` would look into the folder before all else."""
    script = Path(sys.executable).with_name("framefan")
    return subprocess.run(
        [script, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--version",),
        ("predictors",),
        ("once", "demo", "-p", "size.py:predict", "--json"),
        ("once", "demo", "-p", "size:predict", "--json"),
        ("doctor", "demo", "-p", "size.py:predict", "--port", "0"),
    ],
    ids=" ".join,
)
def test_each_command_works_among_files_that_are_named_like_modules(
    folder: Path, words: tuple[str, ...]
) -> None:
    done = command(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in the place of" not in done.stdout + done.stderr
    if words[0] == "once":
        assert ",5]" in done.stdout.replace(" ", "")


def test_a_run_and_the_commands_that_ask_it_work_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    script = str(Path(sys.executable).with_name("framefan"))
    with Run("demo", "--predictor", "size.py:predict", program=[script]) as run:
        outcomes = run.results("demo")
        wait_until(outcomes.read, 10, "a result")
        outcomes.close()
        environment = os.environ | {"XDG_RUNTIME_DIR": str(run.runtime)}
        for words in (["status"], ["scale", "1"], ["swap", "size.py:predict"], ["top"], ["watch"]):
            last = ["--duration", "1"] if words[0] in ("top", "watch") else []
            done = subprocess.run(
                [script, *words, "--name", run.name, *last],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, (words, done.stdout + done.stderr)


BROKEN = {
    "the pool": ("zmq", "pool"),
    "the gateway": ("websockets", "gateway 1"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_run_that_cannot_start_says_why_and_ends_with_3(tmp_path: Path, what: str) -> None:
    module, title = BROKEN[what]
    (tmp_path / f"{module}.py").write_text(f"raise ImportError('no {module} here')")
    environment: dict[str, Any] = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = framefan("run", "demo", "--port", "0", "--duration", "4", env=environment)
    assert done.returncode == 3, done.stderr
    assert f"no {module} here" in done.stderr
    last = done.stderr[done.stderr.index("framefan: the run never became ready") :]
    assert title in last


def test_an_error_of_our_own_has_its_reason_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    from framefan.base import logs
    from framefan.settings.run import Settings

    logs.configure(Settings(), "pool")
    try:
        raise OSError("no space left")
    except OSError:
        logs.exception("the pool failed")
    said = capfd.readouterr().err
    assert "OSError: no space left" in said
    assert "test_odd_folder.py:" in said
    assert "Traceback" not in said
