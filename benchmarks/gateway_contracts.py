"""Two million deliveries to clients of mixed contracts that stall, vanish and come back.

Whatever happens to them, the account of each that is still there in the end must be exact, on its
own side and on the gateway's, and nobody may ever have seen a hole that was not told.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import time
from typing import Any

import msgspec

from benchmarks.gateway_check import MIX, CheckLoop, Tally
from benchmarks.gateway_load import Load
from benchmarks.gateway_real import Gateway, Publisher, cores, pace
from benchmarks.report import Row
from benchmarks.run import until
from framefan.base import clock
from framefan.ipc.records import Detection, PredictError

CAMERAS = ["cam1", "cam2", "cam3", "cam4"]
FPS = 60.0
_LABELS = ["person", "car", "dog"]
_SLICE_S = 2.0
_FINALS = 3
_FINAL_S = 0.5
"""Longer than the interval of any `max_fps` of the mix."""
_QUIET_S = 10.0
_MOST_S = 240.0


class Scene:
    """What the cameras see, at random: some things, nothing, errors, losses, holes in the bus."""

    def __init__(self, publisher: Publisher, seed: int) -> None:
        self._publisher = publisher
        self._random = random.Random(seed)
        self._payloads = [self._things() for _ in range(300)]
        self._error = msgspec.Raw(msgspec.msgpack.encode(PredictError("ValueError", "no")))
        self._lost = msgspec.Raw(msgspec.msgpack.encode("worker_died"))
        self._all = msgspec.Raw(
            msgspec.msgpack.encode([Detection(each, 0.99, (1, 2, 3, 4)) for each in _LABELS])
        )

    def _things(self) -> msgspec.Raw:
        chance = self._random
        things = [
            Detection(chance.choice(_LABELS), round(chance.random(), 2), (10.5, 20.2, 110.0, 220.5))
            for _ in range(chance.choice([0, 0, 1, 1, 2, 3]))
        ]
        return msgspec.Raw(msgspec.msgpack.encode(things))

    def send(self, camera: str) -> None:
        at = self._random.random()
        publisher = self._publisher
        if at < 0.03:
            publisher.send(publisher.record(camera, "lost", payload=self._lost))
        elif at < 0.05:
            publisher.send(publisher.record(camera, "error", payload=self._error))
        else:
            record = publisher.record(camera, payload=self._random.choice(self._payloads))
            if at < 0.995:  # the others never reach the bus
                publisher.send(record)

    def finish(self) -> None:
        """Results that everybody asks for, so that nothing is left to be told."""
        for _ in range(_FINALS):
            time.sleep(_FINAL_S)
            for camera in CAMERAS:
                self._publisher.send(self._publisher.record(camera, payload=self._all))


def contracts(folder: str, clients: int, deliveries: int) -> list[Row]:
    seed = int(os.environ.get("FRAMEFAN_BENCH_SEED") or secrets.randbelow(1 << 31))
    print(f"seed {seed} (FRAMEFAN_BENCH_SEED={seed} repeats it)", flush=True)
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(Gateway(folder, CAMERAS))
        load = stack.enter_context(Load(cores()[1], CheckLoop))
        scene = Scene(gateway.publisher, seed)
        for camera in CAMERAS:
            scene.send(camera)
        load.ask("mixed", gateway.port, clients, seed)
        began = clock.now()
        while load.messages("mixed") < deliveries and clock.now() - began < _MOST_S:
            pace(_SLICE_S, CAMERAS, FPS, scene.send, gateway.news)
        seconds = clock.now() - began
        load.ask("settle")
        _still(gateway, load)
        scene.finish()
        told = _still(gateway, load)
        messages = load.messages("mixed")
        seen = load.ask("accounts")
    return _rows(seen, told, messages, seconds, (deliveries, clients, seed))


def _still(gateway: Gateway, load: Load) -> list[dict[str, Any]]:
    """The gateway's accounts, when nothing is on its way to anybody any more."""

    def still() -> tuple[list[dict[str, Any]]] | None:
        before = load.messages("mixed")
        time.sleep(0.3)
        gateway.news()
        listed: list[dict[str, Any]] = gateway.get("/api/clients")["clients"]
        moving = any(each["pending"] or each["lag_s"] for each in listed)
        return None if moving or load.messages("mixed") != before else (listed,)

    (found,) = until(still, _QUIET_S, "an end of what is pending")
    return list(found)


def differences(seen: dict[str, Any], told: list[dict[str, Any]]) -> list[str]:
    """Where a client's own account and the gateway's are not the same."""
    listed = {each["remote"]: each for each in told}
    found = [f"{remote} is on one side only" for remote in seen.keys() ^ listed.keys()]
    for remote, (received, missed_by) in seen.items():
        if remote not in listed:
            continue
        theirs = listed[remote]
        ours = (received + sum(missed_by.values()), received, missed_by)
        if ours != (theirs["offered"], theirs["sent"], theirs["missed_by"]):
            found.append(f"{theirs['contract']}: client {ours}, gateway {theirs}")
    return found


def _rows(
    seen: dict[str, Any],
    told: list[dict[str, Any]],
    messages: int,
    seconds: float,
    planned: tuple[int, int, int],
) -> list[Row]:
    deliveries, clients, seed = planned
    tally: Tally = seen["tally"]
    wrong = differences(seen["accounts"], told)
    for line in [*seen["errors"][:10], *wrong[:10]]:
        print(line, flush=True)
    offered = sum(each["offered"] for each in told)
    missed = sum(each["missed"] for each in told)
    cut = ", ".join(f"{count} {why}" for why, count in sorted(tally.cut.items()))
    return [
        Row(
            f"messages to {clients} clients of {len(MIX)} contracts, checked by them",
            f">= {deliveries:,}, 0 wrong",
            f"{messages:,} in {seconds:.0f} s, {seen['wrong']} wrong; seed {seed}",
            messages >= deliveries and seen["wrong"] == 0,
        ),
        Row(
            "received + missed = offered, by the client's and by the gateway's account",
            "every client",
            f"{len(told) - len(wrong)} of {len(told)}: offered {offered:,}, missed {missed:,}",
            not wrong and len(told) >= clients * 0.9,
        ),
        Row(
            "what they did meanwhile",
            "",
            f"{tally.stalls} stalls, {tally.ends} vanished, {tally.returns} came back with since; "
            f"cut off by the gateway: {cut or 'none'}",
        ),
    ]
