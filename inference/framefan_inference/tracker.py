"""A small tracker: which detections of one camera are the same thing, result after result.

After SORT (Bewley et al., 2016: constant velocity and IoU) and ByteTrack (Zhang et al., 2022: a
second, looser round for what the first left), with greedy matching and no Kalman filter.

1. Each track's box is moved on at its speed. Pairs of equal label and IoU of at least 0.2 are
   joined, the best first.
2. What is left is joined by the distance of centres, the nearest first: small fast things do not
   overlap. Sizes must be alike, and the reach grows with the time since the track was seen.
3. What is still left is a new track. It has its id at once: each result is told when it is made,
   and cannot wait for the next to confirm it.
4. A track that is missed is kept for two seconds of the frames' `ts`. One that stood in the last
   result is not dropped by a gap, so a slow camera keeps its ids, until ten seconds.

Everything is forgotten, and ids begin anew, when the picture's size changes, when `ts` goes back by
more than two seconds or `pts` at all (the source began anew). Ids come from one counter: none is
used twice in an epoch, on whatever camera. Pure: no clock is read.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import UNSET

from framefan.ipc.records import Detection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from framefan.ipc.messages import WorkerOutcome
    from framefan_inference.leases.schedule import Frame, Grant

KEEP_S = 2.0
FORGET_S = 10.0
MAX_TRACKS = 512
"""Per camera. Of more detections in a result only the most confident get an id."""
_LEAST_IOU = 0.2
_ALIKE = 2.0
"""How much larger, in area's square root, one of two boxes may be to be joined by distance."""
_REACH, _REACH_PER_S, _MOST_REACH = 0.75, 2.0, 2.0
"""How far a centre may be from where it was awaited, in diagonals of the box."""
_SMOOTH = 0.5
"""The share of the newest movement in a track's speed."""


class _Track:
    __slots__ = ("box", "id", "label", "seen_at", "speed")

    def __init__(self, number: int, label: str, box: NDArray[np.float64], ts: float) -> None:
        self.id = number
        self.label = label
        self.box = box
        self.seen_at = ts
        self.speed: NDArray[np.float64] | None = None
        """x and y in pixels per second; None until it was seen twice."""

    def awaited(self, ts: float) -> NDArray[np.float64]:
        if self.speed is None:
            return self.box
        return self.box + np.tile(self.speed * min(ts - self.seen_at, KEEP_S), 2)

    def seen(self, box: NDArray[np.float64], ts: float) -> None:
        gap_s = ts - self.seen_at
        if gap_s > 0:
            moved = (box[:2] + box[2:] - self.box[:2] - self.box[2:]) / 2 / gap_s
            old = moved if self.speed is None else self.speed
            self.speed = _SMOOTH * moved + (1 - _SMOOTH) * old
        self.box, self.seen_at = box, ts


class Tracker:
    """The tracks of one camera; `ids` is where new ones come from."""

    def __init__(self, ids: Iterator[int]) -> None:
        self.tracks: list[_Track] = []
        self._ids = ids
        self._ts = -np.inf
        self._pts: float | None = None
        self._size = (0, 0)

    def update(self, detections: Sequence[Detection], frame: Frame) -> None:
        """Set `track_id` of each. The order of the detections does not matter."""
        ts = self._begin(frame)
        detections = sorted(detections, key=_rank)[:MAX_TRACKS]
        boxes = np.array([each.box for each in detections], np.float64).reshape(-1, 4)
        free = dict.fromkeys(range(len(detections)))
        for i, j in _pairs(self.tracks, detections, boxes, ts):
            self.tracks[i].seen(boxes[j], ts)
            detections[j].track_id = self.tracks[i].id
            del free[j]
        self.tracks = [track for track in self.tracks if ts - track.seen_at <= KEEP_S]
        for j in free:
            new = _Track(next(self._ids), detections[j].label, boxes[j], ts)
            detections[j].track_id = new.id
            self.tracks.append(new)
        if len(self.tracks) > MAX_TRACKS:
            self.tracks = sorted(self.tracks, key=lambda each: -each.seen_at)[:MAX_TRACKS]

    def _begin(self, frame: Frame) -> float:
        """The time to count with, which never goes back; forgets all when the scene is another."""
        size, gap_s = (frame.width, frame.height), frame.ts - self._ts
        again = self._pts is not None and frame.pts is not None and frame.pts < self._pts
        if again or size != self._size or not -KEEP_S <= gap_s <= FORGET_S:
            self.tracks = []
            self._ts = frame.ts
        self._size, self._pts = size, frame.pts
        self._ts = max(self._ts, frame.ts)
        return float(self._ts)


def _rank(each: Detection) -> tuple[Any, ...]:
    return -each.confidence, each.label, each.box


def _pairs(
    tracks: Sequence[_Track], found: Sequence[Detection], boxes: NDArray[np.float64], ts: float
) -> Iterable[tuple[int, int]]:
    """Index of track and of detection, each in one pair at most."""
    if not tracks or not found:
        return []
    numbers: dict[str, int] = {}
    left = [numbers.setdefault(each.label, len(numbers)) for each in tracks]
    right = [numbers.setdefault(each.label, len(numbers)) for each in found]
    fits = np.array(left)[:, None] == np.array(right)
    awaited = np.array([track.awaited(ts) for track in tracks])
    overlap = _iou(awaited, boxes)
    pairs = _greedy(-overlap, fits & (overlap >= _LEAST_IOU))
    for i, j in pairs:
        fits[i] = False
        fits[:, j] = False
    if not fits.any():
        return pairs
    last = np.array([track.box for track in tracks])
    far = np.minimum(_distance(awaited, boxes), _distance(last, boxes))  # it may have turned back
    size, other = _side(last)[:, None], _side(boxes)
    gap_s = ts - np.array([track.seen_at for track in tracks])
    reach = np.minimum(_REACH + _REACH_PER_S * gap_s, _MOST_REACH)[:, None]
    fits &= far <= reach * np.sqrt(2) * np.maximum(size, other)
    fits &= np.maximum(size, other) <= _ALIKE * np.minimum(size, other)
    return pairs + _greedy(far, fits)


def _greedy(cost: NDArray[np.float64], fits: NDArray[np.bool_]) -> list[tuple[int, int]]:
    rows, columns = np.nonzero(fits)
    order = np.argsort(cost[rows, columns], kind="stable")
    pairs: list[tuple[int, int]] = []
    used, taken = set[int](), set[int]()
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in used and j not in taken:
            used.add(i)
            taken.add(j)
            pairs.append((i, j))
    return pairs


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    union = _side(one)[:, None] ** 2 + _side(other) ** 2 - both
    return np.asarray(both / np.maximum(union, 1e-9))


def _side(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square root of each area."""
    return np.asarray(np.sqrt(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)))


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = (one[:, None, :2] + one[:, None, 2:] - other[None, :, :2] - other[None, :, 2:]) / 2
    return np.asarray(np.sqrt((apart**2).sum(axis=2)))


class Tracking:
    """The trackers of a pool's cameras, and their results as they pass."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._trackers: dict[str, Tracker] = {}
        self._own: dict[str, str] = {}
        """Cameras whose predictor gives ids of its own, and that predictor's model."""
        self._decoder = msgspec.msgpack.Decoder(list[Detection])
        self._encoder = msgspec.msgpack.Encoder()

    def outcome(self, grant: Grant, model: str, sent: WorkerOutcome | None) -> WorkerOutcome | None:
        """What became of a seq, with ids where it is detections."""
        if sent is None or sent.kind != "detections":
            return sent
        payload = self.payload(grant.camera, model, grant.frame, sent.payload)
        return msgspec.structs.replace(sent, payload=payload)

    def payload(self, camera: str, model: str, frame: Frame, payload: msgspec.Raw) -> msgspec.Raw:
        """The payload with ids; as it came when it is no detections or has ids of its own.

        A predictor that gave one id gives them all: two numberings in one feed would collide.
        """
        if self._own.get(camera) == model:
            return payload
        try:
            detections = self._decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return payload
        if any(each.track_id is not UNSET for each in detections):
            self.forget(camera)
            self._own[camera] = model
            return payload
        self._own.pop(camera, None)
        tracker = self._trackers.get(camera)
        if tracker is None:
            tracker = self._trackers[camera] = Tracker(self._ids)
        tracker.update(detections, frame)
        return msgspec.Raw(self._encoder.encode(detections))

    def forget(self, camera: str) -> None:
        """The camera has left; if it comes back, its ids are new ones."""
        self._trackers.pop(camera, None)
        self._own.pop(camera, None)
