"""The live results of a run, for programs without coroutines: what `connect_sync` gives.

It is the feed of `connect`, whose event loop runs in a thread of its own. That thread answers the
gateway's pings while the program is busy with a message, for minutes if need be; and a program
that has an event loop, a notebook for example, may block on this one all the same. What the thread
has read lies in `_ready` until it is taken, so nothing is lost by Ctrl-C in the middle of a wait.
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
    """An event loop in a thread of its own, which ends with the program at the latest."""

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
        """What `work` returns or raises; it is cancelled where Ctrl-C ends the wait for it."""
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
        """Whoever still waits for something is told that it will not come."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


class SyncFeed:
    """What `connect_sync` gives: an iterator of `Result` and `Failure`, the two outcomes.

    Iterating raises `Refused` when the gateway says no, and would again: a wrong token, a camera
    that does not exist. What passes by itself is waited for. Other threads may use it as well, to
    send commands, to close it, or to take the next message themselves.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._thread = LoopThread()
        self._ready: deque[Message] = deque()

    # ---- what it tells ----------------------------------------------------------------------

    @property
    def missed(self) -> dict[str, dict[str, int]]:
        """How many results were not sent, by camera and cause (`framefan.ipc.protocol.CAUSES`)."""
        return self._feed.missed

    @property
    def recovered(self) -> bool | None:
        """Whether the last reconnection left nothing out; None before, or while not told yet."""
        return self._feed.recovered

    @property
    def url(self) -> str:
        """Where it connects to, without what is asked for."""
        return self._feed.url

    @property
    def connected(self) -> bool:
        return self._feed.connected

    @property
    def trouble(self) -> str:
        """Why it is not connected, in one line; empty while it is."""
        return self._feed.trouble

    @property
    def contract(self) -> dict[str, Any]:
        """What is asked for now; restored after each reconnection."""
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
        """Everything, typed: also `Status`, `Gap`, `Resumed` and `Reply`."""
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
        """One more into `_ready`."""
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
        """Until the first connection stands; `connect_sync` does this."""
        self._thread.run(self._feed.open())

    def close(self) -> None:
        """Say goodbye to the gateway; `connect_sync` does this. What was read may still be
        iterated.
        """
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
        """Ask for something else: `cameras`, `delivery`, `max_fps`, `labels`, `min_confidence`,
        `nonempty` or `history`. What is not named stays; None: all of them, or no limit.

        Answers the whole contract from here on. Raises CommandFailed when the gateway does not
        accept it, and TimeoutError when no answer has come within `timeout_s` seconds.
        """
        return self._command(self._feed.subscribe(timeout_s=timeout_s, **changes))

    def unsubscribe(self, *cameras: str, timeout_s: float = REPLY_S) -> dict[str, Any]:
        """Hear no more of these cameras, or of any; answers and raises as `subscribe`."""
        return self._command(self._feed.unsubscribe(*cameras, timeout_s=timeout_s))

    def ping(self, *, timeout_s: float = REPLY_S) -> float:
        """Seconds there and back, behind whatever is on its way here. Raises as `subscribe`."""
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
