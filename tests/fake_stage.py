"""A stage that plays a part: the supervisor's tests run it as pool, capture and gateway.

    python fake_stage.py FOLDER PLAN    a supervisor over fake stages; PLAN is JSON
    python -m fake_stage                one of those stages, started by it

The plan names a part per role ("" is the pool, "1" the gateway, else a camera). Every stage notes
its pid in FOLDER, a capture its source, the pool what it is told. FOLDER/run.toml, where there is
one, names the cameras, at the start and when the run is reloaded.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from framefan.base import clock
from framefan.errors import FramefanError, LinkClosed
from framefan.ipc import processes
from framefan.ipc.messages import (
    Cameras,
    Changed,
    Children,
    Fatal,
    FromSupervisor,
    Progress,
    Scale,
    Stop,
    Table,
)
from framefan.ipc.records import CameraFacts, Pid, StateRecord, WorkerFacts
from framefan.settings.run import CameraSettings, Limits, Settings, run_dir
from framefan.settings.secret import SourceText

TICK_S = 0.05


def table(captured: int, *names: str) -> StateRecord:
    return StateRecord(
        epoch="abcd",
        n=captured,
        ts=0.0,
        version="0",
        name="t",
        run_dir="",
        results_endpoint="",
        url="",
        supervisor=Pid(),
        pool=Pid(),
        gateways=[],
        workers=[WorkerFacts(id=1, state="ready")],
        cameras={
            name: CameraFacts(captured=captured, results=captured) for name in names or ["demo"]
        },
    )


class Actor:
    def __init__(self) -> None:
        self.parent = processes.Parent("fake", FromSupervisor)
        self.folder = Path(self.parent.settings.predictor)
        plan = json.loads(self.parent.settings.device)
        self.role = self.parent.role
        self.part = plan.get(self.role or "pool", "good")
        self.early = self.parent.early
        self.told_to_stop = False
        with (self.folder / f"pids-{self.role or 'pool'}").open("a") as pids:
            pids.write(f"{os.getpid()}\n")
        self.cameras = self.parent.settings.cameras
        with (self.folder / f"sources-{self.role}").open("a") as sources:
            sources.writelines(f"{camera.source}\n" for camera in self.cameras)

    @property
    def stopped(self) -> bool:
        return self.part != "deaf" and (self.told_to_stop or self.parent.stop_asked)

    def first_time(self) -> bool:
        return len((self.folder / f"pids-{self.role or 'pool'}").read_text().split()) == 1

    def play(self) -> None:
        count = 0
        while not self.stopped:
            count += 1
            if self.part != "mute":
                self.parent.link.send(Progress(count))
            if not self.role:
                self._as_pool(count)
            self._part(count)
            self._listen()

    def _as_pool(self, count: int) -> None:
        names = [camera.name for camera in self.cameras]
        self.parent.link.send(Table(table(count, *names), self.part == "ends" and count > 3))

    def _part(self, count: int) -> None:
        if self.part == "fatal" or (self.part == "fatal_again" and not self.first_time()):
            self.parent.link.send(Fatal(3, "no such thing", "it is not there", "put it there"))
        elif self.part == "fatal_exit":
            self.parent.link.send(Fatal(3, "no such thing", "it is not there", "put it there"))
            sys.exit(3)
        elif self.part == "exit0" or (self.part == "crash_once" and self.first_time()):
            sys.exit(7 if self.part == "crash_once" else 0)
        elif self.part == "heir_once" and self.first_time():
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            fd = self.parent.link.fileno()
            heir = subprocess.Popen(["/bin/sleep", "20"], pass_fds=[fd], **silent)
            (self.folder / "heir").write_text(str(heir.pid))
            os._exit(7)
        elif self.part == "hang_once" and self.first_time():
            select.select([], [], [])
        elif self.part == "talk" and count == 1:
            self._talk()
        elif self.part == "flood" and count <= 50:
            os.write(2, (b"y" * 99 + b"\n") * 10_486)
            if count == 50:
                (self.folder / "flooded").touch()
        elif self.part == "garbage" and self.first_time():
            os.write(self.parent.link.fileno(), b"\xff" * 8)

    def _talk(self) -> None:
        """As native libraries do: with what they know, and without a last line end."""
        source = self.cameras[0].source.reveal()
        print(f"on stdout {source}", flush=True)
        os.write(2, f"cannot open {source}\nlast words".encode())
        if self.first_time():
            faulthandler.enable()
            faulthandler._sigsegv()

    def _listen(self) -> None:
        early, self.early = self.early, []  # a process that starts slowly is told much at once
        ready, _, _ = select.select([self.parent.link], [], [], 0 if early else TICK_S)
        for message in [*early, *(self.parent.link.receive() if ready else [])]:
            if isinstance(message, Stop):
                self.told_to_stop = True
            if isinstance(message, Scale):
                self.parent.link.send(Changed("workers", "2", str(message.workers), []))
            if isinstance(message, Cameras):
                if self.part == "stale":  # written before it heard of them
                    names = [camera.name for camera in self.cameras]
                    self.parent.link.send(Table(table(99, *names), True))
                self.cameras = tuple(message.cameras)
                with (self.folder / "cameras").open("a") as told:
                    told.write(json.dumps([str(camera.source) for camera in self.cameras]) + "\n")
            if isinstance(message, Children):
                with (self.folder / "told").open("a") as told:
                    facts = [[each.role, each.state, each.pid] for each in message.children]
                    whys = {
                        each.role: [each.reason, each.next_start_s]
                        for each in message.children
                        if each.reason
                    }
                    said = {each.role: each.message for each in message.children if each.message}
                    line = {"url": message.url, "children": facts, "whys": whys, "said": said}
                    told.write(json.dumps(line) + "\n")


def _from_file(settings: Settings, made: Settings) -> Settings:
    """These tests start many processes: nobody may be killed for starting slowly."""
    limits = msgspec.structs.replace(settings.limits, no_progress_s=10.0)
    return msgspec.structs.replace(
        settings, cameras=made.cameras, workers=made.workers, limits=limits
    )


def _with_file(settings: Settings, file: Path) -> tuple[Settings, Any]:
    """With the cameras and workers of the file, if there is one; and how to read it again."""
    from framefan.config.configure import Invocation, configure
    from framefan.config.options import Options

    class Again(Invocation, frozen=True):
        def read_again(self) -> tuple[Settings, list[str]]:
            made, notes = super().read_again()
            return _from_file(settings, made), notes

    options = Options(config=str(file) if file.exists() else None)
    again = Again((), options, {})
    if file.exists():
        return _from_file(settings, configure((), options, {})[0]), again
    return settings, again


def _hold_the_dead(seconds: float) -> None:
    """As a kernel does that waits for a disk: who was killed is there for so long."""
    kill, asked = processes.Child.kill, {}

    def kill_slowly(child: processes.Child, patience_s: float = 0.0) -> bool:
        first = asked.setdefault(child.pid, clock.now())
        return clock.now() - first >= seconds and kill(child, patience_s)

    processes.Child.kill = kill_slowly


def supervise(folder: str, plan: str) -> int:
    """A supervisor over these stages; announces its port in FOLDER/ready."""
    from framefan.supervisor.startup import supervise as real

    given = json.loads(plan)
    here = "fake_stage"
    processes.POOL = processes.Stage("pool", here)
    processes.CAPTURE = processes.Stage("capture", here, sees_sources=True, runs_theirs=True)
    processes.GATEWAY = processes.Stage("gateway", here)
    silence_s = given.get("silence_s", 10.0)  # nobody may be killed for starting slowly
    fast = Limits(no_progress_s=silence_s, restart_first_s=0.1, restart_cap_s=0.2, grace_s=1.0)
    settings = Settings(
        name=given.get("name", "fake"),
        run_dir=str(run_dir("fake")),
        cameras=(CameraSettings(name="demo", source=SourceText("demo"), no_progress_s=silence_s),),
        predictor=folder,
        device=plan,
        port=given.get("port", 0),
        duration_s=given.get("duration_s", 0.0),
        limits=fast,
    )

    if "stuck_s" in given:
        _hold_the_dead(given["stuck_s"])
    settings, again = _with_file(settings, Path(folder) / "run.toml")

    def note(url: str) -> None:
        (Path(folder) / "ready").write_text(url)

    try:
        return real(settings, note, again)
    except FramefanError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.exit(supervise(*sys.argv[1:]))
    with contextlib.suppress(LinkClosed):
        Actor().play()
