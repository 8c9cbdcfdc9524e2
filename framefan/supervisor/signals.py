"""Signals as bytes on a socket: handlers do nothing; the loop that reads the socket acts."""

from __future__ import annotations

import signal
import socket
from typing import Any

_STOPS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_SAME_SIGNAL_S = 0.25
"""timeout(1) and some shells send a signal twice, to the process and to its group. Two signals
within this time count as one."""


class Signals:
    """Signals as bytes on a socket, while the context lasts."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.settimeout(0)
        self._write.settimeout(0)
        self._before: dict[int, Any] = {}
        self._stopped_at: float | None = None

    def __enter__(self) -> Signals:
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (*_STOPS, signal.SIGCHLD):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started by nohup: the run must outlive its terminal
            self._before[number] = signal.signal(number, lambda *_: None)
        # Whoever started it may have blocked signals; it and its children would hear none.
        self._mask = signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        return self._read.fileno()

    def stops(self, now: float) -> int:
        """How many requests to stop have arrived since the last call."""
        try:
            numbers = self._read.recv(4096)
        except BlockingIOError:
            return 0
        asked = 0
        for _ in (number for number in numbers if number in _STOPS):
            if self._stopped_at is None or now - self._stopped_at > _SAME_SIGNAL_S:
                asked += 1
                self._stopped_at = now
        return asked
