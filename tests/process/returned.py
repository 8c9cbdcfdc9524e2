"""What a predictor may return or do, frame by frame, and what a client must get for it.

The table is read twice: by a worker, whose predictors below do what row `n mod N` says, and by the
test, which knows from the seq what the message must be.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import math
import os
import signal
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from framefan.ipc.records import Detection

if TYPE_CHECKING:
    from collections.abc import Callable

BOX = (1.0, 2.0, 30.0, 40.0)
LABELS = ("person", "car")


class Tensor:
    """As torch's: numbers on a device, which numpy can have only after `cpu().numpy()`."""

    def __init__(self, values: Any, on_cpu: bool = False) -> None:
        self._values = np.asarray(values, np.float32)
        self._on_cpu = on_cpu

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return Tensor(self._values, on_cpu=True)

    def numpy(self) -> Any:
        assert self._on_cpu, "still on the device"
        return self._values

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@dataclasses.dataclass
class Count:
    people: int
    mean: float = 0.5


class Reading(msgspec.Struct):
    value: float
    unset: int | msgspec.UnsetType = msgspec.UNSET


class Text(str):
    __slots__ = ()


class Colour(enum.StrEnum):
    RED = "red"


def _supervision(**more: Any) -> Any:
    two = {"xyxy": np.array([BOX, BOX]), "confidence": np.array([0.9, 0.8], np.float32)}
    base = {"class_id": np.array([0, 1]), "tracker_id": None, "mask": None, "data": {}}
    return SimpleNamespace(**(two | base | more))


def _ultralytics(**more: Any) -> Any:
    boxes = {"xyxy": Tensor([BOX]), "conf": Tensor([0.9]), "cls": Tensor([1]), "id": None}
    return SimpleNamespace(boxes=SimpleNamespace(**(boxes | more)), names={0: "man", 1: "van"})


def _seen(label: str = "person", confidence: float = 0.9, **more: int) -> dict[str, Any]:
    return {"label": label, "confidence": confidence, "box": list(BOX), **more}


def _rows(dtype: Any) -> Any:
    return np.array([[*BOX, 1, 0]], dtype)


# ---- what does not return --------------------------------------------------------------------


class Odd(Exception):
    def __str__(self) -> str:
        raise ValueError("not even its text")


def _raises(image: Any) -> Any:
    raise KeyError("no such thing")


def _raises_in_a_library(image: Any) -> Any:
    return np.stack([])


def _raises_oddly(image: Any) -> Any:
    raise Odd


def _raises_surrogates(image: Any) -> Any:
    raise ValueError("a lone \ud800")


def _interrupts(image: Any) -> Any:
    raise KeyboardInterrupt


def _raises_a_group(image: Any) -> Any:
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


def _exits(image: Any) -> Any:
    sys.exit("bye")


def _writes(image: Any) -> Any:
    image[0, 0] = 255


def _writes_by_force(image: Any) -> Any:
    image.flags.writeable = True
    image[0, 0] = 255


async def _later() -> int:
    return 1


def _itself() -> Any:
    loop: dict[str, Any] = {}
    loop["me"] = loop
    return loop


def _deep(depth: int) -> Any:
    return functools.reduce(lambda inner, _: [inner], range(depth), 1)


# ---- what a worker must bear -----------------------------------------------------------------


def _changes_folder(image: Any) -> Any:
    os.chdir("/")
    return "moved"


def _closes_stdout(image: Any) -> Any:
    sys.stdout.close()
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open, as a user's would
    return "closed"


def _takes_signals(image: Any) -> Any:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    return "deaf"


def _prints(image: Any) -> Any:
    sys.stderr.write(("y" * 99 + "\n") * 2_000)
    os.write(1, (b"x" * 99 + b"\n") * 2_000)
    return "printed"


def _leaves_a_thread(image: Any) -> Any:
    def chatter() -> None:
        pause = threading.Event()
        with contextlib.suppress(Exception):
            while not pause.wait(0.05):
                sys.stderr.write("still here\n")

    threading.Thread(target=chatter, daemon=True).start()
    return "left"


Row = tuple["Callable[[Any], Any]", dict[str, Any]]


def _fine(make: Callable[[], Any], value: Any) -> Row:
    return (lambda image: make()), {"result": value}


def _dets(make: Callable[[], Any], *detections: Any) -> Row:
    return (lambda image: make()), {"detections": list(detections)}


def _bad(make: Callable[[], Any], kind: str, says: str) -> Row:
    return (lambda image: make()), {"kind": kind, "says": says, "line": "predict"}


def _fails(act: Callable[[Any], Any], kind: str, says: str) -> Row:
    return act, {"kind": kind, "says": says, "line": act.__name__}


ONE = Detection(label="cat", confidence=0.9, box=BOX)
WITH_IDS = Detection(label="cat", confidence=0.9, box=BOX, class_id=3, track_id=7)
PERSON = _seen(confidence=1.0, class_id=0)
THING = _seen("object", 1.0)
INFINITE = Detection(label="cat", confidence=math.inf, box=BOX)
PERCENT = Detection("person", 87.0, BOX)
THREE = Detection(label="cat", confidence=1.0, box=(1.0, 2.0, 3.0))  # type: ignore[arg-type]

ROWS: dict[str, Row] = {
    "one detection": _dets(lambda: ONE, _seen("cat")),
    "a list of them": _dets(
        lambda: [ONE, WITH_IDS], _seen("cat"), _seen("cat", class_id=3, track_id=7)
    ),
    "nothing seen": _dets(list),
    "an array": _dets(lambda: _rows(np.float64), PERSON),
    "an array of float32": _dets(lambda: _rows(np.float32), PERSON),
    "an array of float16": _dets(lambda: _rows(np.float16), PERSON),
    "an array of int64": _dets(lambda: _rows(np.int64), PERSON),
    "an array of uint8": _dets(lambda: _rows(np.uint8), PERSON),
    "an array of no rows": _dets(lambda: np.zeros((0, 6))),
    "supervision": _dets(_supervision, _seen(class_id=0), _seen("car", 0.8, class_id=1)),
    "supervision with names and tracks": _dets(
        lambda: _supervision(data={"class_name": np.array(["dog", "cow"])}, tracker_id=[4, 5]),
        _seen("dog", class_id=0, track_id=4),
        _seen("cow", 0.8, class_id=1, track_id=5),
    ),
    "supervision without confidence and class": _dets(
        lambda: _supervision(confidence=None, class_id=None), THING, THING
    ),
    "a list of dicts": _dets(lambda: [{"label": "object", "box": BOX}], THING),
    "an array with tracks": _dets(
        lambda: np.array([[*BOX, 0.9, 1, 7]]), _seen("car", class_id=1, track_id=7)
    ),
    "torchvision": _dets(
        lambda: {"boxes": _rows("f")[:, :4], "scores": np.ones(1), "labels": np.zeros(1, int)},
        PERSON,
    ),
    "supervision, empty": _dets(
        lambda: _supervision(xyxy=np.zeros((0, 4)), confidence=np.zeros(0), class_id=np.zeros(0))
    ),
    "ultralytics": _dets(_ultralytics, _seen("van", class_id=1)),
    "ultralytics in a list, tracked": _dets(
        lambda: [_ultralytics(id=Tensor([7]))], _seen("van", class_id=1, track_id=7)
    ),
    "a number": _fine(lambda: 42, 42),
    "a fraction": _fine(lambda: 0.25, 0.25),
    "the largest number": _fine(lambda: 2**64 - 1, 2**64 - 1),
    "text": _fine(lambda: "<b>\u2028\0 ☃", "<b>\u2028\0 ☃"),
    "truth": _fine(lambda: True, True),
    "a list": _fine(lambda: [1, None, "a"], [1, None, "a"]),
    "an empty dict": _fine(dict, {}),
    "nested": _fine(
        lambda: {"a": [{"b": (1, [2.5])}], 3: None}, {"a": [{"b": [1, [2.5]]}], "3": None}
    ),
    "the deepest": _fine(lambda: _deep(32), _deep(32)),
    "a dataclass": _fine(lambda: Count(3), {"people": 3, "mean": 0.5}),
    "a struct": _fine(lambda: Reading(1.5), {"value": 1.5}),
    "a scalar of numpy": _fine(lambda: np.float32(0.5), 0.5),
    "scalars within": _fine(lambda: {"n": np.int64(3), "b": np.bool_(True)}, {"n": 3, "b": True}),
    "numbers of numpy": _fine(lambda: np.arange(3), [0, 1, 2]),
    "an array of no dimension": _fine(lambda: np.array(7), 7),
    "rows of five": _fine(lambda: np.ones((1, 5)), [[1.0] * 5]),
    "a set": _fine(lambda: {5}, [5]),
    "a subclass of text": _fine(lambda: {Text("k"): Text("v")}, {"k": "v"}),
    "an enum": _fine(lambda: Colour.RED, "red"),
    "the image's mean": (lambda image: image.mean() >= 0, {"result": True}),
    "None": _bad(lambda: None, "returned_none", "empty list"),
    "bytes": _bad(lambda: b"jpeg", "returned_bytes", "no place in JSON"),
    "a view of bytes": _bad(lambda: {"a": memoryview(b"x")}, "returned_bytes", "no place in JSON"),
    "NaN": _bad(lambda: math.nan, "not_finite", "NaN or infinity"),
    "infinity deep down": _bad(lambda: {"a": [-math.inf]}, "not_finite", "NaN or infinity"),
    "NaN of numpy": _bad(lambda: np.array([1, math.nan]), "not_finite", "NaN or infinity"),
    "NaN in a box": _bad(lambda: np.full((1, 6), math.nan), "not_finite", "a box or confidence"),
    "an infinite confidence": _bad(lambda: [INFINITE], "not_finite", "a box or confidence"),
    "NaN of supervision": _bad(
        lambda: _supervision(xyxy=np.full((2, 4), math.nan)), "not_finite", "a box or confidence"
    ),
    "a box of three": _bad(lambda: [THREE], "bad_detection", "x1, y1, x2, y2; this one has 3"),
    "per cent": _bad(lambda: [PERCENT], "bad_detection", "this one is 87; a share of 1"),
    "the wrong way round": _bad(
        lambda: np.array([[50.0, 50, 10, 10, 0.3, 0]]),
        "bad_detection",
        "this one is 50, 50, 10, 10",
    ),
    "beyond any picture": _bad(
        lambda: np.array([[0, 0, 1e30, 1e300, 0.5, 1e18]]), "bad_detection", "0, 0, 1e+30, 1e+300"
    ),
    "columns of unlike length": _bad(
        lambda: _supervision(class_id=np.array([0])), "bad_detection", "no detections"
    ),
    "itself": _bad(_itself, "recursive", "contains itself"),
    "too deep": _bad(lambda: _deep(40), "recursive", "over 32 deep"),
    "an object": _bad(object, "unsupported", "holds a object"),
    "a generator": _bad(lambda: (n for n in (1, 2)), "unsupported", "generator"),
    "a coroutine": _bad(_later, "unsupported", "coroutine, which nobody runs"),
    "a task's object": _bad(asyncio.Event, "unsupported", "asyncio.locks.Event"),
    "a huge number": _bad(lambda: 2**80, "unsupported", "cannot be encoded"),
    "a lone surrogate": _bad(lambda: "\ud800", "unsupported", "cannot be encoded"),
    "keys that become one": _bad(lambda: {1: "a", "1": "b"}, "unsupported", "the same text"),
    "keys of tuples": _bad(lambda: {(1, 2): 3}, "unsupported", "a key is tuple"),
    "complex numbers": _bad(lambda: np.array([1j]), "unsupported", "complex128"),
    "50 MB of text": _bad(lambda: "x" * (50 << 20), "too_large", "262,144 are allowed"),
    "50 MB of numbers": _bad(lambda: np.zeros(50 << 17), "too_large", "262,144 are allowed"),
    "a million numbers": _bad(lambda: [0] * 10**6, "too_large", "262,144 are allowed"),
    "too many rows": _bad(lambda: np.zeros((60_000, 6)), "too_large", "262,144 are allowed"),
    "the image": (lambda image: image, {"kind": "too_large", "says": "allowed", "line": "predict"}),
    "raises": _fails(_raises, "KeyError", "no such thing"),
    "raises in a library": _fails(_raises_in_a_library, "ValueError", "at least one array"),
    "raises oddly": _fails(_raises_oddly, "Odd", "its __str__ raised ValueError"),
    "raises surrogates": _fails(_raises_surrogates, "ValueError", "a lone ?"),
    "interrupts": _fails(_interrupts, "KeyboardInterrupt", ""),
    "raises a group": _fails(_raises_a_group, "ExceptionGroup", "several (2 sub-exceptions)"),
    "exits": _fails(_exits, "SystemExit", "bye"),
    "writes": _fails(_writes, "ValueError", "read-only"),
    "writes by force": _fails(_writes_by_force, "ValueError", "cannot set WRITEABLE flag"),
    "changes the folder": (_changes_folder, {"result": "moved"}),
    "closes stdout": (_closes_stdout, {"result": "closed"}),
    "takes the signals": (_takes_signals, {"result": "deaf"}),
    "prints": (_prints, {"result": "printed"}),
    "leaves a thread": (_leaves_a_thread, {"result": "left"}),
}
NAMES = list(ROWS)
HERE = "returned.py"


def lines_of(function: str) -> range:
    """The lines of a function of this file: one of them is where its error must be."""
    code = globals()[function].__code__
    found = [line for _, _, line in code.co_lines() if line]
    return range(min(found), max(found) + 1)


# ---- the forms -------------------------------------------------------------------------------


def _do(number: int, image: Any) -> Any:
    return ROWS[NAMES[number % len(NAMES)]][0](image)


def predict(image: Any, frame: Any) -> Any:
    return _do(frame.seq, image)


predict.labels = LABELS  # type: ignore[attr-defined]


class Whole:
    """Without `frame`: it counts by itself, which one worker may."""

    labels = LABELS

    def setup(self) -> None:
        self._count = -1

    def predict(self, image: Any) -> Any:
        self._count += 1
        return _do(self._count, image)


class Batch:
    labels = LABELS

    def predict_batch(self, images: list[Any], frame: list[Any]) -> list[Any]:
        return [_do(each.seq, image) for image, each in zip(images, frame, strict=True)]


def _sized(image: Any, by: int) -> list[int]:
    return [by, len(image)]


class _Callable:
    def __call__(self, image: Any) -> int:
        return int(image.shape[1])


PARTIAL = functools.partial(_sized, by=2)
CALLABLE = _Callable()
