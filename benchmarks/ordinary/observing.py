"""What ordinary clients have in common: what they are asked for, and what they print of it.

A program of this folder gets one JSON object as its argument and prints a JSON object a line: one
for each result as its handler begins with it, and one for each event: `opened`, `closed`, other
messages. It shares nothing with framefan but the protocol, and ends with the process that started
it.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG = 1


class Observer:
    """One client: its address, its handler's time, and its notes on standard output.

    The argument's keys: `url`; `ack`: a window or "auto", else null; `handler`: a list of
    [from second, seconds a result]; `pauses`: a list of [second, seconds] at which the whole
    program stands still once; `resume`: come back with `since`; `retry_s`; `options`: keyword
    arguments for the library's connect; `token`.
    """

    def __init__(self, argument: str | None = None) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        asked: dict[str, Any] = json.loads(argument or sys.argv[1])
        self._url: str = asked["url"]
        self.ack: int | str | None = asked.get("ack")
        self._handler: list[list[float]] = asked.get("handler") or [[0, 0]]
        self._pauses: list[list[float]] = list(asked.get("pauses") or [])
        self._resumes: bool = asked.get("resume", False)
        self.retry_s: float = asked.get("retry_s", 0.5)
        self.options: dict[str, Any] = asked.get("options") or {}
        self.token: str = asked.get("token") or ""
        self._positions: dict[str, str] = {}
        self._handled = 0
        self._began = 0.0

    @property
    def blocks(self) -> bool:
        """Whether the handler blocks the thread that reads."""
        return bool(self.options.get("blocks"))

    def url(self) -> str:
        """Where to connect to now."""
        query = [f"ack={self.ack}"] if self.ack else []
        if self._resumes and self._positions:
            query.append("since=" + ",".join(self._positions.values()))
        mark = "&" if "?" in self._url else "?"
        return self._url + (mark + "&".join(query) if query else "")

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def opened(self) -> None:
        self._handled = 0
        if not self._began:
            self._began = time.monotonic()
        self.say(event="opened")

    def closed(self, why: object) -> None:
        self.say(event="closed", why=repr(why)[:160])

    def begins(self, text: str | bytes) -> float:
        """Note a message; how many seconds its handler takes."""
        return self.handles(json.loads(text))

    def handles(self, message: dict[str, Any]) -> float:
        self._handled += 1
        kind = message["type"]
        if kind not in ("result", "error"):
            self.say(event=kind, **_told(message))
            return 0.0
        camera, epoch, seq = message["camera"], message["epoch"], message["seq"]
        missed, ts = message["missed"], message["ts"]
        self.say(camera=camera, epoch=epoch, seq=seq, missed=missed, ts=ts)
        self._positions[camera] = f"{camera}:{epoch}:{seq}"
        return self._takes(time.monotonic() - self._began)

    def _takes(self, second: float) -> float:
        if self._pauses and second >= self._pauses[0][0]:
            time.sleep(self._pauses.pop(0)[1])
            self.say(event="paused")
        return next(takes for begins, takes in reversed(self._handler) if second >= begins)

    def acknowledgement(self) -> str:
        return json.dumps({"ack": self._handled})

    def say(self, **facts: Any) -> None:
        line = json.dumps({"at": time.monotonic(), "wall": time.time(), **facts})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _told(message: dict[str, Any]) -> dict[str, Any]:
    """Of an event, what an account needs."""
    names = ("camera", "epoch", "state", "missed", "first_seq", "last_seq", "recovered", "error")
    return {name: message[name] for name in names if name in message}
