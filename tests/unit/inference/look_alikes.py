"""What the libraries' results look like: only what is read of them, with their types and traps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from strict_json import BOX

ROWS = np.array([[*BOX, 0.5, 1], [*BOX, 0.25, 0]])


class FakeTensor:
    """What torch returns: on a device, with a gradient, and no array until asked three times."""

    def __init__(self, values: Any) -> None:
        self._values = values
        self.steps: list[str] = []

    def detach(self) -> FakeTensor:
        self.steps.append("detach")
        return self

    def cpu(self) -> FakeTensor:
        self.steps.append("cpu")
        return self

    def numpy(self) -> Any:
        assert self.steps == ["detach", "cpu"], "torch raises here"
        self.steps = []
        return np.asarray(self._values, np.float32)


class FakeBoxes:
    def __init__(self, rows: Any, tracks: Any = None) -> None:
        self.xyxy = FakeTensor([row[:4] for row in rows])
        self.conf = FakeTensor([row[4] for row in rows])
        self.cls = FakeTensor([row[5] for row in rows])
        self.id = tracks


def ultralytics(rows: Any = ROWS, names: Any = None, tracks: Any = None) -> Any:
    return SimpleNamespace(boxes=FakeBoxes(rows, tracks), names=names)


class FakeArray(FakeTensor):
    """A whole tensor: it has a shape and a type as well."""

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.shape, self.dtype = values.shape, values.dtype

    def numpy(self) -> Any:
        super().numpy()
        return self._values


def supervision(**fields: Any) -> Any:
    plain = {
        "xyxy": ROWS[:, :4],
        "confidence": ROWS[:, 4],
        "class_id": ROWS[:, 5].astype(int),
        "tracker_id": None,
        "data": {},
    }
    return SimpleNamespace(**(plain | fields))


class FakeMasks:
    """Ultralytics' Masks: bitmaps of another size, and `xy`, arrays of points of the picture."""

    def __init__(self, outlines: list[Any]) -> None:
        self.data = FakeArray(np.zeros((len(outlines), 160, 160), np.uint8))
        self.xy = [np.asarray(each, np.float32).reshape(-1, 2) for each in outlines]


class FakeKeypoints:
    """Ultralytics' Keypoints `[n, k, 2 or 3]`."""

    def __init__(self, points: Any) -> None:
        rows = np.asarray(points, np.float32)
        self.data, self.xy = FakeArray(rows), FakeArray(rows[..., :2])
        self.conf = FakeArray(rows[..., 2]) if rows.shape[-1] == 3 else None


class FakeRotated:
    """Ultralytics' OBB `[n, 7]`: middle, size, angle, confidence, class."""

    def __init__(self, rows: Any) -> None:
        rows = np.asarray(rows, np.float32)
        self.xywhr, self.conf, self.cls = (
            FakeArray(part) for part in (rows[:, :5], rows[:, 5], rows[:, 6])
        )
        corners = np.array([four_corners(*row[:5]) for row in rows.tolist()]).reshape(-1, 4, 2)
        self.xyxyxyxy = FakeArray(corners.astype(np.float32))
        self.xyxy = FakeArray(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
        self.id = None


def four_corners(x: float, y: float, w: float, h: float, angle: float) -> list[tuple[float, float]]:
    """Ultralytics' xywhr2xyxyxyxy: middle plus and minus half the sides, in its order."""
    along = w / 2 * np.cos(angle), w / 2 * np.sin(angle)
    over = -h / 2 * np.sin(angle), h / 2 * np.cos(angle)
    return [
        (x + a * along[0] + b * over[0], y + a * along[1] + b * over[1])
        for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
    ]
