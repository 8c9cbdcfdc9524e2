"""Delivery `latest`: the newest outcome of each camera, and exactly how many it replaced.

A live client gets each outcome as it comes. The cursor of any other client holds one offset per
camera: the newest outcome past that offset is pending, and the number of outcomes it replaced is
the difference of two offsets.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed, Offset, Totals
from framefan_gateway.delivery.cursor import Cursor
from framefan_gateway.delivery.queued import ReplayedOutcome
from framefan_gateway.delivery.replay import Due
from framefan_gateway.delivery.stream import START, Stream

if TYPE_CHECKING:
    from framefan_gateway.delivery.queued import PendingReplay
    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Body, Notice, Outcome

_CONFLATED = Missed(conflated=1)


class LatestStream(Stream):
    """The stream of `latest`: only the newest outcome of each camera is due."""

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(subscription)
        self.last_sent: dict[str, Offset] = {}
        """By camera, the offset at the last message for live clients."""
        self.notices: dict[tuple[object, ...], tuple[int, Notice]] = {}
        """By subject, the newest notice and its number: a newer status replaces an older one."""
        self.last_notice = 0
        self._left_out: dict[str, int] = {}
        """By camera, how many results were left out as superseded since its last message."""
        self.last_sent_at_batch = self.last_sent
        self.last_notice_at_batch = 0
        self.left_out_at_batch = 0
        """These three are as of the last `take_batch`, like `totals_at_batch`."""

    def take_batch(self) -> list[Body]:
        self.last_sent_at_batch = dict(self.last_sent)
        self.last_notice_at_batch = self.last_notice
        self.left_out_at_batch = sum(self._left_out.values())
        return super().take_batch()

    def add_outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:
        camera = outcome.camera
        progress = self.cameras[camera]
        sent_offset = self.last_sent.get(camera, START)
        selection = self._selection
        if not selection.everything:
            cause = selection.refuses(outcome)
            if cause is not None:
                self.last_sent[camera] = sent_offset
                self._refuse(progress, cause)
                return
            superseded = False  # the newer one may be refused
        nothing = sent_offset is progress.now  # the usual case: no loss since
        progress.add_outcome(outcome)
        if superseded:
            self.last_sent[camera] = sent_offset
            self._left_out[camera] = self._left_out.get(camera, 0) + 1
            self._add_missed(_CONFLATED)
            return
        self._left_out.pop(camera, None)
        offset = self.last_sent[camera] = progress.latest_offset
        missed = NOTHING if nothing else sent_offset.missed_until(offset)
        self._add_to_batch(outcome.body(self.format, missed, now, self.detection_filter), results=1)
        if self.subscription.preview:
            self._expect_picture(outcome, missed, now)

    def add_loss(self, loss: Loss) -> None:
        self.cameras[loss.camera].skip(loss.cause, loss.seqs)
        self.last_sent.setdefault(loss.camera, START)
        self._add_missed(loss.missed)

    def release(self, camera: str, notice: Notice) -> None:
        self._drop(camera)
        self.last_sent.pop(camera, None)
        self.last_sent_at_batch.pop(camera, None)
        self._left_out.pop(camera, None)
        self.notices = {of: last for of, last in self.notices.items() if of[1] != camera}
        self._add_to_batch(notice.body(self.format))

    def add_notice(self, subject: tuple[object, ...], notice: Notice) -> None:
        self.last_notice += 1
        self.notices[subject] = (self.last_notice, notice)
        self._add_to_batch(notice.body(self.format))


class LatestCursor(Cursor):
    """The cursor of `latest`: the newest outcome of each camera is pending."""

    def __init__(self, stream: LatestStream, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        super().__init__(stream, own)
        self._of = stream
        self._last_notice = stream.last_notice
        self._offsets: dict[str, Offset] = {}
        """By camera; the camera that was sent longest ago comes first."""

    def follow(self, camera: str, carry: Missed) -> None:
        now, sent_offset = self._of.cameras[camera].now, self._of.last_sent.get(camera, START)
        if now.results == sent_offset.results:  # the next message reports losses up to here, too
            self._offsets[camera] = sent_offset
            self._add_carry(camera, carry.minus(sent_offset.skipped_until(now)))
        else:
            self._offsets[camera] = now
            self._add_carry(camera, carry)

    def _unreported(self, camera: str) -> Missed:
        offset, progress = self._offsets.get(camera, START), self._of.cameras[camera]
        return offset.skipped_until(progress.now).plus(self._carry.get(camera, NOTHING))

    def release(self, camera: str, notice: Notice) -> None:
        self._finish(camera)  # the outcome that follows reports what the replay missed
        self._keep_due(camera)
        self._offsets.pop(camera, None)
        self._first.extend(self._over(camera))
        self.queue(notice.body(self._of.format))

    def _keep_due(self, camera: str) -> None:
        """Queue the newest outcome of a camera here, because the stream is about to drop it."""
        progress, offset = self._of.cameras.get(camera), self._offsets.get(camera, START)
        if progress is None or progress.latest is None or progress.now.results == offset.results:
            return
        missed = offset.missed_until(progress.latest_offset)
        self._own = self._own.plus(Totals(conflated=missed.conflated))
        prepared = self._prepare_outcome(progress.latest, missed)
        if prepared is not None:
            before, missed = prepared
            self._first.extend(before)
            self._first.append(ReplayedOutcome(Due(progress.latest, missed), self._of))

    def try_go_live(self) -> bool:
        """Become live if possible; the stream's offsets replace the cursor's own."""
        stepped = super().try_go_live()
        if stepped:
            self._offsets = {}
        return stepped

    def stop_live(self) -> None:
        """Stop being live; what the stream left out but has not reported, the cursor counts."""
        super().stop_live()
        stream = self._of
        self._offsets = dict(stream.last_sent_at_batch)
        self._last_notice = stream.last_notice_at_batch
        if stream.left_out_at_batch:
            self._own = self._own.minus(Totals(conflated=stream.left_out_at_batch))

    def _take_live(
        self,
        now: float,
        max_bytes: int,  # noqa: ARG002 - one outcome per camera needs no limit in bytes
        max_messages: int,
    ) -> tuple[list[Body], int, int]:
        """The newest outcome of each camera."""
        bodies = self._take_notices(max_messages)
        results = conflated = 0
        cameras, offsets = self._of.cameras, self._offsets
        for camera in cameras.keys() - offsets.keys():
            offsets[camera] = START
        for camera, offset in tuple(offsets.items()):
            if len(bodies) >= max_messages:
                break
            progress = cameras[camera]
            if progress.latest is not None and progress.now.results != offset.results:
                missed = offset.missed_until(progress.latest_offset)
                del offsets[camera]
                offsets[camera] = progress.latest_offset
                conflated += missed.conflated
                made, sent = self._make_messages(
                    progress.latest, missed, now, max_messages - len(bodies)
                )
                results += sent
                bodies += made
            if progress.shot is not None and len(bodies) < max_messages:
                bodies += self._take_picture(camera)
        return bodies, results, conflated

    def _is_outdated(self, past: PendingReplay) -> bool:
        """A client that is slow to take its first results gets newer ones instead."""
        if not past.is_newest or inspect.getgeneratorstate(past.steps) != inspect.GEN_CREATED:
            return False
        sent = self._offsets.get(past.camera, START)
        return past.progress.latest is not None and past.progress.now.results != sent.results

    def _take_notices(self, most: int) -> list[Body]:
        stream = self._of
        if self._last_notice == stream.last_notice:
            return []
        due = sorted((n, notice) for n, notice in stream.notices.values() if n > self._last_notice)
        some = due[:most]
        if len(some) == len(due):  # also if all notices were of a removed camera
            self._last_notice = stream.last_notice
        elif some:
            self._last_notice = some[-1][0]
        return [notice.body(stream.format) for _, notice in some]

    def _count_unsent(self) -> int:
        offsets, cameras = self._offsets, self._of.cameras.items()
        return sum(each.now.results - offsets.get(name, START).results for name, each in cameras)

    def _has_caught_up(self) -> bool:
        last_sent = self._of.last_sent
        return self._last_notice == self._of.last_notice and all(
            offset == last_sent.get(camera, START) for camera, offset in self._offsets.items()
        )

    def _count_since(self) -> Totals:
        """As in `Cursor`; a result that a newer one has replaced is conflated, not pending."""
        passed = super()._count_since()
        conflated = 0
        for camera, progress in self._of.cameras.items():
            unsent = progress.now.results - self._offsets.get(camera, START).results
            conflated += max(unsent - 1, 0)
        return passed._replace(conflated=conflated)
