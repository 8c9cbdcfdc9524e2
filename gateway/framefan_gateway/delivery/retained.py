"""What is kept for new and reconnecting clients: each camera's last results, and the problems.

A problem is the last status of a camera that is not live or whose circuit is not closed, or of a
pool that is silent. New clients are sent the problems first. Then each camera begins: for most
clients with its newest result, for a reconnecting client right after the last result that it got.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from framefan_gateway.delivery import replay, wire
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed
from framefan_gateway.delivery.history import History
from framefan_gateway.delivery.queued import PendingReplay, resumed

if TYPE_CHECKING:
    from framefan.ipc.protocol import Status
    from framefan_gateway.delivery.replay import Steps
    from framefan_gateway.delivery.subscribers import Client, Subscribers
    from framefan_gateway.delivery.subscription import Opening, StreamPosition, Subscription
    from framefan_gateway.delivery.wire import Notice, Outcome

Subject = tuple[str, str | None, object]
"""What a status is about: its subject, the camera and the worker."""


class Retained:
    """The histories of all cameras, and the current problems."""

    def __init__(self, history_s: float, history_bytes: int) -> None:
        """The limits of the history kept for each camera."""
        self._histories: defaultdict[str, History] = defaultdict(
            lambda: History(history_s, history_bytes)
        )
        self._problems: dict[Subject, tuple[Notice, float]] = {}
        """By subject, the status and when it was delivered."""

    # ---- news -------------------------------------------------------------------------------

    def add_outcome(self, outcome: Outcome, now: float) -> None:
        self._histories[outcome.camera].add_outcome(outcome, now)

    def add_loss(self, loss: Loss, now: float) -> None:
        self._histories[loss.camera].add_loss(loss, now)

    def add_status(self, subject: Subject, status: Status, notice: Notice, now: float) -> None:
        """Keep the notice of a status that is a problem; any other ends the subject's problem."""
        if wire.is_trouble(status):
            self._problems[subject] = notice, now
        else:
            self._problems.pop(subject, None)

    def forget(self, camera: str) -> None:
        """Drop all that is kept of a removed camera."""
        self._histories.pop(camera, None)
        self._problems = {of: kept for of, kept in self._problems.items() if of[1] != camera}

    def end_epoch(self) -> None:
        """A new pool: new clients do not get the results of the old one."""
        for history in self._histories.values():
            history.forget()

    # ---- clients ----------------------------------------------------------------------------

    def queue_problems(
        self, client: Client, now: float, besides: Subscription | None = None
    ) -> None:
        """Queue the current problems; not those that the earlier subscription `besides` covers."""
        for (_, camera, _), (notice, since) in self._problems.items():
            if client.subscription.covers(camera) and not (besides and besides.covers(camera)):
                client.cursor.queue(notice.body_later(client.subscription.format, now - since))

    def open(self, client: Client, opening: Opening, kept: dict[str, Missed]) -> None:
        """Begin each camera. `kept`: by camera that continues, what was missed since its last
        message.
        """
        cursor, subscription = client.cursor, client.subscription
        known = self.known(client.subscribers)
        for camera in dict.fromkeys([*known, *opening.since]):
            since = opening.since.get(camera)
            if since is not None and camera in opening.unknown:
                if camera not in known:
                    self._greet_unknown(client, camera, since, opening.unknown[camera])
                else:  # its removal is queued as news
                    self._greet_unknown(client, camera, since, None)
                    cursor.follow(camera, NOTHING)
            elif since is not None:
                self._resume(client, camera, since, opening.history)
            elif camera in kept:
                cursor.follow(camera, kept[camera])
            else:
                history = self._histories.get(camera)
                items = history.current() if history and opening.history else ()
                steps = replay.last(items, opening.history, subscription)
                self._replay(client, camera, steps, None, "", is_newest=opening.history == 1)

    def known(self, subscribers: Subscribers) -> set[str]:
        """The cameras of this subscription that have had any news."""
        return {
            *subscribers.stream.cameras,
            *filter(subscribers.stream.subscription.covers, self._histories),
        }

    def _resume(self, client: Client, camera: str, since: StreamPosition, results: int) -> None:
        """Resume a camera for a reconnecting client: replay what was kept, or wait for news."""
        cursor, subscription = client.cursor, client.subscription
        found = self._histories[camera].after(since) if camera in self._histories else None
        if found is None:
            cursor.wait_for(camera, since)
        elif subscription.delivery == "every":
            steps = replay.following(found, subscription)
            self._replay(client, camera, steps, since, found.epoch)
        else:
            steps = replay.newest(found, since, results, subscription)
            self._replay(client, camera, steps, since, found.epoch)

    def _replay(
        self,
        client: Client,
        camera: str,
        steps: Steps,
        since: StreamPosition | None,
        epoch: str,
        *,
        is_newest: bool = False,
    ) -> None:
        stream, history = client.subscribers.stream, self._histories.get(camera)
        own_bytes = history.watch_dropped() if history else int
        client.cursor.replay(
            PendingReplay(
                camera, steps, stream, stream.cameras[camera], since, epoch, is_newest, own_bytes
            )
        )

    def _greet_unknown(
        self, client: Client, camera: str, since: StreamPosition, status: Status | None
    ) -> None:
        """Tell a reconnecting client that a camera does not exist. If it appears later, the client
        gets it from its first result on. `status`: the last message about it, if there is one.
        """
        fmt = client.subscription.format
        client.cursor.queue(resumed(fmt, camera, since.epoch, since, recovered=False))
        if status is not None:
            client.cursor.queue(wire.body(status, fmt))
