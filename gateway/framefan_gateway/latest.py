"""The delivery `latest`: of each camera the newest, and exactly how many it replaced.

In step, a client gets each outcome as it comes. Out of step it keeps one mark per camera: what is
pending is the newest outcome past the mark, and what that replaced is a difference of two marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan_gateway.accounts import NOTHING, Loss, Mark, Missed, Totals
from framefan_gateway.feed import START, Feed
from framefan_gateway.outbox import Due, Outbox

if TYPE_CHECKING:
    from framefan_gateway.contract import Contract
    from framefan_gateway.history import History
    from framefan_gateway.wire import Notice, Outcome

_CONFLATED = Missed(conflated=1)


class LatestFeed(Feed):
    """`latest`: of each camera the newest outcome is due, and how many it replaced."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self.told: dict[str, Mark] = {}
        """By camera, the line's mark at the last message that the clients in step were sent."""
        self.notices: dict[tuple[object, ...], tuple[int, Notice]] = {}
        """By subject, the newest notice and its number: statuses conflate like results."""
        self.noticed = 0

    def prime(self, camera: str, history: History) -> None:
        super().prime(camera, history)
        self.told[camera] = self.lines[camera].latest_mark

    def outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:
        camera = outcome.camera
        line = self.lines[camera]
        told = self.told.get(camera, START)
        selection = self._selection
        if not selection.everything:
            cause = selection.refuses(outcome)
            if cause is not None:
                self.told[camera] = told
                self._refuse(line, cause)
                return
            superseded = False  # the newer one may be refused
        nothing = told is line.now  # the ordinary case: no loss since
        line.outcome(outcome)
        if superseded:
            self.told[camera] = told
            self._lose(_CONFLATED)
            return
        mark = self.told[camera] = line.latest_mark
        missed = NOTHING if nothing else told.missed_until(mark)
        self._due(outcome.frame(self.format, missed, now, self.picks), results=1)
        if self.contract.preview:
            self._show(outcome, missed, now)

    def loss(self, loss: Loss) -> None:
        self.lines[loss.camera].loss(loss)
        self.told.setdefault(loss.camera, START)
        self._lose(loss.missed)

    def release(self, camera: str, notice: Notice) -> None:
        self._drop(camera)
        self.told.pop(camera, None)
        self.notices = {of: last for of, last in self.notices.items() if of[1] != camera}
        self._due(notice.frame(self.format))

    def notice(self, subject: tuple[object, ...], notice: Notice) -> None:
        self.noticed += 1
        self.notices[subject] = (self.noticed, notice)
        self._due(notice.frame(self.format))


class LatestOutbox(Outbox):
    """`latest`: what is pending is the newest of each camera."""

    def __init__(self, feed: LatestFeed, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        super().__init__(feed, own)
        self._of = feed
        self._noticed = feed.noticed
        self._marks: dict[str, Mark] = {}

    def begin(self, camera: str, now: float) -> None:  # noqa: ARG002 - encoded when it is drained
        line = self._of.lines[camera]
        if not line.current:
            self._marks[camera] = line.now
            return
        last = line.latest_mark
        self._marks[camera] = last._replace(results=last.results - 1)
        passed = Totals.of(last.passed_until(line.now))
        self._own = self._own.plus(passed).plus(Totals(offered=1))

    def go_on(self, camera: str, carry: Missed) -> None:
        self._marks[camera] = self._of.lines[camera].now
        if any(carry):
            self._carry[camera] = carry

    def _untold(self, camera: str) -> Missed:
        mark, line = self._marks.get(camera, Mark()), self._of.lines[camera]
        return mark.passed_until(line.now).plus(self._carry.get(camera, NOTHING))

    def release(self, camera: str, notice: Notice) -> None:
        self._keep_due(camera)
        self._marks.pop(camera, None)
        self._first.extend(self._over(camera))
        self.greet(notice.frame(self._of.format))

    def _keep_due(self, camera: str) -> None:
        """Have the newest of a camera leave from here: the feed will know of it no more."""
        line, mark = self._of.lines.get(camera), self._marks.get(camera, START)
        if line is None or line.latest is None or line.now.results == mark.results:
            return
        missed = mark.missed_until(line.latest_mark)
        self._own = self._own.plus(Totals(conflated=missed.conflated))
        told = self._tell_besides(line.latest, missed)
        if told is not None:
            self._first.extend(told[0])
            self._first.append(Due(line.latest, told[1], self._of))

    def step_in(self) -> bool:
        """Its marks are the feed's from here on."""
        stepped = super().step_in()
        if stepped:
            self._marks = {}
        return stepped

    def step_out(self) -> None:
        super().step_out()
        self._marks = dict(self._of.told)
        self._noticed = self._of.noticed

    def drain(self, now: float, most_bytes: int) -> bytes:
        """The newest of each camera, once what comes first is through."""
        parts, results = self._take_first(now, most_bytes)
        if self._first:
            return self._sent(parts, results)
        parts += self._notices()
        conflated = 0
        for camera, line in self._of.lines.items():
            mark = self._marks.setdefault(camera, Mark())
            if line.latest is None or line.now.results == mark.results:
                continue
            missed = mark.missed_until(line.latest_mark)
            self._marks[camera] = line.latest_mark
            conflated += missed.conflated
            frames = self._frames(line.latest, missed, now)
            results += bool(frames)
            parts += frames
        return self._sent(parts, results, conflated)

    def _notices(self) -> list[bytes]:
        feed = self._of
        if self._noticed == feed.noticed:
            return []
        due = sorted((n, notice) for n, notice in feed.notices.values() if n > self._noticed)
        self._noticed = feed.noticed
        return [notice.frame(feed.format) for _, notice in due]

    def _level(self) -> bool:
        return self._noticed == self._of.noticed and self._marks == self._of.told

    def _passed(self) -> Totals:
        """Results that a newer one has already replaced count as conflated, not as pending."""
        passed = super()._passed()
        conflated = 0
        for camera, line in self._of.lines.items():
            unsent = line.now.results - self._marks.get(camera, Mark()).results
            conflated += max(unsent - 1, 0)
        return passed._replace(conflated=conflated)
