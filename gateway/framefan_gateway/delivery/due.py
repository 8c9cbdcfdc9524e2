"""What waits for one client alone, in order: messages, results of a replay, replays to be made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from framefan.ipc.protocol import Resumed
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.wire import Body

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Generator

    from framefan.ipc.protocol import Format
    from framefan_gateway.delivery.accounts import Missed
    from framefan_gateway.delivery.replay import Due, Step
    from framefan_gateway.delivery.stream import CameraLine, Stream
    from framefan_gateway.delivery.subscription import StreamPosition


class Past(NamedTuple):
    """One camera's replay, under the subscription of a stream."""

    camera: str
    steps: Generator[Step, None, Missed]
    stream: Stream
    line: CameraLine
    """The camera's in that stream, as it was when the replay began."""
    since: StreamPosition | None
    epoch: str
    """The current one."""
    alone: Callable[[], int]
    """The bytes that only this replay still holds, since the history has dropped them."""


class Ready(NamedTuple):
    """One result of a replay, to be encoded when the line takes it."""

    due: Due
    stream: Stream


Item = Body | Ready | Past


class Rest(NamedTuple):
    """What one cursor leaves to the next when a client changes its subscription."""

    first: deque[Item]
    untold: dict[str, Missed]
    """By camera, what was missed since the last message of it."""
    awaited: dict[str, StreamPosition]


def size(item: Item) -> int:
    """About the bytes that an item takes for itself."""
    match item:
        case Ready():
            return item.due.outcome.size
        case Past():
            return item.alone()
    return len(item.data)


def resumed(
    fmt: Format, camera: str, epoch: str, since: StreamPosition, *, recovered: bool
) -> Body:
    """The message that says whether what follows leaves nothing out."""
    message = Resumed(camera=camera, epoch=epoch, seq=since.seq, recovered=recovered)
    return wire.body(message, fmt)
