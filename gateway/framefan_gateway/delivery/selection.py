"""Which of a camera's results a subscription asks for, and why not the others.

The rate is kept by a virtual clock for each camera: a result is due once the camera's time of
capture reaches the moment `due`, which then moves on by one interval, or starts anew from a result
that comes late by more than that. So a limit of 20 a second on a camera of 30 gives 20, not 15.
Cameras are never quite regular, so a result may be a little early.

Pure: the time is the results' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Outcome

_EARLY_MOST_S = 0.005


class Selection:
    """One run through the results of a subscription's cameras."""

    def __init__(self, subscription: Subscription, *, backwards: bool = False) -> None:
        """`backwards`: the newest result is asked about first."""
        self._direction = -1 if backwards else 1
        self._nonempty = subscription.nonempty
        self._picks = subscription.picks
        self._interval_s = 1 / subscription.max_fps if subscription.max_fps else 0.0
        self._early_s = min(self._interval_s / 4, _EARLY_MOST_S)
        self._due: dict[str, float] = {}
        self.everything = not self._nonempty and not self._interval_s
        """Whether no result is ever refused."""

    def refuses(self, outcome: Outcome) -> Literal["filtered", "max_fps"] | None:
        """The cause for which a result is not sent; None when it is due."""
        if self._nonempty and outcome.empty(self._picks):
            return "filtered"
        if self._interval_s and not self._in_time(outcome):
            return "max_fps"
        return None

    def forget(self, camera: str) -> None:
        self._due.pop(camera, None)

    def _in_time(self, outcome: Outcome) -> bool:
        at, interval = self._direction * outcome.record.captured_at, self._interval_s
        due = self._due.get(outcome.camera)
        if due is None or not -2 * interval < at - due < interval:
            self._due[outcome.camera] = at + interval  # the first, late, or of another clock
            return True
        if at < due - self._early_s:
            return False
        self._due[outcome.camera] = due + interval
        return True
