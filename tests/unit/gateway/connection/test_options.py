"""What a client may ask for, by query and by command: every option, and every way to be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from framefan_gateway.connection import options
from framefan_gateway.connection.options import (
    Options,
    Refusal,
    parse_query,
    subscribe,
    unsubscribe,
)
from framefan_gateway.delivery.selection import Selection
from framefan_gateway.delivery.subscription import (
    ANEW,
    DEFAULT,
    Opening,
    StreamPosition,
    Subscription,
)

CAMERAS = {"front", "back"}
LONGEST = 500
"""Of an answer's message, beside the names of cameras: a client's own words are cut."""


def refusal(of: Any, *arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        of(*arguments)
    return caught.value


@pytest.mark.parametrize(
    ("query", "subscription", "opening"),
    [
        ("", Subscription(), ANEW),
        ("camera=front", Subscription(cameras=frozenset({"front"})), ANEW),
        ("cameras=front,back", Subscription(cameras=frozenset({"front", "back"})), ANEW),
        ("camera=front&camera=back", Subscription(cameras=frozenset({"front", "back"})), ANEW),
        ("delivery=every", Subscription(delivery="every"), ANEW),
        ("max_fps=2.5", Subscription(max_fps=2.5), ANEW),
        ("max_fps=0", Subscription(), ANEW),
        ("max_fps=1000", Subscription(max_fps=1000.0), ANEW),
        ("max_fps=0.001", Subscription(max_fps=0.001), ANEW),
        ("label=person,car", Subscription(labels=frozenset({"person", "car"})), ANEW),
        ("labels=a%20b", Subscription(labels=frozenset({"a b"})), ANEW),
        ("label=%C3%A9", Subscription(labels=frozenset({"\u00e9"})), ANEW),
        ("min_confidence=0.5", Subscription(min_confidence=0.5), ANEW),
        ("min_confidence=1", Subscription(min_confidence=1.0), ANEW),
        ("nonempty=1", Subscription(nonempty=True), ANEW),
        ("nonempty=TRUE", Subscription(nonempty=True), ANEW),
        ("nonempty=0", Subscription(), ANEW),
        ("format=msgpack", Subscription(format="msgpack"), ANEW),
        ("history=0", Subscription(), Opening(history=0)),
        ("history=20", Subscription(), Opening(history=20)),
        (
            "since=front:k3f9:12",
            Subscription(),
            Opening(since={"front": StreamPosition("k3f9", 12)}),
        ),
        (
            "since=front:a:1,back:b:0",
            Subscription(),
            Opening(since={"front": StreamPosition("a", 1), "back": StreamPosition("b", 0)}),
        ),
        (
            "since=front:a:1&since=back:b:0",
            Subscription(),
            Opening(since={"front": StreamPosition("a", 1), "back": StreamPosition("b", 0)}),
        ),
        (
            f"since=front:a:{1 << 53}",
            Subscription(),
            Opening(since={"front": StreamPosition("a", 1 << 53)}),
        ),
    ],
)
def test_each_option_of_a_query(query: str, subscription: Subscription, opening: Opening) -> None:
    assert parse_query(query, CAMERAS) == (subscription, opening, None)


@pytest.mark.parametrize(("text", "ack"), [("1", 1), ("1000", 1000), ("auto", "auto"), ("0", None)])
def test_an_acknowledgement_is_asked_for_beside_the_contract(text: str, ack: Any) -> None:
    assert parse_query(f"ack={text}", CAMERAS) == (Subscription(), ANEW, ack)


WRONG_QUERIES = [
    ("max_fps=", options.BAD_VALUE, "max_fps"),
    ("max_fps=fast", options.BAD_VALUE, "max_fps"),
    ("max_fps=-1", options.BAD_VALUE, "max_fps"),
    ("max_fps=1001", options.BAD_VALUE, "max_fps"),
    ("max_fps=nan", options.BAD_VALUE, "max_fps"),
    ("max_fps=inf", options.BAD_VALUE, "max_fps"),
    ("max_fps=1e-320", options.BAD_VALUE, "max_fps"),
    ("max_fps=5&max_fps=6", options.BAD_VALUE, "max_fps is given twice"),
    ("min_confidence=1.1", options.BAD_VALUE, "min_confidence"),
    ("min_confidence=nan", options.BAD_VALUE, "min_confidence"),
    ("nonempty=", options.BAD_VALUE, "nonempty"),
    ("nonempty=2", options.BAD_VALUE, "nonempty"),
    ("delivery=all", options.BAD_VALUE, "delivery is latest or every, not 'all'"),
    ("delivery=", options.BAD_VALUE, "delivery"),
    ("format=xml", options.BAD_VALUE, "format is json or msgpack or protobuf, not 'xml'"),
    ("history=-1", options.BAD_VALUE, "history"),
    ("history=1.5", options.BAD_VALUE, "history"),
    ("history=1000001", options.BAD_VALUE, "history"),
    ("history=" + "9" * 5000, options.BAD_VALUE, "history"),
    ("ack=1001", options.BAD_VALUE, "ack is a number of messages up to 1000, or auto"),
    ("ack=-1", options.BAD_VALUE, "ack"),
    ("ack=1.5", options.BAD_VALUE, "ack"),
    ("ack=", options.BAD_VALUE, "ack"),
    ("ack=1&ack=2", options.BAD_VALUE, "ack is given twice"),
    ("camera=", options.BAD_VALUE, "cameras has a name that is empty"),
    ("camera=front,", options.BAD_VALUE, "cameras has a name that is empty"),
    ("camera", options.BAD_VALUE, "cameras has a name that is empty"),
    ("label=", options.BAD_VALUE, "labels has a name that is empty"),
    ("camera=frnt", options.UNKNOWN_CAMERA, 'unknown camera "frnt"; known: back, front'),
    ("camera=front,frnt", options.UNKNOWN_CAMERA, 'unknown camera "frnt"'),
    ("camera=FRONT", options.UNKNOWN_CAMERA, 'unknown camera "FRONT"'),
    ("since=Front:a:1", options.BAD_VALUE, "since is CAMERA:EPOCH:SEQ"),
    (f"since={'f' * 33}:a:1", options.BAD_VALUE, "since is CAMERA:EPOCH:SEQ"),
    ("camera=back&since=front:a:1", options.BAD_VALUE, "not subscribed to"),
    ("since=", options.BAD_VALUE, "since is CAMERA:EPOCH:SEQ"),
    ("since=front", options.BAD_VALUE, "since is CAMERA:EPOCH:SEQ, not 'front'"),
    ("since=front:a", options.BAD_VALUE, "since"),
    ("since=front:a:-1", options.BAD_VALUE, "since"),
    ("since=front:a:1.0", options.BAD_VALUE, "since"),
    ("since=front:a:x", options.BAD_VALUE, "since"),
    ("since=front::1", options.BAD_VALUE, "since"),
    ("since=:a:1", options.BAD_VALUE, "since"),
    ("since=front:a:1:2", options.BAD_VALUE, "since"),
    ("since=front:a%20b:1", options.BAD_VALUE, "since"),
    (f"since=front:{'a' * 65}:1", options.BAD_VALUE, "since"),
    (f"since=front:a:{(1 << 53) + 1}", options.BAD_VALUE, "since"),
    ("since=front:a:" + "9" * 5000, options.BAD_VALUE, "since"),
    ("since=front:a:%D9%A3", options.BAD_VALUE, "since"),  # a digit, but not of ours
    ("since=front:a:1,front:a:2", options.BAD_VALUE, 'since names "front" twice'),
    ("maxfps=5", options.UNKNOWN_OPTION, 'unknown option "maxfps"; did you mean "max_fps"?'),
    ("lables=a", options.UNKNOWN_OPTION, 'did you mean "labels"?'),
    ("zzz=1", options.UNKNOWN_OPTION, "known: cameras, delivery"),
    ("=1", options.UNKNOWN_OPTION, "unknown option"),
    ("Camera=front", options.UNKNOWN_OPTION, 'did you mean "camera"?'),
    ("label=%FF", options.BAD_VALUE, "the query cannot be read"),
    ("label=%ED%A0%80", options.BAD_VALUE, "the query cannot be read"),
    ("&".join(f"a{n}=1" for n in range(200)), options.BAD_VALUE, "the query cannot be read"),
]


@pytest.mark.parametrize(("query", "code", "words"), WRONG_QUERIES)
def test_each_invalid_query_is_refused_by_the_name_of_its_option(
    query: str, code: int, words: str
) -> None:
    found = refusal(parse_query, query, CAMERAS)
    assert (found.code, found.temporary) == (code, False)
    assert words in found.message
    assert len(found.message) < LONGEST


def test_an_unknown_camera_may_come_later_while_there_is_none() -> None:
    found = refusal(parse_query, "camera=front", set())
    assert found.temporary
    assert found.message == 'unknown camera "front"; known: none yet'


# ---- by command ----------------------------------------------------------------------------------

BEFORE = Subscription(
    cameras=frozenset({"front"}),
    delivery="every",
    format="msgpack",
    max_fps=5.0,
    labels=frozenset({"person"}),
    min_confidence=0.5,
    nonempty=True,
)


def changed(**changes: Any) -> Subscription:
    return msgspec.structs.replace(BEFORE, **changes)


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({}, BEFORE),
        ({"cameras": ["back"]}, changed(cameras=frozenset({"back"}))),
        ({"camera": "back"}, changed(cameras=frozenset({"back"}))),
        ({"cameras": []}, changed(cameras=frozenset())),
        ({"cameras": None}, changed(cameras=None)),
        ({"delivery": "latest"}, changed(delivery="latest")),
        ({"format": "json"}, changed(format="json")),
        ({"max_fps": 7}, changed(max_fps=7.0)),
        ({"max_fps": None}, changed(max_fps=0.0)),
        ({"max_fps": 0}, changed(max_fps=0.0)),
        ({"labels": None}, changed(labels=None)),
        ({"label": ["car"]}, changed(labels=frozenset({"car"}))),
        ({"min_confidence": None}, changed(min_confidence=0.0)),
        ({"nonempty": False}, changed(nonempty=False)),
        ({"history": 3}, BEFORE),
        ({"ack": 1000}, BEFORE),
        ({"ack": "auto"}, BEFORE),
        ({"ack": None}, BEFORE),
    ],
)
def test_a_subscribe_changes_what_it_names_and_keeps_the_rest(
    options: dict[str, Any], after: Subscription
) -> None:
    subscription, opening, ack = subscribe(BEFORE, options, CAMERAS, 7)
    assert ack == options.get("ack", 7)
    assert subscription == after
    assert opening == Opening(options.get("history", 1))


def test_a_since_of_a_camera_that_is_not_there_is_no_error() -> None:
    """Whoever comes back may have been away while it was removed."""
    found = options.parse_query("since=gone:a:1,front:a:2", CAMERAS).opening
    assert found.since == {"gone": StreamPosition("a", 1), "front": StreamPosition("a", 2)}
    assert set(found.unknown) == {"gone"}


def test_since_of_a_command_is_a_list_or_a_text() -> None:
    for value in (["front:a:1"], "front:a:1"):
        opening = subscribe(BEFORE, {"since": value}, CAMERAS).opening
        assert opening.since == {"front": StreamPosition("a", 1)}


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"cameras": "frnt"}, options.UNKNOWN_CAMERA, "frnt"),
        ({"cameras": 5}, options.BAD_VALUE, "cameras"),
        ({"cameras": [5]}, options.BAD_VALUE, "cameras"),
        ({"cameras": [""]}, options.BAD_VALUE, "cameras"),
        ({"cameras": {"front": 1}}, options.BAD_VALUE, "cameras"),
        ({"cameras": ["front"], "camera": ["back"]}, options.BAD_VALUE, "camera is given twice"),
        ({"labels": [None]}, options.BAD_VALUE, "labels"),
        ({"labels": True}, options.BAD_VALUE, "labels"),
        ({"max_fps": "5"}, options.BAD_VALUE, "max_fps"),
        ({"max_fps": True}, options.BAD_VALUE, "max_fps"),
        ({"max_fps": float("nan")}, options.BAD_VALUE, "max_fps"),
        ({"max_fps": float("inf")}, options.BAD_VALUE, "max_fps"),
        ({"max_fps": 10**400}, options.BAD_VALUE, "max_fps"),  # too large for a float
        ({"max_fps": -(10**400)}, options.BAD_VALUE, "max_fps"),
        ({"max_fps": 5e-324}, options.BAD_VALUE, "max_fps"),
        ({"min_confidence": "high"}, options.BAD_VALUE, "min_confidence"),
        ({"min_confidence": 10**400}, options.BAD_VALUE, "min_confidence"),
        ({"min_confidence": [0.5]}, options.BAD_VALUE, "min_confidence"),
        ({"nonempty": 1}, options.BAD_VALUE, "nonempty"),
        ({"nonempty": None}, options.BAD_VALUE, "nonempty"),
        ({"delivery": None}, options.BAD_VALUE, "delivery"),
        ({"delivery": ["latest"]}, options.BAD_VALUE, "delivery"),
        ({"format": {}}, options.BAD_VALUE, "format"),
        ({"history": 1.0}, options.BAD_VALUE, "history"),
        ({"history": True}, options.BAD_VALUE, "history"),
        ({"history": None}, options.BAD_VALUE, "history"),
        ({"history": 10**400}, options.BAD_VALUE, "history"),
        ({"since": None}, options.BAD_VALUE, "since"),
        ({"since": {"front": 1}}, options.BAD_VALUE, "since"),
        ({"since": ["front:a:1", 5]}, options.BAD_VALUE, "since"),
        ({"since": ["back:a:1"]}, options.BAD_VALUE, "not subscribed to"),
        ({"cameras": [], "since": ["front:a:1"]}, options.BAD_VALUE, "not subscribed to"),
        ({"dance": 1}, options.UNKNOWN_OPTION, "dance"),
        ({"x" * 10_000: 1}, options.UNKNOWN_OPTION, "unknown option"),
        ({"max_fps": "x" * 10_000}, options.BAD_VALUE, "max_fps"),
        ({"cameras": ["x" * 10_000]}, options.UNKNOWN_CAMERA, "known: back, front"),
        ({"since": ["x" * 10_000]}, options.BAD_VALUE, "since"),
    ],
)
def test_each_wrong_option_of_a_command_is_named(
    options: dict[str, Any], code: int, words: str
) -> None:
    found = refusal(subscribe, BEFORE, options, CAMERAS)
    assert found.code == code
    assert words in found.message
    assert len(found.message) < LONGEST


def test_unsubscribe_takes_cameras_out() -> None:
    both = frozenset(CAMERAS)
    for before in (DEFAULT, Subscription(cameras=both)):
        after = unsubscribe(before, {"cameras": ["front"]}, CAMERAS)
        assert after == Subscription(cameras=frozenset({"back"}))
        assert unsubscribe(after, {"camera": "front"}, CAMERAS) == after
        assert unsubscribe(after, {}, CAMERAS) == Subscription(cameras=frozenset())
        assert unsubscribe(after, {"cameras": None}, CAMERAS) == Subscription(cameras=frozenset())
        assert unsubscribe(after, {"cameras": []}, CAMERAS) == after
    assert unsubscribe(BEFORE, {}, CAMERAS) == changed(cameras=frozenset())


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"cameras": ["frnt"]}, options.UNKNOWN_CAMERA, "frnt"),
        ({"cameras": 1}, options.BAD_VALUE, "cameras"),
        ({"labels": ["a"]}, options.UNKNOWN_OPTION, "labels"),
        ({"x" * 10_000: 1}, options.UNKNOWN_OPTION, "unsubscribe takes cameras"),
    ],
)
def test_each_wrong_unsubscribe_is_named(options: dict[str, Any], code: int, words: str) -> None:
    found = refusal(unsubscribe, DEFAULT, options, CAMERAS)
    assert found.code == code
    assert words in found.message
    assert len(found.message) < LONGEST


# ---- anything at all -----------------------------------------------------------------------------

NAMES = st.sampled_from([*options._READ, *options._ALIASES, "max_fp", "token", ""]) | st.text(
    max_size=9
)
SINCE = st.builds(
    "{}:{}:{}".format,
    st.sampled_from(["front", "back", "frnt", ""]),
    st.sampled_from(["a", "k3f9", "", "a b"]),
    st.integers(-1, 1 << 60) | st.text(max_size=3),
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**330)
    | st.floats()
    | st.text(max_size=50)
    | st.binary(max_size=5)
    | st.sampled_from(["front", "back", "latest", "every", "json", "msgpack", "person"])
    | SINCE
)
VALUES = st.recursive(
    LEAVES, lambda part: st.lists(part, max_size=4) | st.dictionaries(NAMES, part)
)


def answer(
    of: Callable[..., Options | Subscription], *arguments: Any
) -> Options | Subscription | Refusal:
    try:
        return of(*arguments)
    except Refusal as error:
        return error


def check(found: Options | Subscription | Refusal, size: int) -> None:
    """What is kept of it is no larger than what was sent, and it can be answered."""
    if isinstance(found, Refusal):
        assert 100 <= found.code <= 105
        assert len(found.message) < LONGEST
        assert msgspec.json.encode(found.message)
        return
    subscription, opening, _ = found if isinstance(found, Options) else (found, ANEW, None)
    assert len(repr(subscription)) < 600 + 10 * size
    assert len(repr(opening)) < 600 + 20 * size
    assert 0 <= opening.history <= 1_000_000
    assert subscription.cameras is None or subscription.cameras <= CAMERAS
    told = subscription.to_dict()
    assert msgspec.json.decode(msgspec.json.encode(told)) == told
    hash(subscription)
    Selection(subscription)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
@example({"max_fps": 10**320})
@example({"max_fps": 5e-324})
def test_no_command_raises_anything_but_a_refusal(options: dict[str, Any]) -> None:
    for of in (subscribe, unsubscribe):
        check(answer(of, BEFORE, options, CAMERAS), len(repr(options)))


PARTS = st.builds(
    "{}={}".format,
    NAMES.map(quote) | NAMES,
    LEAVES.map(lambda value: quote(str(value), errors="replace")) | st.text(max_size=30),
)


@given(st.lists(PARTS, max_size=6).map("&".join) | st.text(max_size=100))
def test_no_query_raises_anything_but_a_refusal(query: str) -> None:
    check(answer(parse_query, query, CAMERAS), len(query))
