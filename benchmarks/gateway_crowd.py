"""Ten thousand clients on one gateway, and what each of them costs in memory."""

from __future__ import annotations

import contextlib
import time

from benchmarks.gateway_load import Load
from benchmarks.gateway_real import Gateway, cores, memory, pace
from benchmarks.report import Row, percentile
from benchmarks.run import cpu_seconds
from framefan.base import clock

_QUIET_S = 1.5
_PORTION = 500
"""Clients connected in one go: between two of them this process reads its links."""


def crowd(folder: str, clients: int, seconds: float) -> list[Row]:
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(Gateway(folder, ["cam"], max_clients=clients))
        load = stack.enter_context(Load(cores()[1]))
        publisher = gateway.publisher
        before = memory(gateway.pid)
        began = clock.now()
        for _ in range(clients // _PORTION):
            load.open("all", gateway.port, _PORTION, timed=True)
            gateway.news()
        connected_s = clock.now() - began
        cpu = cpu_seconds({"gateway": [gateway.pid]})["gateway"]
        first = publisher.frame
        most = [memory(gateway.pid)]
        pace(
            seconds,
            ["cam"],
            1.0,
            lambda camera: publisher.send(publisher.record(camera)),
            lambda: (gateway.news(), most.append(memory(gateway.pid))),
        )
        time.sleep(_QUIET_S)
        cpu = cpu_seconds({"gateway": [gateway.pid]})["gateway"] - cpu
        seen = load.report("all")
    delays = [
        at - publisher.times[frame] for at, frame in zip(seen["at"], seen["frame"], strict=True)
    ]
    due = (publisher.frame - first) * clients
    each = (max(most) - before) / clients / 1024
    whole = len(delays) == due and not seen["holes"] and seen["open"] == clients
    return [
        Row(
            f"{clients:,} clients, a result a second, for {seconds:g} s: received by each",
            "every one",
            f"{len(delays):,} of {due:,}, {seen['holes']} holes, {seen['open']:,} still connected",
            whole,
        ),
        Row(
            f"{clients:,} clients: resident memory of the gateway for each",
            "<= 20 KiB",
            f"{each:.1f} KiB ({before >> 20} MiB without clients, {max(most) >> 20} with)",
            each <= 20,
        ),
        Row(
            f"{clients:,} clients: delay and cost",
            "",
            f"p50 {percentile(delays, 50) * 1000:.0f} ms, "
            f"p99 {percentile(delays, 99) * 1000:.0f} ms; {cpu / len(delays) * 1e6:.1f} µs CPU "
            f"a delivery; connected within {connected_s:.1f} s",
        ),
    ]
