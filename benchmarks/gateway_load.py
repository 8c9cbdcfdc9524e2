"""The load side of the gateway's benchmarks: thousands of WebSocket clients in one process.

One epoll loop over raw sockets, because asyncio clients are slower than the server they load. The
clients are in raw_clients.py. `Load` is the benchmark's end: it sends commands over a pipe.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import select
from array import array
from typing import TYPE_CHECKING, Any, Self

from benchmarks.raw_clients import READ_BYTES, Client, Group, StuckGroup, TimedGroup, connect
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_spawn = multiprocessing.get_context("spawn")


class Loop:
    """The load process: clients of any number of groups, and the pipe to the benchmark."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._epoll = select.epoll()
        self._epoll.register(pipe.fileno(), select.EPOLLIN)
        self._clients: dict[int, Client] = {}
        self.groups: dict[str, Group] = {}
        self.ticker: Callable[[float], None] | None = None
        """Called about a hundred times a second, where somebody wants it."""

    def run(self) -> None:
        pipe, clients, poll = self._pipe.fileno(), self._clients, self._epoll.poll
        while True:
            for fd, _ in poll(0.01 if self.ticker else None):
                client = clients.get(fd)
                if client is not None:
                    # For most clients of a large crowd this is all that happens.
                    if not client.count_one():
                        self._read(client)
                elif fd == pipe:
                    name, *arguments = self._pipe.recv()
                    self._pipe.send(getattr(self, name)(*arguments))
            if self.ticker:
                self.ticker(clock.now())

    def _read(self, client: Client) -> None:
        try:
            data = client.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(client, client.closed or type(error).__name__)
            return
        if data:
            client.take(data, clock.now())
        else:
            self.end(client, client.closed or "end of stream")

    def add(self, client: Client, reads: bool = True) -> None:
        self._clients[client.fd] = client
        self._epoll.register(client.fd, select.EPOLLIN if reads else 0)

    def reads(self, client: Client, reads: bool) -> None:
        """Whether this client reads for now. That it was cut off, it learns in any case."""
        self._epoll.modify(client.fd, select.EPOLLIN if reads else 0)

    def end(self, client: Client, why: str) -> None:
        client.closed, client.ended_at = why, clock.now()
        del self._clients[client.fd]
        self._epoll.unregister(client.fd)
        client.sock.close()
        client.group.ended(client)

    # ---- commands -----------------------------------------------------------------------------

    def open(self, name: str, timed: bool, port: int, count: int, options: dict[str, Any]) -> int:
        """Connect `count` clients of group `name`; how many it has now."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = TimedGroup() if timed else Group()
        for client in connect(group, port, options.pop("path", "/ws"), count, **options):
            self.add(client)
        return len(group.clients)

    def stick(self, name: str, port: int, count: int, rcvbuf: int) -> None:
        """Connect clients that never read."""
        group = self.groups[name] = StuckGroup()
        for client in connect(group, port, "/ws", count, rcvbuf, answers=False):
            self.add(client, reads=False)
        self.ticker = group.look

    def unstick(self, name: str) -> float:
        """They go; when the last of them took a byte."""
        self.ticker = None
        took_at = self.groups[name].report()["took_at"]
        self.close(name)
        return float(took_at)

    def report(self, name: str) -> dict[str, Any]:
        return self.groups[name].report()

    def messages(self, name: str) -> int:
        return self.groups[name].messages

    def close(self, name: str) -> None:
        for client in self.groups.pop(name).clients:
            if not client.closed:
                self.end(client, "ours")


def _main(pipe: Connection, core: int | None, loop: Callable[[Connection], Loop]) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    gc.disable()  # nothing here makes cycles, and a collection would look like a slow gateway
    with contextlib.suppress(EOFError):
        loop(pipe).run()


class Load:
    """The load process, seen from the benchmark."""

    def __init__(self, core: int | None, loop: Callable[[Connection], Loop] = Loop) -> None:
        """`core`: the one that it may use; None: any."""
        self._pipe, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_main, args=(theirs, core, loop), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def ask(self, *command: Any) -> Any:
        self._pipe.send(command)
        if not self._pipe.poll(120):
            raise SystemExit(f"the load process does not answer {command[0]}")
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit(f"the load process died at {command[0]}") from None

    def open(self, name: str, port: int, count: int, timed: bool = False, **options: Any) -> None:
        self.ask("open", name, timed, port, count, options)

    def messages(self, name: str) -> int:
        return int(self.ask("messages", name))

    def report(self, name: str) -> dict[str, Any]:
        """What a group has seen; of a timed one, what it saw since the last report."""
        found: dict[str, Any] = self.ask("report", name)
        for key, code in (("at", "d"), ("frame", "q"), ("deliver", "d")):
            if key in found:
                found[key] = array(code, found[key])
        return found

    def close(self, name: str) -> None:
        self.ask("close", name)
