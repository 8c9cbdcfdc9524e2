"""Which of a camera's results a subscription lets through, and why it refuses the others.

`max_fps` uses a virtual clock per camera: a result passes if it was captured at the time `due` or
later. `due` then advances by one interval, or restarts from a result that is later than that by
more than an interval. So a limit of 20 per second on a camera of 30 gives 20, not 15. Cameras are
never quite regular, so a result may be slightly early.

No I/O: the time is that of capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Outcome

_EARLY_MOST_S = 0.005


class Selection:
    """Selects among the results of a subscription's cameras, which come in order."""

    def __init__(self, subscription: Subscription, *, backwards: bool = False) -> None:
        """`backwards`: results come newest first."""
        self._direction = -1 if backwards else 1
        self._nonempty = subscription.nonempty
        self._detection_filter = subscription.detection_filter
        self._interval_s = 1 / subscription.max_fps if subscription.max_fps else 0.0
        self._early_s = min(self._interval_s / 4, _EARLY_MOST_S)
        self._due: dict[str, float] = {}
        self.everything = not self._nonempty and not self._interval_s
        """Whether the subscription lets every result through."""

    def refuses(self, outcome: Outcome) -> Literal["filtered", "max_fps"] | None:
        """The cause for which the result is refused; None if it passes."""
        if self._nonempty and outcome.empty(self._detection_filter):
            return "filtered"
        if self._interval_s and not self._in_time(outcome):
            return "max_fps"
        return None

    def continue_from(self, before: Selection) -> None:
        """Start where an earlier selection was, so that a change adds no result to `max_fps`."""
        self._due = dict(before._due)

    def forget(self, camera: str) -> None:
        self._due.pop(camera, None)

    def _in_time(self, outcome: Outcome) -> bool:
        at, interval = self._direction * outcome.record.captured_at, self._interval_s
        due = self._due.get(outcome.camera)
        if due is None or not -2 * interval < at - due < interval:
            self._due[outcome.camera] = at + interval  # first, late, or from another clock
            return True
        if at < due - self._early_s:
            return False
        self._due[outcome.camera] = due + interval
        return True
