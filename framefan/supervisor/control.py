"""RUN_DIR/control: the socket over which commands reach a live run.

A connection carries one request and one answer, and is then closed. A peer is not trusted, so
everything is bounded and nothing blocks: at most CLIENTS connections, SILENCE_S until the request,
no second message. Only short steps precede an answer, so the kernel's buffer has room for it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from framefan.base import clock, logs
from framefan.errors import (
    BY_EXIT_CODE,
    EXIT_FAILED,
    LinkClosed,
    LinkError,
    LinkGarbled,
    RunError,
)
from framefan.ipc import links
from framefan.ipc.messages import Changed, Changing, FromControl, NotDone, Reloaded, ToControl
from framefan.settings.run import run_dir
from framefan.supervisor import listen_sockets, rundir

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTROL = "control"
_OF_SEVERAL = ("predictor_name", "added_predictors", "removed_predictors")
"""Fields that are left out of the JSON of a run with one predictor, where they are empty."""
CLIENTS = 8
SILENCE_S = 5.0
_ACCEPTS = 16
"""The most connections accepted in one turn of the loop, so that it is not kept too long."""
_NO_DESCRIPTORS_S = 1.0
BUSY = NotDone(
    EXIT_FAILED,
    "the run is busy with other commands",
    f"{CLIENTS} commands are waiting for it",
    "try again in a few seconds",
)


class Asker(Protocol):
    """The origin of a request: a command, or a reload."""

    request: ToControl | None

    def answer(self, message: FromControl) -> None: ...

    def tell(self, message: Changing) -> None: ...


class Client:
    """One connection. `answer` closes it, and does nothing if it is already closed."""

    def __init__(
        self, sock: socket.socket, deadline: float, on_close: Callable[[Client], None]
    ) -> None:
        """`on_close` is called before the connection is closed."""
        self.link: links.Link[ToControl] = links.Link(sock, ToControl)
        self.deadline = deadline
        self.request: ToControl | None = None
        self._on_close = on_close

    def answer(self, message: FromControl) -> None:
        if self.link.fileno() >= 0:
            with contextlib.suppress(LinkClosed):  # the client did not wait
                self.link.offer(message)
            self.close()

    def tell(self, message: Changing) -> None:
        """Send the current step. A client that does not read misses steps, not the answer."""
        if self.link.fileno() >= 0:
            with contextlib.suppress(LinkClosed):
                self.link.offer(message)

    def close(self) -> None:
        self._on_close(self)
        self.link.close()


class Control:
    """The supervisor's side, driven by its selector. `on_request` gets each asking client."""

    def __init__(
        self, path: str, selector: selectors.BaseSelector, on_request: Callable[[Client], None]
    ) -> None:
        self._path = path
        self._selector = selector
        self._on_request = on_request
        self._clients: list[Client] = []
        self._listener = listen_sockets.unix(path)
        os.chmod(path, 0o600)  # noqa: PTH101 - the folder is 0700 from the start
        self._listener.setblocking(False)
        self._accept_at = float("inf")
        self._listen()

    def next_event(self) -> float:
        return min([self._accept_at, *(client.deadline for client in self._clients)])

    def tick(self, now: float) -> None:
        """Close silent connections; accept again after a shortage of descriptors."""
        for client in list(self._clients):
            if now >= client.deadline:
                client.close()
        if now >= self._accept_at:
            self._listen()

    def close(self, last: NotDone) -> None:
        """Send `last` to all connected clients and stop listening."""
        for client in list(self._clients):
            client.answer(last)
        if self._accept_at == float("inf"):
            self._selector.unregister(self._listener)
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108

    # ---- connections -------------------------------------------------------------------------

    def _listen(self) -> None:
        self._accept_at = float("inf")
        self._selector.register(self._listener, selectors.EVENT_READ, self._on_connect)

    def _on_connect(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _address = self._listener.accept()
            except BlockingIOError:
                return
            except (
                OSError
            ) as error:  # out of descriptors: the listener stays readable until one is free
                logs.warning(f"control: {error}")
                self._selector.unregister(self._listener)
                self._accept_at = clock.now() + _NO_DESCRIPTORS_S
                return
            self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        client = Client(sock, clock.now() + SILENCE_S, self._forget)
        if len(self._clients) >= CLIENTS:
            client.answer(BUSY)
            return
        self._clients.append(client)
        self._selector.register(client.link, selectors.EVENT_READ, partial(self._read, client))

    def _forget(self, client: Client) -> None:
        if client in self._clients:  # not if there were too many
            self._selector.unregister(client.link)
            self._clients.remove(client)

    def _read(self, client: Client) -> None:
        if client not in self._clients:  # closed in the turn that reported this message
            return
        try:
            messages = client.link.receive()
        except LinkError:  # it closed, or sent something that is no request
            client.close()
            return
        if client.request is not None and messages:
            client.close()
        elif messages:
            client.request = messages[0]
            client.deadline = float("inf")  # now the client waits for us
            self._on_request(client)


# ---- the command's side ------------------------------------------------------------------------


def ask(
    name: str,
    request: ToControl,
    deadline_s: float | None,
    on_step: Callable[[Changing], None] | None = None,
) -> Reloaded | Changed:
    """Send a request to the run of that name, and return its answer. `on_step` is called with each
    step of the run before the answer.

    `deadline_s`: None if the run itself ensures that there is an answer. Raises RunError, or the
    error that the run answered with.
    """
    path = run_dir(name)
    if not rundir.is_running(path):
        raise rundir.not_running(name)
    try:
        answer = _exchange(path, request, deadline_s, on_step or (lambda _: None))
    except LinkGarbled as error:
        raise RunError(
            f'the run "{name}" gave an invalid answer',
            "it runs another version of framefan",
            "stop it and start it again",
        ) from error
    except LinkClosed as error:
        raise RunError(
            f'the run "{name}" (pid {rundir.holder(path)}) does not answer',
            error.why or "it is starting or stopping",
            "try again in a few seconds; its log says more",
        ) from error
    if isinstance(answer, NotDone):
        kind = BY_EXIT_CODE.get(answer.exit_code, RunError)
        raise kind(answer.what, answer.why, answer.fix)
    return answer


def show(answer: Reloaded | Changed, lines: list[str], as_json: bool) -> None:
    """Print what was done: all of it for programs, `lines` for people."""
    if as_json:
        facts = {key: getattr(answer, key) for key in answer.__struct_fields__}
        facts = {key: each for key, each in facts.items() if each or key not in _OF_SEVERAL}
        lines = [msgspec.json.format(msgspec.json.encode(facts)).decode()]
    sys.stdout.write("\n".join(lines) + "\n")


def show_step(message: Changing) -> None:
    sys.stderr.write(f"  {message.step} ...\n")
    sys.stderr.flush()


def _exchange(
    path: Path,
    request: ToControl,
    deadline_s: float | None,
    on_step: Callable[[Changing], None],
) -> Reloaded | Changed | NotDone:
    """Raises LinkError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(deadline_s)
        try:
            sock.connect(str(path / CONTROL))
        except OSError as error:
            raise LinkClosed("its control socket does not answer") from error
        link: links.Link[FromControl] = links.Link(sock, FromControl)
        link.send(request)
        while True:
            for message in link.receive(block=True):
                if not isinstance(message, Changing):
                    return message
                sock.settimeout(None)  # the run is working, and has its own deadlines
                on_step(message)
