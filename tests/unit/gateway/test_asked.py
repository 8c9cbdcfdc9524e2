"""What a client may ask for, by query and by command: every option, and every way to be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from framefan_gateway.connection import asked
from framefan_gateway.connection.asked import Asked, Refusal, by_query, subscribe, unsubscribe
from framefan_gateway.delivery.contract import ANEW, DEFAULT, Contract, Opening, Since
from framefan_gateway.delivery.selection import Selection

CAMERAS = {"front", "back"}
LONGEST = 500
"""Of an answer's message, beside the names of cameras: a client's own words are cut."""


def refusal(of: Any, *arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        of(*arguments)
    return caught.value


@pytest.mark.parametrize(
    ("query", "contract", "opening"),
    [
        ("", Contract(), ANEW),
        ("camera=front", Contract(cameras=frozenset({"front"})), ANEW),
        ("cameras=front,back", Contract(cameras=frozenset({"front", "back"})), ANEW),
        ("camera=front&camera=back", Contract(cameras=frozenset({"front", "back"})), ANEW),
        ("delivery=every", Contract(delivery="every"), ANEW),
        ("max_fps=2.5", Contract(max_fps=2.5), ANEW),
        ("max_fps=0", Contract(), ANEW),
        ("max_fps=1000", Contract(max_fps=1000.0), ANEW),
        ("max_fps=0.001", Contract(max_fps=0.001), ANEW),
        ("label=person,car", Contract(labels=frozenset({"person", "car"})), ANEW),
        ("labels=a%20b", Contract(labels=frozenset({"a b"})), ANEW),
        ("label=%C3%A9", Contract(labels=frozenset({"\u00e9"})), ANEW),
        ("min_confidence=0.5", Contract(min_confidence=0.5), ANEW),
        ("min_confidence=1", Contract(min_confidence=1.0), ANEW),
        ("nonempty=1", Contract(nonempty=True), ANEW),
        ("nonempty=TRUE", Contract(nonempty=True), ANEW),
        ("nonempty=0", Contract(), ANEW),
        ("format=msgpack", Contract(format="msgpack"), ANEW),
        ("history=0", Contract(), Opening(history=0)),
        ("history=20", Contract(), Opening(history=20)),
        ("since=front:k3f9:12", Contract(), Opening(since={"front": Since("k3f9", 12)})),
        (
            "since=front:a:1,back:b:0",
            Contract(),
            Opening(since={"front": Since("a", 1), "back": Since("b", 0)}),
        ),
        (
            "since=front:a:1&since=back:b:0",
            Contract(),
            Opening(since={"front": Since("a", 1), "back": Since("b", 0)}),
        ),
        (
            f"since=front:a:{1 << 53}",
            Contract(),
            Opening(since={"front": Since("a", 1 << 53)}),
        ),
    ],
)
def test_each_option_of_a_query(query: str, contract: Contract, opening: Opening) -> None:
    assert by_query(query, CAMERAS) == (contract, opening, None)


@pytest.mark.parametrize(("text", "ack"), [("1", 1), ("1000", 1000), ("auto", "auto"), ("0", None)])
def test_an_acknowledgement_is_asked_for_beside_the_contract(text: str, ack: Any) -> None:
    assert by_query(f"ack={text}", CAMERAS) == (Contract(), ANEW, ack)


WRONG_QUERIES = [
    ("max_fps=", asked.BAD_VALUE, "max_fps"),
    ("max_fps=fast", asked.BAD_VALUE, "max_fps"),
    ("max_fps=-1", asked.BAD_VALUE, "max_fps"),
    ("max_fps=1001", asked.BAD_VALUE, "max_fps"),
    ("max_fps=nan", asked.BAD_VALUE, "max_fps"),
    ("max_fps=inf", asked.BAD_VALUE, "max_fps"),
    ("max_fps=1e-320", asked.BAD_VALUE, "max_fps"),
    ("max_fps=5&max_fps=6", asked.BAD_VALUE, "max_fps is given twice"),
    ("min_confidence=1.1", asked.BAD_VALUE, "min_confidence"),
    ("min_confidence=nan", asked.BAD_VALUE, "min_confidence"),
    ("nonempty=", asked.BAD_VALUE, "nonempty"),
    ("nonempty=2", asked.BAD_VALUE, "nonempty"),
    ("delivery=all", asked.BAD_VALUE, "delivery is latest or every, not 'all'"),
    ("delivery=", asked.BAD_VALUE, "delivery"),
    ("format=xml", asked.BAD_VALUE, "format is json or msgpack or protobuf, not 'xml'"),
    ("history=-1", asked.BAD_VALUE, "history"),
    ("history=1.5", asked.BAD_VALUE, "history"),
    ("history=1000001", asked.BAD_VALUE, "history"),
    ("history=" + "9" * 5000, asked.BAD_VALUE, "history"),
    ("ack=1001", asked.BAD_VALUE, "ack is a number of messages up to 1000, or auto"),
    ("ack=-1", asked.BAD_VALUE, "ack"),
    ("ack=1.5", asked.BAD_VALUE, "ack"),
    ("ack=", asked.BAD_VALUE, "ack"),
    ("ack=1&ack=2", asked.BAD_VALUE, "ack is given twice"),
    ("camera=", asked.BAD_VALUE, "cameras is a list of names"),
    ("camera=front,", asked.BAD_VALUE, "cameras is a list of names"),
    ("camera", asked.BAD_VALUE, "cameras is a list of names"),
    ("label=", asked.BAD_VALUE, "labels is a list of names"),
    ("camera=frnt", asked.UNKNOWN_CAMERA, 'unknown camera "frnt"; known: back, front'),
    ("camera=front,frnt", asked.UNKNOWN_CAMERA, 'unknown camera "frnt"'),
    ("camera=FRONT", asked.UNKNOWN_CAMERA, 'unknown camera "FRONT"'),
    ("since=Front:a:1", asked.BAD_VALUE, "since is CAMERA:EPOCH:SEQ"),
    (f"since={'f' * 33}:a:1", asked.BAD_VALUE, "since is CAMERA:EPOCH:SEQ"),
    ("camera=back&since=front:a:1", asked.BAD_VALUE, "not subscribed to"),
    ("since=", asked.BAD_VALUE, "since is CAMERA:EPOCH:SEQ"),
    ("since=front", asked.BAD_VALUE, "since is CAMERA:EPOCH:SEQ, not 'front'"),
    ("since=front:a", asked.BAD_VALUE, "since"),
    ("since=front:a:-1", asked.BAD_VALUE, "since"),
    ("since=front:a:1.0", asked.BAD_VALUE, "since"),
    ("since=front:a:x", asked.BAD_VALUE, "since"),
    ("since=front::1", asked.BAD_VALUE, "since"),
    ("since=:a:1", asked.BAD_VALUE, "since"),
    ("since=front:a:1:2", asked.BAD_VALUE, "since"),
    ("since=front:a%20b:1", asked.BAD_VALUE, "since"),
    (f"since=front:{'a' * 65}:1", asked.BAD_VALUE, "since"),
    (f"since=front:a:{(1 << 53) + 1}", asked.BAD_VALUE, "since"),
    ("since=front:a:" + "9" * 5000, asked.BAD_VALUE, "since"),
    ("since=front:a:%D9%A3", asked.BAD_VALUE, "since"),  # a digit, but not of ours
    ("since=front:a:1,front:a:2", asked.BAD_VALUE, 'since names "front" twice'),
    ("maxfps=5", asked.UNKNOWN_OPTION, 'unknown option "maxfps"; did you mean "max_fps"?'),
    ("lables=a", asked.UNKNOWN_OPTION, 'did you mean "labels"?'),
    ("zzz=1", asked.UNKNOWN_OPTION, "known: cameras, delivery"),
    ("=1", asked.UNKNOWN_OPTION, "unknown option"),
    ("Camera=front", asked.UNKNOWN_OPTION, 'did you mean "camera"?'),
    ("label=%FF", asked.BAD_VALUE, "the query cannot be read"),
    ("label=%ED%A0%80", asked.BAD_VALUE, "the query cannot be read"),
    ("&".join(f"a{n}=1" for n in range(200)), asked.BAD_VALUE, "the query cannot be read"),
]


@pytest.mark.parametrize(("query", "code", "words"), WRONG_QUERIES)
def test_each_wrong_query_is_told_by_the_name_of_its_option(
    query: str, code: int, words: str
) -> None:
    found = refusal(by_query, query, CAMERAS)
    assert (found.code, found.temporary) == (code, False)
    assert words in found.message
    assert len(found.message) < LONGEST


def test_an_unknown_camera_may_come_later_while_there_is_none() -> None:
    found = refusal(by_query, "camera=front", set())
    assert found.temporary
    assert found.message == 'unknown camera "front"; known: none yet'


# ---- by command ----------------------------------------------------------------------------------

BEFORE = Contract(
    cameras=frozenset({"front"}),
    delivery="every",
    format="msgpack",
    max_fps=5.0,
    labels=frozenset({"person"}),
    min_confidence=0.5,
    nonempty=True,
)


def changed(**changes: Any) -> Contract:
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
    options: dict[str, Any], after: Contract
) -> None:
    contract, opening, ack = subscribe(BEFORE, options, CAMERAS, 7)
    assert ack == options.get("ack", 7)
    assert contract == after
    assert opening == Opening(options.get("history", 1))


def test_a_since_of_a_camera_that_is_not_there_is_no_error() -> None:
    """Whoever comes back may have been away while it was removed."""
    found = asked.by_query("since=gone:a:1,front:a:2", CAMERAS).opening
    assert found.since == {"gone": Since("a", 1), "front": Since("a", 2)}
    assert found.strange == {"gone"}


def test_since_of_a_command_is_a_list_or_a_text() -> None:
    for value in (["front:a:1"], "front:a:1"):
        opening = subscribe(BEFORE, {"since": value}, CAMERAS).opening
        assert opening.since == {"front": Since("a", 1)}


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"cameras": "frnt"}, asked.UNKNOWN_CAMERA, "frnt"),
        ({"cameras": 5}, asked.BAD_VALUE, "cameras"),
        ({"cameras": [5]}, asked.BAD_VALUE, "cameras"),
        ({"cameras": [""]}, asked.BAD_VALUE, "cameras"),
        ({"cameras": {"front": 1}}, asked.BAD_VALUE, "cameras"),
        ({"cameras": ["front"], "camera": ["back"]}, asked.BAD_VALUE, "camera is given twice"),
        ({"labels": [None]}, asked.BAD_VALUE, "labels"),
        ({"labels": True}, asked.BAD_VALUE, "labels"),
        ({"max_fps": "5"}, asked.BAD_VALUE, "max_fps"),
        ({"max_fps": True}, asked.BAD_VALUE, "max_fps"),
        ({"max_fps": float("nan")}, asked.BAD_VALUE, "max_fps"),
        ({"max_fps": float("inf")}, asked.BAD_VALUE, "max_fps"),
        ({"max_fps": 10**400}, asked.BAD_VALUE, "max_fps"),  # too large for a float
        ({"max_fps": -(10**400)}, asked.BAD_VALUE, "max_fps"),
        ({"max_fps": 5e-324}, asked.BAD_VALUE, "max_fps"),
        ({"min_confidence": "high"}, asked.BAD_VALUE, "min_confidence"),
        ({"min_confidence": 10**400}, asked.BAD_VALUE, "min_confidence"),
        ({"min_confidence": [0.5]}, asked.BAD_VALUE, "min_confidence"),
        ({"nonempty": 1}, asked.BAD_VALUE, "nonempty"),
        ({"nonempty": None}, asked.BAD_VALUE, "nonempty"),
        ({"delivery": None}, asked.BAD_VALUE, "delivery"),
        ({"delivery": ["latest"]}, asked.BAD_VALUE, "delivery"),
        ({"format": {}}, asked.BAD_VALUE, "format"),
        ({"history": 1.0}, asked.BAD_VALUE, "history"),
        ({"history": True}, asked.BAD_VALUE, "history"),
        ({"history": None}, asked.BAD_VALUE, "history"),
        ({"history": 10**400}, asked.BAD_VALUE, "history"),
        ({"since": None}, asked.BAD_VALUE, "since"),
        ({"since": {"front": 1}}, asked.BAD_VALUE, "since"),
        ({"since": ["front:a:1", 5]}, asked.BAD_VALUE, "since"),
        ({"since": ["back:a:1"]}, asked.BAD_VALUE, "not subscribed to"),
        ({"cameras": [], "since": ["front:a:1"]}, asked.BAD_VALUE, "not subscribed to"),
        ({"dance": 1}, asked.UNKNOWN_OPTION, "dance"),
        ({"x" * 10_000: 1}, asked.UNKNOWN_OPTION, "unknown option"),
        ({"max_fps": "x" * 10_000}, asked.BAD_VALUE, "max_fps"),
        ({"cameras": ["x" * 10_000]}, asked.UNKNOWN_CAMERA, "known: back, front"),
        ({"since": ["x" * 10_000]}, asked.BAD_VALUE, "since"),
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
    for before in (DEFAULT, Contract(cameras=both)):
        after = unsubscribe(before, {"cameras": ["front"]}, CAMERAS)
        assert after == Contract(cameras=frozenset({"back"}))
        assert unsubscribe(after, {"camera": "front"}, CAMERAS) == after
        assert unsubscribe(after, {}, CAMERAS) == Contract(cameras=frozenset())
        assert unsubscribe(after, {"cameras": None}, CAMERAS) == Contract(cameras=frozenset())
        assert unsubscribe(after, {"cameras": []}, CAMERAS) == after
    assert unsubscribe(BEFORE, {}, CAMERAS) == changed(cameras=frozenset())


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"cameras": ["frnt"]}, asked.UNKNOWN_CAMERA, "frnt"),
        ({"cameras": 1}, asked.BAD_VALUE, "cameras"),
        ({"labels": ["a"]}, asked.UNKNOWN_OPTION, "labels"),
        ({"x" * 10_000: 1}, asked.UNKNOWN_OPTION, "unsubscribe takes cameras"),
    ],
)
def test_each_wrong_unsubscribe_is_named(options: dict[str, Any], code: int, words: str) -> None:
    found = refusal(unsubscribe, DEFAULT, options, CAMERAS)
    assert found.code == code
    assert words in found.message
    assert len(found.message) < LONGEST


# ---- anything at all -----------------------------------------------------------------------------

NAMES = st.sampled_from([*asked._READ, *asked._ALIASES, "max_fp", "token", ""]) | st.text(
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


def answer(of: Callable[..., Asked | Contract], *arguments: Any) -> Asked | Contract | Refusal:
    try:
        return of(*arguments)
    except Refusal as error:
        return error


def check(found: Asked | Contract | Refusal, size: int) -> None:
    """What is kept of it is no larger than what was sent, and it can be answered."""
    if isinstance(found, Refusal):
        assert 100 <= found.code <= 105
        assert len(found.message) < LONGEST
        assert msgspec.json.encode(found.message)
        return
    contract, opening, _ = found if isinstance(found, Asked) else (found, ANEW, None)
    assert len(repr(contract)) < 600 + 10 * size
    assert len(repr(opening)) < 600 + 20 * size
    assert 0 <= opening.history <= 1_000_000
    assert contract.cameras is None or contract.cameras <= CAMERAS
    told = contract.told()
    assert msgspec.json.decode(msgspec.json.encode(told)) == told
    hash(contract)
    Selection(contract)


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
    check(answer(by_query, query, CAMERAS), len(query))
