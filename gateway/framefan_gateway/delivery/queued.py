"""What waits for one client alone, in order: messages, replayed results, unfinished replays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from framefan.ipc.protocol import Resumed
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.wire import Body

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from framefan.ipc.protocol import Format
    from framefan_gateway.delivery.accounts import Missed
    from framefan_gateway.delivery.replay import Due, Steps
    from framefan_gateway.delivery.stream import CameraProgress, Stream
    from framefan_gateway.delivery.subscription import StreamPosition


class PendingReplay(NamedTuple):
    """The unfinished replay of one camera."""

    camera: str
    steps: Steps
    stream: Stream
    progress: CameraProgress
    """The stream's counters of that camera; another object once the camera was removed."""
    since: StreamPosition | None
    epoch: str
    """The camera's current epoch."""
    is_newest: bool
    """Whether this is only the newest result, which a still newer one replaces."""
    own_bytes: Callable[[], int]
    """Returns how many bytes only this replay still holds; the history has dropped them."""


class ReplayedOutcome(NamedTuple):
    """One result of a replay, to be encoded when the writer has room for it."""

    due: Due
    stream: Stream


Item = Body | ReplayedOutcome | PendingReplay


class Leftover(NamedTuple):
    """What one cursor hands to the next when a client changes its subscription."""

    first: deque[Item]
    unreported: dict[str, Missed]
    """By camera, what was missed since its last message."""
    awaited: dict[str, StreamPosition]


def size(item: Item) -> int:
    """Roughly how many bytes an item holds for this client alone."""
    match item:
        case ReplayedOutcome():
            return item.due.outcome.size
        case PendingReplay():
            return item.own_bytes()
    return len(item.data)


def resumed(
    fmt: Format, camera: str, epoch: str, since: StreamPosition, *, recovered: bool
) -> Body:
    """The `resumed` message: whether what follows is complete."""
    message = Resumed(camera=camera, epoch=epoch, seq=since.seq, recovered=recovered)
    return wire.body(message, fmt)
