"""Runs of the supervisor over stages that play parts (tests/fake_stage.py)."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

FAKE = Path(__file__).parents[2] / "fake_stage.py"
DEADLINE_S = 20.0


def _short(link: Path) -> Path:
    """The folder that runs of one test share; sockets want a path shorter than the test's own."""
    if not link.is_symlink():
        link.symlink_to(tempfile.mkdtemp(prefix="ff-"))
        atexit.register(shutil.rmtree, link.resolve(), ignore_errors=True)
    return link.resolve()


class Run:
    def __init__(self, tmp: Path, file: str = "", **plan: object) -> None:
        self.folder = tmp / "notes"
        self.folder.mkdir(exist_ok=True)
        if file:
            self.configure(file)
        self.runtime = _short(tmp / "runtime")
        environment = os.environ | {
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PYTHONPATH": os.pathsep.join([str(FAKE.parent), os.environ.get("PYTHONPATH", "")]),
        }
        self.log_path = tmp / f"log-{len(list(tmp.glob('log-*')))}"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(FAKE), str(self.folder), json.dumps(plan)],
                env=environment,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, self.end()[1][-4000:]
            assert self.process.poll() is None, self.end()[1][-4000:]
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)

    def ready(self) -> Run:
        self.wait_for((self.folder / "ready").exists)
        self.wait_for(lambda: all(self.pids(role) for role in ("pool", "demo", "1")))
        return self

    def pids(self, role: str) -> list[int]:
        path = self.folder / f"pids-{role}"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def told(self) -> list[dict]:
        path = self.folder / "told"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def configure(self, text: str) -> None:
        """What the run is to find in its file; all at once, as an editor writes."""
        draft = self.folder / "draft"
        draft.write_text(text)
        draft.rename(self.folder / "run.toml")

    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        return self.end()

    def end(self) -> tuple[int, str]:
        killed = ""
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            killed = "(had to be killed by the test)"
        self.said = self.log() + killed
        return self.process.returncode, self.said

    def assert_clean(self) -> None:
        for notes in self.folder.glob("pids-*"):
            for pid in notes.read_text().split():
                assert not alive(int(pid)), f"{notes.name}: {pid}\n{self.said}"
        assert list(self.runtime.rglob("*")) == [self.runtime / "framefan"]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
