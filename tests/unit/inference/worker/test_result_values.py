"""Values of every kind that predictors return, and that whatever passes is strict JSON."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
from collections import OrderedDict, namedtuple
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strict_json import BOX, LIMIT, refused, seen, sent

from framefan.ipc.records import Detection
from framefan_inference.predictors import results
from framefan_inference.predictors.results import ResultError

# ---- values --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Count:
    people: int
    where: Any = None


class Gauge(msgspec.Struct):
    celsius: float
    unit: str | msgspec.UnsetType = msgspec.UNSET


class Colour(str, enum.Enum):  # noqa: UP042 - what older code has
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


Point = namedtuple("Point", "x y")
VALUES: dict[str, tuple[Any, Any]] = {
    "text": ("A-123", "A-123"),
    "no text": ("", ""),
    "number": (7, 7),
    "float": (0.5, 0.5),
    "false": (False, False),
    "dict": ({"text": "A", "n": [1, None]}, {"text": "A", "n": [1, None]}),
    "an empty dict": ({}, {}),
    "list": ([1, "a", None], [1, "a", None]),
    "a named tuple": (Point(1, 2), [1, 2]),
    "a set": ({3}, [3]),
    "a frozen set": (frozenset({3}), [3]),
    "another mapping": (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "a dataclass": (
        Count(3, {"left": Count(1)}),
        {"people": 3, "where": {"left": {"people": 1, "where": None}}},
    ),
    "a struct": (Gauge(1.5), {"celsius": 1.5}),
    "numpy scalar": (np.float32(0.5), 0.5),
    "numpy integer": (np.uint8(5), 5),
    "numpy bool": (np.bool_(True), True),
    "numpy text": (np.str_("A"), "A"),
    "numpy array": (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "numpy array of no dimension": (np.array(3.0), 3.0),
    "numpy array of text": (np.array(["a", "b"]), ["a", "b"]),
    "numpy array of objects": (np.array([{"a": np.int64(1)}, None]), [{"a": 1}, None]),
    "nested numpy": ({"h": np.arange(3), "n": [np.float64(1.5)]}, {"h": [0, 1, 2], "n": [1.5]}),
    "detections inside": ({"all": [Detection("a", 0.5, BOX)]}, {"all": [seen("a", 0.5)]}),
    "detections and more": ([Detection("a", 0.5, BOX), 1], [seen("a", 0.5), 1]),
    "keys of numbers": ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
    "keys of truth": ({True: "a"}, {"True": "a"}),
    "keys of numpy": ({np.int64(4): 1, np.str_("k"): 2}, {"4": 1, "k": 2}),
    "an enum of text": (Colour.RED, "red"),
    "an enum of numbers": (Level.HIGH, 3),
    "a subclass of text": ({Text("k"): Text("v")}, {"k": "v"}),
    "a subclass of int": (Whole(4), 4),
    "the largest integers": ([2**64 - 1, -(2**63)], [2**64 - 1, -(2**63)]),
    "rows of eight": (np.zeros((1, 8)), [[0.0] * 8]),
}


@pytest.mark.parametrize(("returned", "expected"), VALUES.values(), ids=VALUES)
def test_values_of_every_kind(returned: Any, expected: Any) -> None:
    assert sent(returned) == ("value", expected)


def test_a_value_is_of_plain_types_only() -> None:
    for returned, _ in VALUES.values():
        json.dumps(results.plain(returned, LIMIT), allow_nan=False)


def itself() -> Any:
    loop: dict[str, Any] = {}
    loop["me"] = loop
    return loop


def itself_twice() -> Any:
    loop: list[Any] = []
    loop += [loop, {"again": loop}]
    return loop


def doubled() -> Any:
    """No cycle and few objects, but a thousand million elements when written out."""
    value: Any = [0]
    for _ in range(30):
        value = [value, value]
    return value


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD_VALUES: dict[str, tuple[Any, str]] = {
    "None": (None, "returned_none"),
    "NaN": (math.nan, "not_finite"),
    "NaN of numpy": (np.float32(math.nan), "not_finite"),
    "NaN in a list": ([1, math.nan], "not_finite"),
    "NaN deep down": ({"a": [{"b": (0, -math.inf)}]}, "not_finite"),
    "NaN in an array": ({"a": np.array([1, math.nan])}, "not_finite"),
    "NaN in an array of objects": (np.array([[1], math.nan], object), "not_finite"),
    "NaN in a dataclass": (Count(1, math.nan), "not_finite"),
    "bytes": (b"jpeg", "returned_bytes"),
    "bytes inside": ({"a": [bytearray(b"x")]}, "returned_bytes"),
    "a memoryview": (memoryview(b"x"), "returned_bytes"),
    "itself": (itself(), "recursive"),
    "itself twice": (itself_twice(), "recursive"),
    "too deep": (nested(results.DEPTH + 2), "recursive"),
    "doubled thirty times": (doubled(), "too_large"),
    "an object": (object(), "unsupported"),
    "a class": (Count, "unsupported"),
    "a function": (sent, "unsupported"),
    "a generator": ((n for n in range(3)), "unsupported"),
    "an enum of neither": (enum.Enum("Bare", "ON").ON, "unsupported"),  # type: ignore[attr-defined]
    "a date": (datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC), "unsupported"),
    "a decimal": (decimal.Decimal("1.5"), "unsupported"),
    "a complex number": (1j, "unsupported"),
    "complex numbers": (np.array([1j]), "unsupported"),
    "a date of numpy": (np.datetime64("2025-01-01"), "unsupported"),
    "dates of numpy": ({"at": np.array(["2025-01-01"], "datetime64[s]")}, "unsupported"),
    "records of numpy": (np.zeros(1, [("a", int)]), "unsupported"),
    "keys of tuples": ({(1, 2): 3}, "unsupported"),
    "keys of bytes": ({b"a": 3}, "unsupported"),
    "an integer beyond 64 bits": (2**70, "unsupported"),
    "one inside": ({"a": [-(2**70)]}, "unsupported"),
    "a lone surrogate": ("\ud800", "unsupported"),
    "one in a key": ({"\ud800": 1}, "unsupported"),
    "one in an array": (np.array(["\ud800"]), "unsupported"),
    "50 MB of text": ("x" * 50_000_000, "too_large"),
    "50 MB of numbers": (np.zeros((5000, 10_000), np.uint8), "too_large"),
    "50 MB in parts": ([np.zeros(100_000)] * 500, "too_large"),
    "a frame": (np.zeros((720, 1280, 3), np.uint8), "too_large"),
}


@pytest.mark.parametrize(("returned", "kind"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values_are_refused_by_kind(returned: Any, kind: str) -> None:
    assert refused(returned) == kind


def test_the_limit_counts_bytes_exactly() -> None:
    assert sent("x" * 100, limit=102)[1] == "x" * 100  # str 8: two bytes of header
    assert refused("x" * 100, limit=101) == "too_large"


def test_the_deepest_that_passes() -> None:
    assert sent(nested(results.DEPTH + 1))[0] == "value"


# ---- any value -----------------------------------------------------------------------------------

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FINITE | st.text()
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


@given(TREES.filter(lambda tree: tree is not None))
def test_whatever_json_can_say_arrives_unchanged(tree: Any) -> None:
    kind, value = sent(tree)
    assert value == tree
    assert kind == ("detections" if tree == [] else "value")


ODD = st.sampled_from(
    [
        math.nan,
        b"x",
        object(),
        np.float32(1.5),
        np.array([1.0, math.inf]),
        np.int8(3),
        {1, 2},
        2**80,
    ]
)
ANYTHING = st.recursive(
    LEAVES | ODD,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=30,
)


@given(ANYTHING)
def test_anything_else_is_strict_json_or_an_error_that_names_its_kind(returned: Any) -> None:
    kind = ""
    try:
        sent(returned)
    except ResultError as error:
        kind = error.kind
    assert kind in {"", "returned_none", "not_finite", "returned_bytes", "unsupported"}
