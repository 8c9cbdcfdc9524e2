"""Clients as people write them, each in a process of its own, and what is checked of each.

1. What an outcome says it missed is the hole before it, also behind a return with `since`.
2. A connection ends only if a gateway was killed while it lasted, and one such kill ends one
   connection of a client.
3. What a client that acknowledges begins to handle is at most two handler times and a second old,
   except during a fault and for some seconds after it.
4. In each quiet spell everybody handles something.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from waiting import SCALE

from framefan.base.clock import wall

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = Path(__file__).parents[1] / "ordinary_client.py"
CALM_S = 5.0
"""For so long after a fault ages are not judged."""
SLACK_S = 1.0
ENDS = (1001, 1006, None)
"""How a connection to a killed gateway ends; None: its library does not say."""


class Kind(NamedTuple):
    name: str
    library: str
    query: str
    handler_s: float
    acknowledges: bool = True


STOPPED = "stopped now and then"
KINDS = (
    Kind("handler of 0.5 s", "websockets", "", 0.5, acknowledges=False),
    Kind("handler of 0.5 s, ack=1", "websockets-sync", "?ack=1", 0.5),
    Kind("handler of 0.5 s, ack=auto", "aiohttp", "?ack=auto", 0.5),
    Kind("handler of 0.1 s, ack=3", "websocket-client", "?ack=3", 0.1),
    Kind(STOPPED, "websockets", "", 0.0, acknowledges=False),
    Kind("connect_sync", "framefan-sync", "", 0.1),
)


@dataclass
class Trouble:
    """A fault, in wall time."""

    began: float
    kills_gateway: bool = False
    done: float = math.inf
    """It has been done."""
    over: float = math.inf
    """All was well again."""


@dataclass
class Account:
    """What one client said, checked line by line."""

    kind: Kind
    troubles: list[Trouble]
    outcomes: int = 0
    ends: int = 0
    judged: int = 0
    """Outcomes whose age was judged."""
    oldest_s: float = 0.0
    """Of those."""
    last_at: float = 0.0
    wrong: list[str] = field(default_factory=list)
    _next: dict[tuple[str, str], int] = field(default_factory=dict)
    _excused: list[Trouble] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        if "closed" in line:
            self._end(line)
        else:
            self._outcome(line)

    def _outcome(self, line: dict[str, Any]) -> None:
        self.outcomes += 1
        self.last_at = line["at"]
        key = line["camera"], line["epoch"]
        due, found = self._next.get(key), line["seq"] - line["missed"]
        if due not in (None, found):
            self._say(f"{due} was due, {found} came", line)
        self._next[key] = line["seq"] + 1
        if self.kind.acknowledges and self._is_quiet(line["at"]):
            age = line["at"] - line["ts"]
            self.judged += 1
            self.oldest_s = max(self.oldest_s, age)
            if age > (2 * self.kind.handler_s + SLACK_S) * SCALE:
                self._say(f"{age:.2f} s old at the handler", line)

    def _is_quiet(self, at: float) -> bool:
        return not any(each.began <= at < each.over + CALM_S for each in self.troubles[-9:])

    def _end(self, line: dict[str, Any]) -> None:
        self.ends += 1
        for each in self.troubles:
            killed = each.kills_gateway and line["began"] < each.done and each.began < line["at"]
            if killed and each not in self._excused and line["closed"] in ENDS:
                self._excused.append(each)
                return
        self._say("closed, and by no killed gateway", line)

    def _say(self, text: str, line: dict[str, Any]) -> None:
        if len(self.wrong) < 10:
            self.wrong.append(f"ordinary client, {self.kind.name}: {text}: {json.dumps(line)}")


class Ordinary:
    """All of them, while this context is open."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.troubles: list[Trouble] = []
        self.accounts = [Account(kind, self.troubles) for kind in KINDS]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._processes = [self._start(stack, account) for account in self.accounts]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack, account: Account) -> subprocess.Popen[bytes]:
        kind = account.kind
        arguments = (kind.library, self._url + kind.query, str(kind.handler_s), "--reconnect")
        process = stack.enter_context(
            subprocess.Popen([sys.executable, PROGRAM, *arguments], stdout=subprocess.PIPE)
        )
        thread = threading.Thread(target=_read, args=(process, account))
        stack.callback(thread.join)
        stack.callback(process.kill)
        thread.start()
        return process

    @property
    def stopped_pid(self) -> int:
        """Of the one that may be stopped."""
        return next(
            process.pid
            for process, account in zip(self._processes, self.accounts, strict=True)
            if account.kind.name == STOPPED
        )

    def trouble(self, *, kills_gateway: bool) -> Trouble:
        """A fault begins now; whoever injects it says when it is done and over."""
        self.troubles.append(Trouble(wall(), kills_gateway))
        return self.troubles[-1]

    def idle(self, since: float) -> list[str]:
        """Who has handled nothing since that wall time."""
        return [each.kind.name for each in self.accounts if each.last_at < since]


def _read(process: subprocess.Popen[bytes], account: Account) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.endswith(b"\n"):  # else it was killed in the middle
            account.take(json.loads(line))
