"""Commands are read strictly, and whatever is no command gets an answer that says why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.ipc.protocol import CommandError, Reply
from framefan_gateway.connection import options
from framefan_gateway.connection.commands import Command, NotACommand, parse_ack, read
from framefan_gateway.delivery import wire

LONGEST = 500
"""Of an answer's bytes: a client's own words are cut."""


def answer(message: str | bytes) -> Reply:
    with pytest.raises(NotACommand) as caught:
        read(message, "json")
    return caught.value.reply


def error_of(reply: Reply) -> CommandError:
    assert isinstance(reply.error, CommandError)
    return reply.error


@pytest.mark.parametrize(
    ("sent", "command"),
    [
        ({"id": 1, "ping": {}}, Command(1, "ping", {})),
        ({"id": "a", "ping": None}, Command("a", "ping", {})),
        ({"ping": {}}, Command(None, "ping", {})),
        ({"id": None, "ping": {}}, Command(None, "ping", {})),
        ({"id": "x" * 64, "ping": {}}, Command("x" * 64, "ping", {})),
        ({"id": (1 << 63) - 1, "ping": {}}, Command((1 << 63) - 1, "ping", {})),
        ({"id": -(1 << 63), "ping": {}}, Command(-(1 << 63), "ping", {})),
        ({"subscribe": {"cameras": ["a"]}}, Command(None, "subscribe", {"cameras": ["a"]})),
        ({"unsubscribe": {}}, Command(None, "unsubscribe", {})),
        ({"id": 0, "auth": {"token": "t"}}, Command(0, "auth", {"token": "t"})),
        ({"id": 0, "auth": "t"}, Command(0, "auth", {"token": "t"})),
    ],
)
def test_a_command_is_json_text_or_binary_msgpack(sent: dict[str, Any], command: Command) -> None:
    assert read(msgspec.json.encode(sent).decode(), "json") == command
    assert read(msgspec.msgpack.encode(sent), "json") == command


@pytest.mark.parametrize(
    ("message", "number", "code", "words"),
    [
        ("", None, options.NOT_DECODED, "this is no JSON"),
        ("hello", None, options.NOT_DECODED, "this is no JSON"),
        ("NaN", None, options.NOT_DECODED, "this is no JSON"),
        ('{"id":1,"ping":NaN}', None, options.NOT_DECODED, "this is no JSON"),
        ('{"id":1,"ping":1e999}', None, options.NOT_DECODED, "this is no JSON"),
        ('{"id":' + "9" * 5000 + "}", None, options.NOT_DECODED, "this is no JSON"),
        ('{"id":1,"ping":"\\ud800"}', None, options.NOT_DECODED, "this is no JSON"),
        ("[" * 8000, None, options.NOT_DECODED, "this is no JSON"),
        ("[" * 8000 + "]" * 8000, None, options.NOT_DECODED, "this is no JSON"),
        ('{"a":' * 3000 + "1" + "}" * 3000, None, options.NOT_DECODED, "this is no JSON"),
        (b"", None, options.NOT_DECODED, "this is no MessagePack"),
        (b'{"id":1,"ping":{}}', None, options.NOT_DECODED, "this is no MessagePack"),
        (b"\x91" * 16_000, None, options.NOT_DECODED, "this is no MessagePack"),
        (b"\xdf\xff\xff\xff\xff", None, options.NOT_DECODED, "this is no MessagePack"),
        (b"\xa1\xff", None, options.NOT_DECODED, "this is no MessagePack"),
        (b"\x81\x80\x01", None, options.NOT_DECODED, "this is no MessagePack"),  # a map as key
        ("1", None, options.NOT_DECODED, "one object"),
        ("null", None, options.NOT_DECODED, "one object"),
        ('[{"ping":{}}]', None, options.NOT_DECODED, "one object"),
        (b"\x81\x01\x80", None, options.NOT_DECODED, "one object"),  # a number as key
        ('{"id":true,"ping":{}}', None, options.BAD_VALUE, "id is a whole number or a text"),
        ('{"id":1.5,"ping":{}}', None, options.BAD_VALUE, "id is a whole number or a text"),
        ('{"id":[1],"ping":{}}', None, options.BAD_VALUE, "id is a whole number or a text"),
        ('{"id":"' + "x" * 65 + '","ping":{}}', None, options.BAD_VALUE, "id is longer than 64"),
        (f'{{"id":{1 << 63},"ping":{{}}}}', None, options.BAD_VALUE, "id is not within 64 bits"),
        (f'{{"id":-{"9" * 400}}}', None, options.BAD_VALUE, "id is not within 64 bits"),
        ("{}", None, options.UNKNOWN_COMMAND, "no command; send one of subscribe"),
        ('{"id":7}', 7, options.UNKNOWN_COMMAND, "no command"),
        ('{"id":7,"ping":{},"auth":{}}', 7, options.UNKNOWN_COMMAND, "more than one command"),
        ('{"id":7,"dance":{}}', 7, options.UNKNOWN_COMMAND, 'unknown command "dance"; known: sub'),
        ('{"id":"b","":{}}', "b", options.UNKNOWN_COMMAND, "unknown command"),
        ('{"id":7,"' + "x" * 9000 + '":{}}', 7, options.UNKNOWN_COMMAND, "unknown command"),
        ('{"id":7,"ping":[]}', 7, options.BAD_VALUE, "ping takes an object of options"),
        ('{"id":7,"ping":"a"}', 7, options.BAD_VALUE, "ping takes an object of options"),
        ('{"id":7,"auth":["t"]}', 7, options.BAD_VALUE, "auth takes an object of options"),
        ('{"id":7,"subscribe":true}', 7, options.BAD_VALUE, "subscribe takes an object"),
        (b"\x81\xa4ping\x81\x01\x01", None, options.BAD_VALUE, "ping takes an object of options"),
    ],
)
def test_an_invalid_command_is_answered_with_the_reason(
    message: str | bytes, number: object, code: int, words: str
) -> None:
    reply = answer(message)
    assert reply.id == number
    assert (error_of(reply).code, error_of(reply).temporary) == (code, False)
    assert words in error_of(reply).message


@given(st.text() | st.binary())
def test_no_bytes_raise_anything_but_an_answer(message: str | bytes) -> None:
    check(message)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=100)
    | st.binary(max_size=5)
)
KEYS = st.sampled_from(["id", "subscribe", "unsubscribe", "auth", "ping"]) | st.text(max_size=3)
VALUES = st.recursive(
    LEAVES, lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS, part, max_size=3)
)


@given(st.dictionaries(KEYS | st.integers(0, 9), VALUES, max_size=3) | VALUES)
def test_no_value_raises_anything_but_an_answer(value: object) -> None:
    check(msgspec.msgpack.encode(value))
    check(msgspec.json.encode(value).decode())


@given(st.integers())
def test_any_id_that_is_taken_can_be_answered_in_both_formats(number: int) -> None:
    check(f'{{"id":{number},"ping":{{}}}}')


def check(message: str | bytes) -> None:
    """It is a command, or a short answer says why not; either can be answered."""
    try:
        reply = Reply(id=read(message, "json").id, ping={})
    except NotACommand as error:
        reply = error.reply
    for found in (wire.body(reply, "json"), wire.body(reply, "msgpack")):
        assert len(found) < LONGEST


@pytest.mark.parametrize("count", [0, 1, 1.0, 7, -1])
def test_a_whole_number_acknowledges_also_as_languages_without_integers_write_it(
    count: float,
) -> None:
    message = {"ack": count}
    assert parse_ack(msgspec.json.encode(message), "json", binary=False) == count
    assert parse_ack(msgspec.msgpack.encode(message), "json", binary=True) == count


@pytest.mark.parametrize(
    "count", ["1", True, None, 1.5, 1e300, float(1 << 53), float("inf"), float("nan"), [1]]
)
def test_an_invalid_acknowledgement_is_answered_with_its_form(count: Any) -> None:
    message = msgspec.msgpack.encode({"ack": count})
    assert parse_ack(message, "json", binary=True) is None
    for acks, words in ((True, "N a whole number"), (False, "subscribe with ack=N")):
        with pytest.raises(NotACommand) as caught:
            read(message, "json", acks=acks)
        assert words in error_of(caught.value.reply).message
