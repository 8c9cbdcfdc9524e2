"""Ordinary clients, each in a process of its own: which there are, how they start, what they note.

The programs are in benchmarks/ordinary. What a process prints goes to a file, so that nothing of a
hundred of them has to be read while they run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.clients_accounts import Note, events, opened_at
from benchmarks.run import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOLDER = Path(__file__).parent / "ordinary"
ROOT = FOLDER.parent.parent
_OPEN_S = 90.0
"""Until all of a hundred processes have imported their library and connected."""


@dataclass(frozen=True)
class Library:
    """A library used in one of the ways in which people use it."""

    name: str
    program: str
    options: dict[str, Any] = field(default_factory=dict)
    handlers: float | None = None
    """Without `ack` a result is at most this many handler times old, and a second. None: its
    queue has no bound that anybody but the client knows."""

    @property
    def script(self) -> Path:
        return FOLDER / self.program

    @property
    def is_node(self) -> bool:
        return self.program.endswith(".js")


LIBRARIES = (
    Library("websockets", "use_websockets.py", {}, 18),
    Library("websockets, max_queue=1", "use_websockets.py", {"max_queue": 1}, 3),
    Library("websockets, handler blocks", "use_websockets.py", {"blocks": True}, 18),
    Library("websockets, sync", "use_websockets_sync.py", {}, 18),
    Library("websocket-client", "use_websocket_client.py", {}, 2),
    Library("aiohttp", "use_aiohttp.py", {}, 2),
    Library("httpx-ws", "use_httpx_ws.py"),
    Library("picows", "use_picows.py", {}, 2),
    Library("picows, own queue", "use_picows.py", {"queues": True}),
    Library("Node ws", "use_ws.js", {}, 2),
    Library("Node ws, asynchronous", "use_ws.js", {"asynchronous": True}),
    Library("undici", "use_undici.js", {}, 2),
    Library("framefan.client", "use_framefan.py"),
)
CHROMIUM = Library("Chromium", "use_chromium.py")
BY_NAME = {library.name: library for library in (*LIBRARIES, CHROMIUM)}


class Process:
    """A program of the folder; what it prints, and its end."""

    def __init__(
        self, script: Path, asked: dict[str, Any], before: Sequence[str] = (), node: str = ""
    ) -> None:
        """`before`: a command that starts it, as nsenter does; `node`: where Node's modules are."""
        runner = "node" if script.suffix == ".js" else sys.executable
        self._files = contextlib.ExitStack()
        self._told = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._errors = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._gently = script == CHROMIUM.script
        path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".strip(os.pathsep)
        self.process = subprocess.Popen(
            [*before, runner, str(script), json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=self._told,
            stderr=self._errors,
            text=True,
            env=os.environ | {"PYTHONPATH": path, "NODE_PATH": node},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(self) -> None:
        """Write the line that it waits for."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def notes(self) -> list[Note]:
        """All whole lines so far."""
        size = os.fstat(self._told.fileno()).st_size
        text = os.pread(self._told.fileno(), size, 0).decode()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def alive(self) -> bool:
        """Raises SystemExit with what it complained of, where it ended by itself."""
        if self.process.poll() is not None:
            self._errors.seek(0)
            told = self._errors.read()[-2000:].decode()
            raise SystemExit(f"{self.process.args}\nended with {self.process.returncode}: {told}")
        return True

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def leave(self) -> None:
        """Close its input, at which a program that has a browser ends that, too."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def end(self) -> list[Note]:
        """Kill it; everything that it noted."""
        self.leave()
        if self._gently:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.process.kill()
        self.process.wait()
        found = self.notes()
        self._files.close()
        return found


@dataclass
class Client:
    """One client of one library; `notes` once it has ended."""

    library: Library
    asked: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    """What the benchmark wants to know of it again."""
    before: Sequence[str] = ()
    notes: list[Note] = field(default_factory=list)
    process: Process | None = None
    page: int = -1

    @property
    def ack(self) -> int | str | None:
        return self.asked.get("ack")

    @property
    def opened_at(self) -> float:
        return opened_at(self.notes) or 0.0

    def so_far(self) -> list[Note]:
        assert self.process is not None
        notes = self.process.notes()
        return notes if self.page < 0 else [note for note in notes if note["page"] == self.page]


class Clients:
    """Clients that run beside each other, all pages of Chromium in one browser."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self.clients = list(clients)
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def _start(self) -> None:
        modules = node_modules() if any(each.library.is_node for each in self.clients) else ""
        pages = [each for each in self.clients if each.library is CHROMIUM]
        if pages:
            browser = self._process(CHROMIUM.script, {"pages": [each.asked for each in pages]})
            for number, client in enumerate(pages):
                client.process, client.page = browser, number
        for client in self.clients:
            if client.library is not CHROMIUM:
                asked = client.asked | {"options": client.library.options}
                client.process = self._process(client.library.script, asked, client.before, modules)

    def _process(self, script: Path, asked: dict[str, Any], *more: Any) -> Process:
        process = Process(script, asked, *more)
        self._processes.append(process)
        return process

    def wait_open(self) -> Self:
        """Until each of them has had its first connection."""

        def is_open(client: Client) -> bool:
            assert client.process is not None
            return bool(events(client.so_far(), "opened")) or not client.process.alive()

        missing = list(self.clients)
        while missing:
            until(lambda: is_open(missing[-1]), _OPEN_S, f"{missing[-1].library.name} connects")
            missing.pop()
        return self

    def end(self) -> None:
        """Kill all; each client has its notes then."""
        for process in self._processes:
            process.leave()
        found = {id(process): process.end() for process in self._processes}
        for client in self.clients:
            notes = found.get(id(client.process), [])
            wanted = client.page < 0
            client.notes = [note for note in notes if wanted or note["page"] == client.page]
        self._processes.clear()

    def __exit__(self, *_: object) -> None:
        self.end()


_node = tempfile.TemporaryDirectory(prefix="framefan-bench-node-")


def node_modules() -> str:
    """The folder with `ws` and `undici`, installed by npm when it is first asked for."""
    modules = Path(_node.name) / "node_modules"
    if not modules.exists():
        print("  npm install ws undici", flush=True)
        found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        major = int(found.stdout.strip("v\n").partition(".")[0])
        # The newest undici wants Node 22; each of these is the last for an older one.
        undici = {18: "undici@6", 20: "undici@7"}.get(major, "undici")
        subprocess.run(
            ["npm", "install", "--prefix", _node.name, "--silent", "--no-audit", "ws", undici],
            check=True,
            timeout=180,
        )
    return str(modules)


def check_there() -> None:
    """Raises SystemExit that names what is missing of libraries and programs.

    What the system has to give is installed where that may be done, as for the tests.
    """
    modules = ("websocket", "aiohttp", "httpx_ws", "picows", "playwright")
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        raise SystemExit(f"not installed: {names}; `make bench-clients` installs them")
    script = ROOT / "tests" / "system_packages.py"
    if subprocess.run([sys.executable, str(script), "bench"], check=False).returncode:
        raise SystemExit("programs are missing")
