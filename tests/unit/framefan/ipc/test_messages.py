"""Messages: each union decodes exactly its own members, and bus records keep their names."""

from __future__ import annotations

import msgspec
import pytest

from framefan.ipc import messages, records

UNIONS = {
    "ToSupervisor": messages.ToSupervisor,
    "FromSupervisor": messages.FromSupervisor,
    "ToPool": messages.ToPool,
    "ToCapture": messages.ToCapture,
    "ToWorker": messages.ToWorker,
    "FromWorker": messages.FromWorker,
}


def example(kind: type) -> object:
    """A value of that type with its required fields filled by type."""
    values = {
        int: 1,
        str: "x",
        float: 1.5,
        bool: True,
    }
    fields = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            if field.type in values:
                fields[field.name] = values[field.type]
            elif getattr(field.type, "__origin__", None) is list:
                fields[field.name] = []
            elif getattr(field.type, "__origin__", None) is dict:
                fields[field.name] = {}
            else:
                fields[field.name] = example(field.type)
    return kind(**fields)


@pytest.mark.parametrize(
    ("union", "kind"),
    [(name, kind) for name, union in UNIONS.items() for kind in union.__args__],
)
def test_each_message_survives_its_link(union: str, kind: type) -> None:
    message = example(kind)
    encoded = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(encoded, type=UNIONS[union]) == message


@pytest.mark.parametrize("union", UNIONS)
def test_a_link_refuses_what_it_never_carries(union: str) -> None:
    stranger = messages.Progress if union == "ToCapture" else messages.Free
    if stranger in UNIONS[union].__args__:
        stranger = messages.HelloGateway
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(example(stranger)), type=UNIONS[union])


def test_bus_records_are_maps_with_a_version() -> None:
    state = example(records.StateRecord)
    content = msgspec.msgpack.decode(msgspec.msgpack.encode(state))
    assert content["v"] == records.BUS_VERSION
    assert {"epoch", "n", "cameras", "workers", "gateways", "results_endpoint"} <= set(content)


def test_a_newer_record_with_more_fields_is_still_read() -> None:
    content = msgspec.msgpack.decode(msgspec.msgpack.encode(example(records.StateRecord)))
    content["invented_later"] = 1
    packed = msgspec.msgpack.encode(content)
    assert msgspec.msgpack.decode(packed, type=records.StateRecord).v == 1
