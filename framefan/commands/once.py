"""`framefan once`: starts a separate run for one source and stops after its first result.

It starts a normal `framefan run` on a free port and reads the result from the run's WebSocket. So
it prints what a client gets.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from typing import IO, Any

from framefan.base import clock
from framefan.commands import run_table
from framefan.config.configure import configure
from framefan.config.options import OnceOptions, Options, arguments, given
from framefan.config.places import from_environment
from framefan.errors import EXIT_FAILED, EXIT_OK, FramefanError, RunError, UsageError
from framefan.ipc import processes, setup_death
from framefan.settings.options import OPTIONS, SERVED
from framefan.settings.run import SOURCES_VARIABLE, TOKEN_VARIABLE
from framefan.settings.states import FLOWING, LASTING, REMEDIES

_LOOK_S = 0.25
_FROM_THE_START = "?delivery=every&history=1000"
"""Asks for earlier results too: the first one may be older than the connection."""
_GRACE_S = 15.0
_LINES = 20
_COLUMNS = 96
_LASTS_S = 3.0
"""How long a camera is retried after an error that is probably permanent."""
_FACTS = ("state", "reason", "message")
_LONGER = "try a longer --timeout, or `framefan doctor` with the same arguments"
_UNUSED = {each.variable for each in OPTIONS.values() if each.group == SERVED} | {
    OPTIONS["config"].variable,
    TOKEN_VARIABLE,
}
"""Variables that do not apply to a private, temporary run."""


def first_result(
    source: str | None, options: OnceOptions, name: str, timeout_s: float, compact: bool
) -> int:
    """Print the first result or error as JSON; returns the exit code. Raises FramefanError.

    Without a source it takes that of FRAMEFAN_SOURCES, otherwise the demo.
    """
    processes.name_this("once")
    name = name or f"once-{os.getpid()}"
    asked = given(options)
    asked |= {"name": name, "host": "127.0.0.1", "port": 0, "log_level": "warning"}
    asked["loop"] = True  # otherwise a short file could end before the client has connected
    asked["duration"] = timeout_s + _GRACE_S  # the run ends by itself if we are killed
    environment = {key: text for key, text in os.environ.items() if key not in _UNUSED}
    if source is None:
        source = _its_source(environment)
    # Malformed arguments and missing files raise here, before anything is started.
    settings, _ = configure([source], Options(**asked), environment)
    if settings.cameras[0].source.spec.can_wait:
        asked["mode"] = "every"  # the first frame of a file is the first result
    command = [*processes.PYTHON, "-m", "framefan", "run", *arguments(Options(**asked))]
    environment[SOURCES_VARIABLE] = shlex.quote(source)  # every user can read argv
    with tempfile.TemporaryFile("w+") as log:
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=environment)
        try:
            began = clock.now()
            trouble = _Trouble()
            message = _receive(run, name, began + timeout_s, trouble)
            waited_s = clock.now() - began
            # While the run is still there: its table says why there is no result.
            reason = ("", "") if message else trouble.reason or _reason(name)
        finally:
            _end(run)
        if message is None:
            said = "after" if trouble.is_lasting else "within"
            return _explain(run, log, f"{said} {min(waited_s, timeout_s):.3g} s", *reason)
    sys.stdout.write((json.dumps(message) if compact else readable(message)) + "\n")
    return EXIT_OK if message["type"] == "result" else EXIT_FAILED


def _its_source(environment: dict[str, str]) -> str:
    """The source of the environment. Raises UsageError if there are several."""
    named = from_environment(environment).values.get("sources", ())
    if len(named) > 1:
        raise UsageError(
            f"{SOURCES_VARIABLE} names {len(named)} sources",
            "once takes one",
            "give one: framefan once SOURCE",
        )
    return named[0] if named else "demo?"  # the scene, though a file may be called demo


def readable(message: dict[str, Any]) -> str:
    """The same JSON, wrapped for people, with one line per detection."""
    lines = [""]
    for key, value in message.items():
        text = f"{json.dumps(key)}: {_several_lines(value) or json.dumps(value)}, "
        if lines[-1] and len(lines[-1]) + len(text) > _COLUMNS:
            lines.append("")
        lines[-1] += text
    return "{\n  " + "\n  ".join(lines).removesuffix(", ").replace(", \n", ",\n") + "\n}"


def _several_lines(value: Any) -> str:
    """A list of objects, one per line; empty for anything else."""
    if not isinstance(value, list) or not value or not all(isinstance(it, dict) for it in value):
        return ""
    return "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"


class _Trouble:
    """The camera's last reported failure, and how long it has lasted."""

    def __init__(self) -> None:
        self.reason: tuple[str, str] | None = None
        """Why there is no picture, and what to do."""
        self._since: float | None = None

    @property
    def is_lasting(self) -> bool:
        """Whether waiting longer is useless."""
        return self._since is not None and clock.now() - self._since > _LASTS_S

    def hear(self, status: dict[str, Any]) -> None:
        """Record a status message; `connecting` is only the camera's next attempt."""
        if status.get("subject") != "camera" or status.get("state") == "connecting":
            return
        if status.get("reason") not in REMEDIES:
            self.reason = self._since = None
            return
        self.reason = _told(status["camera"], *(status.get(key, "") for key in _FACTS))
        if status["reason"] not in LASTING:
            self._since = None
        elif self._since is None:
            self._since = clock.now()


def _told(camera: str, state: str, reason: str, message: str) -> tuple[str, str]:
    shown = f"{state} ({reason})" if reason else state
    why = f"the camera {camera} is {shown}" + (f": {message}" if message else "")
    return why, REMEDIES.get(reason, _LONGER)


def _receive(
    run: subprocess.Popen[bytes], name: str, deadline: float, trouble: _Trouble
) -> dict[str, Any] | None:
    """The first result or error message; None if the run ended or the time was up before.

    A lasting failure of the camera also ends the wait.
    """
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    url = _websocket(run, name, deadline)
    while url and run.poll() is None and (left := deadline - clock.now()) > 0:
        try:
            with connect(url + _FROM_THE_START, open_timeout=left, proxy=None) as client:
                return _first(run, client, deadline, trouble)
        except (OSError, WebSocketException):  # the gateway is restarting, or the run ends
            continue
    return None


def _first(
    run: subprocess.Popen[bytes], client: Any, deadline: float, trouble: _Trouble
) -> dict[str, Any] | None:
    while run.poll() is None and clock.now() < deadline and not trouble.is_lasting:
        try:
            message: dict[str, Any] = json.loads(client.recv(timeout=_LOOK_S))
        except TimeoutError:
            continue
        if message.get("type") in ("result", "error"):
            return message
        if message.get("type") == "status":
            trouble.hear(message)
    return None


def _websocket(run: subprocess.Popen[bytes], name: str, deadline: float) -> str:
    """The run's address, from its bus; empty if the run ended or the time was up before."""
    while run.poll() is None and clock.now() < deadline:
        try:
            url = run_table.fetch(name, _LOOK_S).url
        except RunError:
            try:
                run.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        if url:
            return url.replace("http", "ws", 1) + "ws"
    return ""


def _end(run: subprocess.Popen[bytes]) -> None:
    if run.poll() is None:
        run.terminate()
    try:
        run.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()


def _reason(name: str) -> tuple[str, str]:
    """Why there is no result, from the run's state table, and what to do."""
    try:
        state = run_table.fetch(name, _LOOK_S)
    except RunError:
        return "", _LONGER
    for camera, facts in state.cameras.items():
        if facts.state not in FLOWING:
            return _told(camera, facts.state, facts.reason, facts.message)
    was_killed = any(facts.lost_by.get("predict_timeout") for facts in state.cameras.values())
    if not was_killed and not state.serves:
        for worker in state.workers:
            if worker.reason:  # how its last process ended
                return f"the predictor's process ended during setup: {worker.reason}", (
                    setup_death.cure(worker.predictor)
                )
        return "the predictor is not ready: its setup takes longer", _LONGER
    return "frames arrive, but predict has not returned", _LONGER


def _explain(run: subprocess.Popen[bytes], log: IO[str], when: str, why: str, do: str) -> int:
    """Print the run's log; returns the run's exit code if it failed, else raises RunError."""
    log.seek(0)
    said = log.read().splitlines(keepends=True)[-_LINES:]
    sys.stderr.write("".join(said))
    if run.returncode > 0:
        return run.returncode
    why = why or ("see the lines above" if said else "it was still starting")
    error: FramefanError = RunError(f"no result {when}", why, do or _LONGER)
    raise error
