"""The delivery `latest`: of each camera the newest, and exactly how many it replaced.

In step, a client gets each outcome as it comes. Out of step it keeps one mark per camera: what is
pending is the newest outcome past the mark, and what that replaced is a difference of two marks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed, Offset, Totals
from framefan_gateway.delivery.cursor import Cursor
from framefan_gateway.delivery.due import Ready
from framefan_gateway.delivery.replay import Due
from framefan_gateway.delivery.stream import START, Stream

if TYPE_CHECKING:
    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Body, Notice, Outcome

_CONFLATED = Missed(conflated=1)


class LatestStream(Stream):
    """`latest`: of each camera the newest outcome is due, and how many it replaced."""

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(subscription)
        self.told: dict[str, Offset] = {}
        """By camera, the line's mark at the last message that the clients in step were sent."""
        self.notices: dict[tuple[object, ...], tuple[int, Notice]] = {}
        """By subject, the newest notice and its number: statuses conflate like results."""
        self.noticed = 0
        self._left_out: dict[str, int] = {}
        """By camera, what was superseded since its last message."""
        self.given_told = self.told
        self.given_noticed = 0
        self.given_left_out = 0
        """As of the last batch that was taken, like `given`."""

    def take_batch(self) -> list[Body]:
        self.given_told = dict(self.told)
        self.given_noticed = self.noticed
        self.given_left_out = sum(self._left_out.values())
        return super().take_batch()

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
            self._left_out[camera] = self._left_out.get(camera, 0) + 1
            self._lose(_CONFLATED)
            return
        self._left_out.pop(camera, None)
        mark = self.told[camera] = line.latest_mark
        missed = NOTHING if nothing else told.missed_until(mark)
        self._due(outcome.body(self.format, missed, now, self.picks), results=1)
        if self.subscription.preview:
            self._show(outcome, missed, now)

    def loss(self, loss: Loss) -> None:
        self.lines[loss.camera].passed(loss.cause, loss.seqs)
        self.told.setdefault(loss.camera, START)
        self._lose(loss.missed)

    def release(self, camera: str, notice: Notice) -> None:
        self._drop(camera)
        self.told.pop(camera, None)
        self.given_told.pop(camera, None)
        self._left_out.pop(camera, None)
        self.notices = {of: last for of, last in self.notices.items() if of[1] != camera}
        self._due(notice.body(self.format))

    def notice(self, subject: tuple[object, ...], notice: Notice) -> None:
        self.noticed += 1
        self.notices[subject] = (self.noticed, notice)
        self._due(notice.body(self.format))


class LatestCursor(Cursor):
    """`latest`: what is pending is the newest of each camera."""

    def __init__(self, stream: LatestStream, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        super().__init__(stream, own)
        self._of = stream
        self._noticed = stream.noticed
        self._marks: dict[str, Offset] = {}
        """By camera; the one that was served longest ago comes first."""

    def go_on(self, camera: str, carry: Missed) -> None:
        now, told = self._of.lines[camera].now, self._of.told.get(camera, START)
        if now.results == told.results:  # the others will be told what lies between: this one not
            self._marks[camera] = told
            self._carry_on(camera, carry.minus(told.passed_until(now)))
        else:
            self._marks[camera] = now
            self._carry_on(camera, carry)

    def _untold(self, camera: str) -> Missed:
        mark, line = self._marks.get(camera, START), self._of.lines[camera]
        return mark.passed_until(line.now).plus(self._carry.get(camera, NOTHING))

    def release(self, camera: str, notice: Notice) -> None:
        self._finish(camera)  # its end is told with what comes behind it
        self._keep_due(camera)
        self._marks.pop(camera, None)
        self._first.extend(self._over(camera))
        self.greet(notice.body(self._of.format))

    def _keep_due(self, camera: str) -> None:
        """Have the newest of a camera leave from here: the stream will know of it no more."""
        line, mark = self._of.lines.get(camera), self._marks.get(camera, START)
        if line is None or line.latest is None or line.now.results == mark.results:
            return
        missed = mark.missed_until(line.latest_mark)
        self._own = self._own.plus(Totals(conflated=missed.conflated))
        told = self._tell_besides(line.latest, missed)
        if told is not None:
            self._first.extend(told[0])
            self._first.append(Ready(Due(line.latest, told[1]), self._of))

    def step_in(self) -> bool:
        """Its marks are the stream's from here on."""
        stepped = super().step_in()
        if stepped:
            self._marks = {}
        return stepped

    def step_out(self) -> None:
        """What the stream has left out, but not told yet, is ours to count from here on."""
        super().step_out()
        stream = self._of
        self._marks = dict(stream.given_told)
        self._noticed = stream.given_noticed
        if stream.given_left_out:
            self._own = self._own.minus(Totals(conflated=stream.given_left_out))

    def _take_live(
        self,
        now: float,
        most_bytes: int,  # noqa: ARG002 - few enough not to be bounded in bytes
        most_messages: int,
    ) -> tuple[list[Body], int, int]:
        """The newest of each camera."""
        bodies = self._notices(most_messages)
        results = conflated = 0
        lines, marks = self._of.lines, self._marks
        for camera in lines.keys() - marks.keys():
            marks[camera] = START
        for camera, mark in tuple(marks.items()):
            if len(bodies) >= most_messages:
                break
            line = lines[camera]
            if line.latest is not None and line.now.results != mark.results:
                missed = mark.missed_until(line.latest_mark)
                del marks[camera]
                marks[camera] = line.latest_mark
                conflated += missed.conflated
                made, sent = self._messages(line.latest, missed, now, most_messages - len(bodies))
                results += sent
                bodies += made
            if line.shot is not None and len(bodies) < most_messages:
                bodies += self._picture(camera)
        return bodies, results, conflated

    def _notices(self, most: int) -> list[Body]:
        stream = self._of
        if self._noticed == stream.noticed:
            return []
        due = sorted((n, notice) for n, notice in stream.notices.values() if n > self._noticed)
        some = due[:most]
        if len(some) == len(due):  # of a camera that is gone there may be none left
            self._noticed = stream.noticed
        elif some:
            self._noticed = some[-1][0]
        return [notice.body(stream.format) for _, notice in some]

    def _unsent(self) -> int:
        marks, lines = self._marks, self._of.lines.items()
        return sum(line.now.results - marks.get(name, START).results for name, line in lines)

    def _level(self) -> bool:
        told = self._of.told
        return self._noticed == self._of.noticed and all(
            mark == told.get(camera, START) for camera, mark in self._marks.items()
        )

    def _passed(self) -> Totals:
        """Results that a newer one has already replaced count as conflated, not as pending."""
        passed = super()._passed()
        conflated = 0
        for camera, line in self._of.lines.items():
            unsent = line.now.results - self._marks.get(camera, START).results
            conflated += max(unsent - 1, 0)
        return passed._replace(conflated=conflated)
