"""The feed of a run's live results for programs without asyncio, which `connect_sync` returns.

It is the feed of `connect`, with its event loop in a separate thread. That thread answers the
gateway's pings while the program processes a message, even for minutes. A program with its own
event loop, such as a notebook, can use this feed too. Messages that the thread has read stay in
`_ready` until they are taken, so Ctrl-C during a wait loses none.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from framefan.client.live_feed import REPLY_S
from framefan.errors import Unreachable
from framefan.ipc.protocol import Failure, Result

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Unpack

    from framefan.client.connector import Changes
    from framefan.client.live_feed import Feed
    from framefan.ipc.protocol import Message

T = TypeVar("T")


class _Stopped(Exception):
    """The thread is gone."""


class LoopThread:
    """An event loop in a separate thread, which ends with the program at the latest."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="framefan.client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stop.wait())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return or raise what `work` does. Ctrl-C during the wait cancels `work`."""
        with self._lock:  # or the loop might end between the look and the call
            if self._stopping:
                work.close()
                raise _Stopped
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise _Stopped from None
        except BaseException:  # Ctrl-C too: nothing may go on without the caller
            future.cancel()
            raise

    def stop(self) -> None:
        """Stop the thread. Callers that still wait get an error."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


class SyncFeed:
    """The feed that `connect_sync` returns: an iterator of `Result` and `Failure`.

    Iterating raises `Refused` for errors that a retry cannot fix, such as a wrong token or a camera
    that does not exist. After a temporary error the feed reconnects. Other threads may use the feed
    as well: to send commands, to close it, or to take the next message.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._thread = LoopThread()
        self._ready: deque[Message] = deque()

    # ---- state ------------------------------------------------------------------------------

    @property
    def missed(self) -> dict[str, dict[str, int]]:
        """How many results were not sent, by camera and cause (`framefan.ipc.protocol.CAUSES`)."""
        return self._feed.missed

    @property
    def recovered(self) -> bool | None:
        """Whether the last reconnection recovered every result; None if there was none or it is
        not known yet.
        """
        return self._feed.recovered

    @property
    def url(self) -> str:
        """The address that it connects to, without the query."""
        return self._feed.url

    @property
    def connected(self) -> bool:
        return self._feed.connected

    @property
    def trouble(self) -> str:
        """Why it is not connected, in one line; empty while connected."""
        return self._feed.trouble

    @property
    def contract(self) -> dict[str, Any]:
        """The current subscription, which each reconnection restores."""
        return self._feed.contract

    # ---- reading ----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Result | Failure]:
        return self

    def __next__(self) -> Result | Failure:
        """The next outcome; StopIteration after `close`."""
        while True:
            message = self.next_message()
            if isinstance(message, Result | Failure):
                return message

    def messages(self) -> Iterator[Message]:
        """All messages, also `Status`, `Gap`, `Resumed` and `Reply`."""
        return _Messages(self)

    def next_message(self, *, timeout_s: float | None = None) -> Message:
        """The next of `messages`; raises Refused, StopIteration after `close`, and TimeoutError
        when none has come within `timeout_s` seconds.
        """
        while True:
            try:
                return self._ready.popleft()
            except IndexError:
                self._read(timeout_s)

    def _read(self, timeout_s: float | None) -> None:
        """Read one more message into `_ready`."""
        try:
            self._thread.run(self._next(timeout_s))
        except StopAsyncIteration:
            raise StopIteration from None
        except _Stopped:
            message = self._feed.next_held()  # the thread that took them is gone
            if message is None:
                raise StopIteration from None
            self._ready.append(message)

    async def _next(self, timeout_s: float | None) -> None:
        async with asyncio.timeout(timeout_s):
            message = await self._feed.next_message()
        self._ready.append(message)

    # ---- connecting -------------------------------------------------------------------------

    def open(self) -> None:
        """Wait for the first connection; `connect_sync` does this."""
        self._thread.run(self._feed.open())

    def close(self) -> None:
        """Close the connection; `connect_sync` does this. Messages already read stay iterable."""
        try:
            self._thread.run(self._feed.close())
        except _Stopped:
            pass
        finally:
            self._thread.stop()

    # ---- commands ---------------------------------------------------------------------------

    def subscribe(
        self, *, timeout_s: float = REPLY_S, **changes: Unpack[Changes]
    ) -> dict[str, Any]:
        """Change the subscription: `cameras`, `delivery`, `max_fps`, `labels`, `min_confidence`,
        `nonempty` or `history`. Parameters not given keep their value; None: all, or no limit.

        Returns the complete new subscription. Raises CommandFailed when the gateway does not accept
        it, and TimeoutError when no reply has come within `timeout_s` seconds.
        """
        return self._command(self._feed.subscribe(timeout_s=timeout_s, **changes))

    def unsubscribe(self, *cameras: str, timeout_s: float = REPLY_S) -> dict[str, Any]:
        """Stop receiving these cameras, or all; returns and raises like `subscribe`."""
        return self._command(self._feed.unsubscribe(*cameras, timeout_s=timeout_s))

    def ping(self, *, timeout_s: float = REPLY_S) -> float:
        """Round-trip time in seconds, including messages in transit. Raises like `subscribe`."""
        return self._command(self._feed.ping(timeout_s=timeout_s))

    def _command(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._thread.run(work)
        except _Stopped:
            raise Unreachable("the feed was closed before the answer came") from None


class _Messages:
    def __init__(self, feed: SyncFeed) -> None:
        self._feed = feed

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        return self._feed.next_message()
