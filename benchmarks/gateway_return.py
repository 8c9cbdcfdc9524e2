"""A `framefan.client` whose connection is cut at random, and what it is missing afterwards.

A small TCP proxy stands between client and gateway and aborts both sides, in the middle of
whatever is on its way. While the gateway still has what came meanwhile, nothing may be missing or
come twice; when it has not, the client must be told, with the number of what is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks.gateway_real import Gateway, Publisher, payload
from benchmarks.report import Row
from framefan.base import clock
from framefan.client import Feed, connect
from framefan.ipc.protocol import Failure, Gap, Result, Resumed

if TYPE_CHECKING:
    from collections.abc import Callable

CAMERAS = ["cam1", "cam2", "cam3"]
FPS = 30.0
CUTS = 10
_LARGE = payload(50)
_LARGE_RESULTS = 1500
"""Of one camera: more than a gateway keeps in its 4 MiB."""
_LARGE_PAUSE_S = 0.001
_PATIENCE_S = 20.0
_DELIVERIES = ("latest", "every")
_NOT_SENT = {"history", "conflated"}
"""Why a `latest` client that comes back is not sent what lies between."""


class Proxy:
    """Passes bytes on between a client and the gateway until it is told to cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.refuses = False

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        there, gateway = await asyncio.open_connection("127.0.0.1", self._port)
        both = {writer, gateway}
        self._writers |= both
        await asyncio.gather(self._pass_on(reader, gateway), self._pass_on(there, writer))
        self._writers -= both

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        self._server.close()
        self.cut()


class Reader:
    """Reads a feed and notes what is wrong with it."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._last: dict[str, tuple[str, int, int]] = {}
        """By camera, epoch and seq of the last result, and what gaps told since."""
        self.results = 0
        self.wrong: list[str] = []
        self.resumed: list[bool] = []
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._feed.messages():
            if isinstance(message, Result | Failure):
                self._result(message)
            elif isinstance(message, Gap):
                self._gap(message)
            elif isinstance(message, Resumed):
                self.resumed.append(message.recovered)

    def _result(self, message: Result | Failure) -> None:
        camera, seq = message.camera, message.seq
        epoch, last, gaps = self._last.get(camera, ("", -1, 0))
        if epoch == message.epoch and seq != last + 1 + message.missed + gaps:
            self.wrong.append(f"{camera}: {seq} after {last}, missed {message.missed}")
        self._last[camera] = (message.epoch, seq, 0)
        self.results += 1

    def _gap(self, gap: Gap) -> None:
        epoch, last, gaps = self._last.get(gap.camera, ("", -1, 0))
        if epoch == gap.epoch:
            self._last[gap.camera] = (epoch, last, gaps + gap.missed)

    @property
    def missed(self) -> Counter[str]:
        """By cause, as the feed has counted it."""
        total: Counter[str] = Counter()
        for causes in self._feed.missed.values():
            total.update(causes)
        return total

    def at(self, camera: str) -> int:
        return self._last.get(camera, ("", -1, 0))[1]


async def _until(true: Callable[[], bool], what: str) -> None:
    deadline = clock.now() + _PATIENCE_S
    while not true():
        if clock.now() > deadline:
            raise SystemExit(f"waited {_PATIENCE_S:g} s in vain: {what}")
        await asyncio.sleep(0.01)


class Pool:
    """Publishes results of all cameras, until it is stopped."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.changes: dict[str, Any] = {}
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            for camera in CAMERAS:
                self.send(camera)
                await asyncio.sleep(1 / FPS / len(CAMERAS))

    def send(self, camera: str, **changes: Any) -> None:
        self.publisher.send(self.publisher.record(camera, **(self.changes | changes)))

    def restart(self) -> None:
        """As a new pool: another epoch, and every camera from 0."""
        self.changes["epoch"] = secrets.token_hex(4)
        self.publisher.seqs.clear()
        self.publisher.n = 0

    def stop(self) -> None:
        self._task.cancel()

    def all_at(self, reader: Reader) -> bool:
        return all(reader.at(camera) == seq - 1 for camera, seq in self.publisher.seqs.items())


def returning(folder: str) -> list[Row]:
    seed = int(os.environ.get("FRAMEFAN_BENCH_SEED") or secrets.randbelow(1 << 31))
    logging.getLogger("framefan").setLevel(logging.ERROR)  # it would tell of every cut
    with Gateway(folder, CAMERAS) as gateway:
        return asyncio.run(_returning(gateway, random.Random(seed), seed))


async def _returning(gateway: Gateway, chance: random.Random, seed: int) -> list[Row]:
    rows = []
    pool = Pool(gateway.publisher)
    for delivery in _DELIVERIES:
        proxy = Proxy(gateway.port)
        url = f"ws://127.0.0.1:{await proxy.start()}/ws"
        async with connect(url, delivery=delivery, backoff_first_s=0.1, backoff_cap_s=0.3) as feed:
            reader = Reader(feed)
            rows.append(await _cut_often(proxy, reader, pool, feed, (chance, seed, delivery)))
            rows.append(await _gone_too_long(proxy, reader, pool, delivery))
            rows.append(await _another_pool(proxy, reader, pool, delivery))
            reader.task.cancel()
        proxy.close()
    pool.stop()
    return rows


async def _resumed(reader: Reader, resumptions: int) -> None:
    want = resumptions * len(CAMERAS)
    await _until(lambda: len(reader.resumed) >= want, f"resumption {resumptions}")


async def _cut_often(
    proxy: Proxy, reader: Reader, pool: Pool, feed: Feed, how: tuple[random.Random, int, str]
) -> Row:
    chance, seed, delivery = how
    await _until(lambda: all(reader.at(camera) >= 0 for camera in CAMERAS), "first results")
    first = {camera: reader.at(camera) for camera in CAMERAS}
    results = reader.results
    for number in range(CUTS):
        await asyncio.sleep(chance.uniform(0.05, 0.8))
        proxy.cut()
        await _resumed(reader, number + 1)
    await asyncio.sleep(0.2)
    received = reader.results - results
    due = sum(reader.at(camera) - first[camera] for camera in CAMERAS)
    missed = reader.missed
    told = f"{received:,} of {due:,} results, {len(reader.wrong)} wrong, {dict(missed)} missed"
    exact = received + sum(missed.values()) == due and not reader.wrong
    if delivery == "latest":
        what, whole = "resumed with the newest, the rest counted", not missed.keys() - _NOT_SENT
    else:
        what = "resumed without a gap or a repetition"
        whole = not missed and all(reader.resumed) and feed.recovered is True
    return Row(
        f"client cut off {CUTS} times, {delivery}: {what}",
        f"{CUTS} of {CUTS}",
        f"{len(reader.resumed) // len(CAMERAS)} resumed, {sum(reader.resumed)} of "
        f"{len(reader.resumed)} cameras recovered; {told}; seed {seed}",
        exact and whole,
    )


async def _gone_too_long(proxy: Proxy, reader: Reader, pool: Pool, delivery: str) -> Row:
    before = len(reader.resumed)
    proxy.refuses = True
    proxy.cut()
    at = reader.at(CAMERAS[0])
    for _ in range(_LARGE_RESULTS):
        pool.send(CAMERAS[0], payload=_LARGE)
        await asyncio.sleep(_LARGE_PAUSE_S)
    results, gone = reader.results, reader.missed["history"]
    proxy.refuses = False
    await _until(lambda: len(reader.resumed) >= before + len(CAMERAS), "the return")
    await _until(lambda: reader.at(CAMERAS[0]) > at + _LARGE_RESULTS, "what came since")
    gone = reader.missed["history"] - gone
    recovered = reader.resumed[before:]
    told = len(CAMERAS) if delivery == "latest" else 1
    exact = recovered.count(False) == told and gone > 0 and not reader.wrong
    return Row(
        f"the same, back after more than is kept of one of {len(CAMERAS)} cameras, {delivery}",
        "recovered: false",
        f"{recovered.count(False)} told recovered: false; {gone:,} of them missed by history, "
        f"{reader.results - results:,} received, {len(reader.wrong)} holes not told",
        exact,
    )


async def _another_pool(proxy: Proxy, reader: Reader, pool: Pool, delivery: str) -> Row:
    before = len(reader.resumed)
    proxy.refuses = True
    proxy.cut()
    pool.restart()
    await asyncio.sleep(0.5)
    proxy.refuses = False
    await _until(lambda: len(reader.resumed) >= before + len(CAMERAS), "the return")
    recovered = reader.resumed[before:]
    return Row(
        f"the same, back after the pool was restarted, {delivery}",
        "recovered: false",
        f"{recovered.count(False)} of {len(recovered)} cameras told so, {len(reader.wrong)} wrong",
        not any(recovered) and not reader.wrong,
    )
