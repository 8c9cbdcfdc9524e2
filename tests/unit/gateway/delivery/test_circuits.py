"""A camera whose frames kill workers: who is told of its circuit, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_fakes import parts, state, status
from hub_reader import Reader

from framefan.ipc.records import CameraFacts
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscription import Subscription
from framefan_gateway.intake import Intake

OPEN = {"subject": "predictor", "camera": "a", "state": "open", "reason": "circuit"}


class Run:
    """A pool that says how the circuit of camera `a` is, before a hub."""

    def __init__(self) -> None:
        self.hub = Hub(1000, 1 << 20)
        self.intake = Intake(self.hub, 3.0)
        self.n = 0

    def take(self, topic: str, record: Any, epoch: str = "k3f9") -> None:
        record.n, record.epoch = self.n, epoch
        self.n += 1
        self.intake.take(parts(topic, record), 0.0, 100.0)
        self.hub.flush(0.0)

    def status(self, name: str, **changes: Any) -> None:
        self.take("status/a/", status(name, "a", subject="predictor", reason="circuit", **changes))

    def table(self, circuit: str, epoch: str = "k3f9") -> None:
        facts = CameraFacts(state="live", circuit=circuit, circuit_message="three died")
        self.take("state/", state({"a": facts, "b": CameraFacts(state="live")}), epoch)


def statuses_of(reader: Reader) -> list[str]:
    return [each["state"] for each in reader.received if each.get("reason") == "circuit"]


@pytest.mark.parametrize("delivery", ["latest", "every"])
def test_new_clients_get_the_open_circuit_until_it_is_closed(delivery: Any) -> None:
    run = Run()
    run.table("closed")
    run.status("open", next_try_s=60.0)
    run.table("open")
    newcomer = Reader(run.hub, Subscription(delivery=delivery))
    other = Reader(run.hub, Subscription(delivery=delivery, cameras=frozenset("b")))
    assert newcomer.received[0].items() >= (OPEN | {"next_try_s": 60.0}).items()
    run.status("half_open")
    run.status("closed")
    run.table("closed")
    assert statuses_of(newcomer) == ["open", "half_open", "closed"]
    assert statuses_of(Reader(run.hub, Subscription(delivery=delivery))) == statuses_of(other) == []


def test_a_circuit_status_that_the_bus_lost_comes_from_the_table_once() -> None:
    run = Run()
    reader = Reader(run.hub, Subscription())
    for circuit in ("closed", "open", "open", "half_open", "closed", "closed"):
        run.table(circuit)
    assert statuses_of(reader) == ["open", "half_open", "closed"]
    assert reader.received[0].items() >= (OPEN | {"message": "three died"}).items()


def test_a_new_pool_has_closed_them_all() -> None:
    run = Run()
    run.status("open")
    reader = Reader(run.hub, Subscription())
    run.table("closed", epoch="next")
    assert statuses_of(reader) == ["open", "closed"]


def test_the_circuit_of_a_removed_camera_is_not_sent_to_new_clients() -> None:
    run = Run()
    run.table("closed")
    run.status("open")
    run.take("status/a/", status("ended", "a", reason="removed"))
    run.take("state/", state({"b": CameraFacts(state="live")}))
    assert statuses_of(Reader(run.hub, Subscription())) == []
    run.table("closed")
    assert statuses_of(Reader(run.hub, Subscription())) == []
