"""What clients are sent fits the schema they are served, and docs/protocol.md describes it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from gateway_fakes import outcome, parts, status
from gateway_server import WAIT_S, read, running
from test_web import Site
from websockets.asyncio.client import connect

from framefan.base import clock
from framefan.ipc import protocol
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan.settings.states import REASONS, STATES
from framefan_gateway import server
from framefan_gateway.connection import connection, options, session
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Writer
from framefan_gateway.delivery.subscription import Opening, StreamPosition, Subscription
from framefan_gateway.intake import Intake

DOC = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
SCHEMA = json.loads(Site().get("/schema/result.v1.json").body)
DEFS = SCHEMA["$defs"]
TYPES = {
    definition["properties"]["type"]["enum"][0]: definition
    for definition in DEFS.values()
    if "type" in definition["properties"]
}
CAMERAS = ("back", "front")
COMMANDS = {"subscribe", "unsubscribe", "auth", "ping"}
BLOCKS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", DOC, re.M | re.S)]
EXAMPLES = [block for block in BLOCKS if "type" in block]


def check(message: Any) -> None:
    """It fits the schema, which allows what it does not know, and has nothing that is not there."""
    jsonschema.Draft202012Validator(SCHEMA).validate(message)
    assert set(message) <= set(TYPES[message["type"]]["properties"])


# ---- the page ------------------------------------------------------------------------------------


def test_the_schema_is_one_and_is_strict_where_it_matters() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for wrong in ({}, {"type": "hello"}, {"type": "gap", "camera": "front"}):
        with pytest.raises(jsonschema.ValidationError):
            check(wrong)
    check(EXAMPLES[0] | {"seq": 0})
    for field, value in {"seq": "1", "missed": None, "latency_ms": {}, "detections": [{}]}.items():
        with pytest.raises(jsonschema.ValidationError):
            check(EXAMPLES[0] | {field: value})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])
def test_an_example_fits_the_schema(example: Any) -> None:
    check(example)
    missed = example.get("missed", 0)
    assert missed == sum(example.get("missed_by", {}).values())
    assert set(example.get("missed_by", ())) <= set(protocol.CAUSES)


def test_every_type_of_message_has_an_example() -> None:
    assert {example["type"] for example in EXAMPLES} == set(TYPES)
    assert all(f"### {name}\n" in DOC for name in TYPES if name != "reply")


def test_every_command_has_an_example_and_an_answer() -> None:
    commands = [block for block in BLOCKS if "type" not in block and "ack" not in block]
    assert {(set(block) - {"id"}).pop() for block in commands} == COMMANDS
    assert all(len(set(block) - {"id"}) == 1 for block in commands)
    answered = {example.get("id") for example in EXAMPLES if example["type"] == "reply"}
    assert {block["id"] for block in commands} <= answered


def test_a_subscription_is_shown_as_gateways_send_it() -> None:
    told = [
        example[name]
        for example in EXAMPLES
        for name in ("subscribe", "unsubscribe")
        if name in example
    ]
    assert len(told) == 2
    for subscription in told:
        assert set(subscription) == {*Subscription().to_dict(), "ack"}


def rows(text: str, head: str) -> dict[str, str]:
    """By name, what stands beside it in the tables of that head."""
    found: dict[str, str] = {}
    for table in re.findall(rf"^\| {head} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.M):
        for line in table.splitlines():
            names, _, rest = line.removeprefix("| ").partition(" | ")
            for name in re.findall(r"`([^`]+)`", names) or [names]:
                found[name] = rest
    return found


def section(title: str) -> str:
    """From that heading to the next one."""
    return re.split(r"^#+ ", DOC.split(f"\n{title}\n", 1)[1], maxsplit=1, flags=re.M)[0]


@pytest.mark.parametrize("name", ["result", "error", "status", "gap", "resumed"])
def test_every_field_of_a_message_is_described_and_no_other(name: str) -> None:
    assert set(rows(section(f"### {name}"), "field")) == set(TYPES[name]["properties"]) - {"type"}


@pytest.mark.parametrize(
    ("head", "definition"),
    [
        ("field of a detection", "Detection"),
        ("field of an error", "PredictError"),
        ("field of a command's error", "CommandError"),
    ],
)
def test_every_field_within_a_message_is_described(head: str, definition: str) -> None:
    assert set(rows(DOC, head)) == set(DEFS[definition]["properties"])


def test_a_replys_fields_are_in_the_schema() -> None:
    told = set(rows(DOC, "field of a reply"))
    assert told == set(TYPES["reply"]["properties"]) - {"type"}


def test_the_causes_and_options_are_those_there_are() -> None:
    assert set(rows(DOC, "cause")) == set(protocol.CAUSES)
    told = {option.partition("=")[0] for option in rows(DOC, "option")}
    in_address = {"cameras": "camera", "labels": "label"}
    assert told == {in_address.get(name, name) for name in options._READ}


@pytest.mark.parametrize("option", rows(DOC, "option"))
def test_an_option_of_the_page_is_valid_and_changes_something(option: str) -> None:
    found = options.parse_query(option, CAMERAS)
    assert found != options.parse_query("", CAMERAS)


def test_the_states_of_a_camera_are_those_of_the_table() -> None:
    told = rows(section("## Camera states"), "state")
    assert list(told) == list(STATES)
    for name, state in STATES.items():
        reasons = ", ".join(f"`{reason}`" if reason else "none" for reason in state.reasons)
        assert told[name] == f"{state.meaning} | {reasons} |"


def test_the_reasons_of_a_state_are_those_of_the_table() -> None:
    told = rows(section("## Camera states"), "reason")
    assert told == {reason: f"{meaning} |" for reason, meaning in REASONS.items()}


def test_the_codes_are_those_there_are() -> None:
    """Of commands, and of closes."""
    constants = vars(options).items()
    codes = {value for name, value in constants if name.isupper() and value in range(100, 200)}
    assert codes == {int(code) for code in re.findall(r"^\| (1\d\d) \|", DOC, re.M)}
    ours = (server.GOING_AWAY, connection.TOO_MANY, connection.TOO_SLOW, connection.SILENT)
    ours += (connection.BAD_REQUEST, session.UNAUTHORIZED)
    closes = " ".join(re.findall(r"^\| ((?:\d{4}(?:, )?)+) \|", DOC, re.M))
    assert set(map(str, ours)) == set(re.findall(r"\d+", closes)) - {"1002", "1007", "1009"}


def test_links_within_the_page_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", DOC, re.M)
    places = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    links = re.findall(r"\]\(#([^)]*)\)", DOC)
    assert links
    assert set(links) <= places


async def test_the_commands_of_the_page_get_its_replies() -> None:
    wrong = {"id": 1, "subscribe": {"cameras": ["frnt"]}}
    sent = [wrong, *(block for block in BLOCKS if "id" in block and "type" not in block)]
    async with running() as gateway:
        cameras = tuple(CameraSettings(name=name, source=SourceText("demo")) for name in CAMERAS)
        settings = gateway.server.settings
        gateway.server.settings = msgspec.structs.replace(settings, cameras=cameras)
        client = await gateway.client()
        answers = []
        for command in sent:
            await client.send(json.dumps(command))
            answers.append(await read(client))
        await client.close()
    documented = [example for example in EXAMPLES if example["type"] == "reply"]
    for answer, example in zip(answers, documented, strict=True):
        if "ping" in example:
            assert answer["ping"].keys() == example["ping"].keys()
            answer["ping"] = example["ping"]
        assert answer == example


# ---- what is really sent -------------------------------------------------------------------------


def messages(data: bytes) -> list[Any]:
    """Those of a run of whole frames, of either format."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        body = data[start : start + size]
        text = {0x81: msgspec.json.decode, 0x82: msgspec.msgpack.decode}[data[0]]
        found.append(text(body))
        data = data[start + size :]
    return found


def every_kind(subscription: Subscription) -> list[Any]:
    """All kinds of messages, as a client of that subscription is sent them."""
    hub = Hub(1000, 1 << 20)
    intake = Intake(hub, 3.0)
    data: list[bytes] = []

    def publish(topic: str, record: Any) -> None:
        intake.take(parts(topic, record), clock.now(), clock.wall())

    publish("result/cam/", outcome(0, pts=0.5))
    hub.flush(clock.now())
    line = Writer(data.append, lambda some: data.append(some) or len(some))
    opening = Opening(since={"cam": StreamPosition("k3f9", 0)})
    client = hub.join(subscription, line, lambda _: None, clock.now(), opening)
    for start, kind in ((2, "detections"), (12, "value"), (22, "error")):
        publish("result/cam/", outcome(start, kind=kind, pts=start / 10))
        publish("result/cam/", outcome(start + 1, kind="lost"))
        publish("result/cam/", outcome(start + 4, kind=kind))
        publish("status/cam/", status("backoff", reason="refused", next_try_s=0.5, n=start + 5))
        publish("status/", status("failed", None, subject="worker", worker=1, n=start + 6))
        hub.flush(clock.now())
    refused = protocol.Reply(id="a", error=protocol.CommandError(102, "unknown camera"))
    for reply in (
        refused,
        protocol.Reply(id=1, subscribe=subscription.to_dict()),
        protocol.Reply(ping={}),
    ):
        hub.switch(
            client, subscription, Opening(), wire.body(reply, subscription.format), clock.now()
        )
    return messages(b"".join(data))


@pytest.mark.parametrize("fmt", ["json", "msgpack"])
@pytest.mark.parametrize("delivery", ["latest", "every"])
def test_every_kind_of_message_fits_the_schema(delivery: Any, fmt: Any) -> None:
    sent = every_kind(Subscription(delivery=delivery, format=fmt))
    for message in sent:
        check(message)
    kinds = {message["type"] for message in sent}
    assert kinds == set(TYPES) - ({"gap"} if delivery == "latest" else set())
    assert any("detections" in message for message in sent)
    clocks = {message["type"] for message in sent if "pts" in message}
    assert clocks == {"result", "error"}
    assert any("result" in message for message in sent)
    assert any(message.get("missed") for message in sent)


def test_both_formats_hold_the_same() -> None:
    as_json, as_msgpack = (every_kind(Subscription(format=fmt)) for fmt in ("json", "msgpack"))
    for each, other in zip(as_json, as_msgpack, strict=True):
        assert list(each) == list(other)
        for name in set(each) - {"ts", "latency_ms", "subscribe"}:
            assert each[name] == other[name]


@pytest.mark.parametrize("fmt", ["json", "msgpack"])
async def test_what_a_client_of_the_server_reads_fits_the_schema(fmt: Any) -> None:
    decode = {"json": msgspec.json.decode, "msgpack": msgspec.msgpack.decode}[fmt]
    async with running() as gateway:
        gateway.publish()
        client = await connect(f"{gateway.url}?delivery=every&format={fmt}", proxy=None)
        await client.send('{"id":1,"ping":{}}')
        gateway.seq += 2  # a gap
        gateway.publish()
        stalled = status("stalled", n=1)
        gateway.intake.take(parts("status/cam/", stalled), clock.now(), clock.wall())
        gateway.publish(kind="error")
        gateway.publish(kind="value")
        kinds: set[str] = set()
        async with asyncio.timeout(WAIT_S):
            while kinds != set(TYPES) - {"resumed"}:
                message = await client.recv()
                assert isinstance(message, str if fmt == "json" else bytes)
                check(decode(message))
                kinds.add(decode(message)["type"])
        await client.close()
