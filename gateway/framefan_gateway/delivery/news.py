"""News: what the hub delivers."""

from __future__ import annotations

from typing import NamedTuple

from framefan.ipc import protocol
from framefan_gateway.delivery.accounts import Loss
from framefan_gateway.delivery.wire import Outcome, Picture

STALE_S = 0.5
"""A result that finished longer ago than this is skipped if a newer one is already queued."""


class NewEpoch:
    """A new pool: `seq` starts over, and new clients do not get the old pool's results."""


class Removed(NamedTuple):
    """A camera was removed; `status` is the last message about it."""

    camera: str
    status: protocol.Status


News = Outcome | Picture | Loss | protocol.Status | NewEpoch | Removed


def find_superseded(news: list[News], now: float) -> set[Outcome]:
    """Old results that are queued together with a newer one of their camera.

    They occur after this process was not scheduled for a while. `latest` clients skip them.
    """
    late = [
        item
        for item in news
        if isinstance(item, Outcome) and item.record.finished_at < now - STALE_S
    ]
    if not late:
        return set()
    newest = {item.camera: item for item in news if isinstance(item, Outcome)}
    return {item for item in late if newest[item.camera] is not item}
