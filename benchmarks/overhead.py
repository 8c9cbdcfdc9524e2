"""What framefan adds to a frame: time on its way, and CPU.

Time: a 720p demo at 30 frames a second, a predictor that returns at once, one plain client in
this process. Overhead is the client's receive time minus captured minus predict, on the clock
that all processes of a machine share. `captured` is the stamp taken at grab, and `predict` lasts
from its entry until it returned; both are read, after the run, from the records on the bus. The
figure therefore includes the source's retrieve, which for the demo is the drawing of the picture;
that part, measured in a bare loop, is told beside it.

CPU: four such cameras, one client. User and system time of every process of the run over a few
seconds, several times, divided by the frames the client received, minus what the four sources cost
in bare loops at the same pace. Predict is not subtracted: it returns at once.
"""

from __future__ import annotations

import math
from statistics import median

import msgspec
import zmq

from benchmarks import decode, predictors
from benchmarks.client_connections import Received, collect, for_seconds, is_result
from benchmarks.report import Row, percentile, spread
from benchmarks.run import Run, cpu_seconds
from framefan.base import clock
from framefan.ipc import bus
from framefan.ipc.records import OutcomeRecord

ROUNDS = 4
ROUND_S = 5.0
CAMERAS = 4
_SETTLE_S = 2.0
"""What lies before this after the client joined is start-up."""


class Stamps:
    """A subscriber that lets records pile up and reads them when the measurement is over."""

    def __init__(self, endpoint: str) -> None:
        self._socket = bus.context().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.subscribe(bus.RESULT)
        self._socket.connect(endpoint)

    def read(self, last: tuple[str, int]) -> dict[tuple[str, int], OutcomeRecord]:
        """By camera and seq, up to the seq `last`."""
        decoder = msgspec.msgpack.Decoder(OutcomeRecord)
        found: dict[tuple[str, int], OutcomeRecord] = {}
        while last not in found:
            if not self._socket.poll(5000):
                raise SystemExit(f"the bus never carried {last}")
            record = decoder.decode(self._socket.recv_multipart()[1])
            found[record.camera, record.seq] = record
        self._socket.close(linger=0)
        return found


def measure() -> list[Row]:
    return [*latency(), *cpu()]


def latency() -> list[Row]:
    with Run("demo?size=1280x720&fps=30", predictor=predictors.reference("nothing")) as run:
        run.wait_ready()
        stamps = Stamps(run.status()["results_endpoint"])
        received = collect(run.websocket, for_seconds(_SETTLE_S + ROUNDS * ROUND_S))
        results = [each for each in received if is_result(each)]
        records = stamps.read(_key(results[-1]))
    (bare,) = decode.at_once(["demo?size=1280x720&fps=30"], 5.0)
    begin = results[0].at + _SETTLE_S
    rounds: list[list[tuple[float, float]]] = [[] for _ in range(ROUNDS)]
    for each in results:
        number = math.floor((each.at - begin) / ROUND_S)
        if 0 <= number < ROUNDS:
            rounds[number].append(_way(each, records[_key(each)]))
    return latency_rows(rounds, bare["wall_p50_ms"])


def latency_rows(rounds: list[list[tuple[float, float]]], drawn: float) -> list[Row]:
    """`rounds` holds, for each frame, the milliseconds before and after predict."""
    p50s = [percentile(map(sum, ways), 50) for ways in rounds]
    every = [way for ways in rounds for way in ways]
    p99 = percentile(map(sum, every), 99)
    return [
        Row("overhead at 720p30, p50", "<= 2 ms", spread(p50s, 2, " ms"), median(p50s) <= 2),
        Row("overhead at 720p30, p99", "<= 10 ms", f"{p99:.2f} ms, {len(every)} frames", p99 <= 10),
        Row(
            "overhead without the source's retrieve, p50",
            "",
            f"{median(p50s) - drawn:.2f} ms (retrieve: {drawn:.2f} ms)",
        ),
        Row("of it: captured to predict, with retrieve", "", _p50_p99([way[0] for way in every])),
        Row("of it: predict's return to client", "", _p50_p99([way[1] for way in every])),
    ]


def _key(received: Received) -> tuple[str, int]:
    return received.message["camera"], received.message["seq"]


def _way(received: Received, record: OutcomeRecord) -> tuple[float, float]:
    """Milliseconds before and after predict."""
    before = record.started_at - record.captured_at
    return before * 1000, (received.at - record.finished_at) * 1000


def cpu() -> list[Row]:
    sources = [f"cam{n}=demo?size=1280x720&fps=30&seed={n}" for n in range(1, CAMERAS + 1)]
    with Run(*sources, predictor=predictors.reference("nothing")) as run:
        run.wait_ready()
        collect(run.websocket, for_seconds(_SETTLE_S))
        pids = run.processes()
        rounds = [_round(run.websocket, pids) for _ in range(ROUNDS)]
    bare = decode.at_once([source.partition("=")[2] for source in sources], 10.0)
    return cpu_rows(rounds, sum(each["cpu_ms"] for each in bare) / CAMERAS)


def _round(url: str, pids: dict[str, list[int]]) -> dict[str, float]:
    """CPU milliseconds a result by kind of process, and under `rate` the results a second."""
    before, began = cpu_seconds(pids), clock.now()
    received = collect(url, for_seconds(ROUND_S))
    after, ended = cpu_seconds(pids), clock.now()
    results = sum(is_result(each) for each in received)
    split = {kind: 1000 * (after[kind] - before[kind]) / results for kind in pids}
    return split | {"rate": results / (ended - began)}


def cpu_rows(rounds: list[dict[str, float]], drawn: float) -> list[Row]:
    """`drawn`: CPU milliseconds of one grab and retrieve."""
    splits = [
        {kind: ms for kind, ms in found.items() if kind != "rate"}
        | {"capture": found["capture"] - drawn}
        for found in rounds
    ]
    beyond = [sum(split.values()) for split in splits]
    rates = [found["rate"] for found in rounds]
    least = CAMERAS * 29
    return [
        Row(
            f"CPU a frame beyond decode, {CAMERAS} cameras at 720p30",
            "<= 1 ms",
            spread(beyond, 2, " ms"),
            median(beyond) <= 1,
        ),
        *(
            Row(f"of it: {kind}", "", spread([split[kind] for split in splits], 3, " ms"))
            for kind in splits[0]
        ),
        Row("the source's grab and retrieve, not counted above", "", f"{drawn:.3f} ms"),
        Row(
            f"results a second to the client, {CAMERAS} cameras at 30",
            f">= {least}",
            spread(rates, 1),
            median(rates) >= least,
        ),
    ]


def _p50_p99(values: list[float]) -> str:
    return f"p50 {percentile(values, 50):.2f} ms, p99 {percentile(values, 99):.2f} ms"
