"""Circuit breakers: a camera whose frames keep killing workers is skipped for a while.

              deaths                    retry_s later
    closed ------------> open -------------------------> half_open
       ^                  ^                               |     |
       |                  +------- its worker died -------+     |
       +------------------- its worker survived ----------------+

1. A frame is never leased twice, so a frame that kills its worker costs one worker. When `deaths`
   workers have died within `within_s` while they held frames of one camera, that camera's circuit
   opens: its frames are superseded, cause `circuit`, and no worker gets them.
2. After `retry_s` one frame is leased. If its worker survives, the circuit closes; if it dies, the
   circuit opens again.
3. When a worker dies in a call with frames of several cameras, the cause is unknown, so the death
   counts for none of them. But for `within_s` after it, each of these cameras gets calls of its own
   with one frame each, so that the next death has one cause.

A worker that is killed from outside while it predicts looks the same, and counts too. With `deaths`
0 no death is counted and no circuit opens. Pure: times are arguments, in seconds of one monotonic
clock.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

State = Literal["closed", "open", "half_open"]
_NOBODY: frozenset[str] = frozenset()


class Change(NamedTuple):
    """A circuit changed its state; `message` explains why."""

    camera: str
    state: State
    message: str
    next_try_s: float | None = None


class _Circuit:
    """The circuit of one camera that has had a death."""

    def __init__(self) -> None:
        self.state: State = "closed"
        self.message = ""
        self.deaths: deque[float] = deque()
        """When workers died with frames of only this camera."""
        self.alone_until = 0.0
        self.retry_at = 0.0
        self.probe: int | None = None
        """The lease of the one frame that is tried while `half_open`."""


class CircuitBreaker:
    """The circuits of one predictor by camera; a camera without deaths has none."""

    def __init__(self, deaths: int, within_s: float, retry_s: float) -> None:
        self._limit = deaths
        self._within_s = within_s
        self._retry_s = retry_s
        self._circuits: dict[str, _Circuit] = {}
        self.changes: list[Change] = []
        """Changes not published yet; the publisher of them clears the list."""

    @property
    def counts(self) -> bool:
        """Whether deaths count for the camera, and so not for the worker."""
        return self._limit > 0

    # ---- events -----------------------------------------------------------------------------

    def died(self, cameras: Collection[str], now: float) -> list[str]:
        """A worker died with frames of these cameras; returns the cameras whose circuit opens."""
        if not self._limit:
            return []
        for camera in cameras:
            circuit = self._circuits.setdefault(camera, _Circuit())
            circuit.alone_until = now + self._within_s
        if len(cameras) == 1:
            suspects = list(cameras)
        else:  # a tried frame goes alone; if it did not, its trial has failed all the same
            suspects = [each for each in cameras if self._circuits[each].state == "half_open"]
        return [each for each in suspects if self._convicts(each, self._circuits[each], now)]

    def _convicts(self, camera: str, circuit: _Circuit, now: float) -> bool:
        circuit.deaths.append(now)
        while now - circuit.deaths[0] > self._within_s:
            circuit.deaths.popleft()
        if circuit.state == "open":
            return False  # another worker held a frame of it when the circuit opened
        if circuit.state == "half_open":
            why = "the worker that tried one of its frames died too"
        elif len(circuit.deaths) >= self._limit:
            why = (
                f"{len(circuit.deaths)} workers died within {self._within_s:g} s "
                "while predicting frames of this camera"
            )
        else:
            return False
        circuit.retry_at = now + self._retry_s
        circuit.probe = None
        text = f"{why}; its frames are skipped for {self._retry_s:g} s, then one is tried"
        self._enter(camera, circuit, "open", text, self._retry_s)
        return True

    def admits(self, camera: str, now: float, in_line: bool) -> bool:
        """Whether a frame of the camera may wait for a worker.

        `in_line`: another one waits already and would not be replaced by this one.
        """
        circuit = self._circuits.get(camera)
        if circuit is None or circuit.state == "closed":
            return True
        if circuit.state == "open":
            if now < circuit.retry_at:
                return False
            self._enter(camera, circuit, "half_open", "one frame of this camera is tried")
        return circuit.probe is None and not in_line

    def leased(self, camera: str, lease: int) -> None:
        circuit = self._circuits.get(camera)
        if circuit and circuit.state == "half_open" and circuit.probe is None:
            circuit.probe = lease

    def returned(self, camera: str, lease: int) -> None:
        """A worker returned a frame, so it survived."""
        circuit = self._circuits.get(camera)
        if circuit and circuit.state == "half_open" and circuit.probe == lease:
            self._close(camera, circuit, "a worker predicted one of its frames and survived")

    def _close(self, camera: str, circuit: _Circuit, why: str) -> None:
        circuit.deaths.clear()
        circuit.probe = None
        self._enter(camera, circuit, "closed", f"{why}; frames of this camera are predicted again")

    def drop(self, camera: str) -> None:
        """The camera has left: drop its circuit."""
        self._circuits.pop(camera, None)

    def leave(self, camera: str) -> None:
        """The camera gets another predictor: its deaths count no more."""
        circuit = self._circuits.pop(camera, None)
        if circuit and circuit.state != "closed":
            self._close(camera, circuit, "the camera has another predictor")

    def forget(self) -> None:
        """Start over for another predictor, which has no deaths yet."""
        for camera, circuit in self._circuits.items():
            if circuit.state != "closed":
                self._close(camera, circuit, "the predictor was changed")
        self._circuits.clear()

    def _enter(
        self,
        camera: str,
        circuit: _Circuit,
        state: State,
        message: str,
        next_try_s: float | None = None,
    ) -> None:
        circuit.state, circuit.message = state, message
        self.changes.append(Change(camera, state, message, next_try_s))

    # ---- what it knows ----------------------------------------------------------------------

    def alone(self, now: float) -> frozenset[str]:
        """Cameras whose frames must not share a call with those of others."""
        if not self._circuits:
            return _NOBODY
        over = [
            camera
            for camera, circuit in self._circuits.items()
            if circuit.state == "closed" and now > circuit.alone_until
        ]
        for camera in over:
            del self._circuits[camera]
        return frozenset(self._circuits)

    def state(self, camera: str) -> tuple[State, str]:
        """The state of a camera's circuit, and why it is not closed."""
        circuit = self._circuits.get(camera)
        if circuit is None or circuit.state == "closed":
            return "closed", ""
        return circuit.state, circuit.message
