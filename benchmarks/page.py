"""The page: what its pictures cost, whom they delay, and how many of them a browser draws.

- One viewer of a 720p camera at 30 frames a second: the workers' CPU time for each picture of 640
  pixels, by their own clocks; how many are made for ten viewers, and for nobody.
- The latency of results at a plain client, with ten viewers and without, turn about.
- Chromium: pictures drawn a second, of one camera at 640 and of nine at 320x180 to 640x360; and its
  JavaScript heap over ten minutes, after a collection each time.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.client_connections import collect, for_seconds, is_result
from benchmarks.report import Row, percentile, spread
from benchmarks.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

CHROMIUM = "/usr/bin/chromium"
CAMERA = "demo?size=1280x720&fps=30"
NINE = tuple(f"c{n}=demo?size=640x360&fps=10&seed={n}" for n in range(9))
SECONDS = 10.0
ROUNDS = 3
VIEWERS = 10
HEAP_S = float(os.environ.get("HEAP_S", "600"))
DRAWN = """() => {
    window.drawn = {};
    document.addEventListener("drawn", ({target}) => {
        const camera = target.closest(".tile").dataset.camera;
        window.drawn[camera] = (window.drawn[camera] || 0) + 1;
    }, true);
}"""


class Viewers:
    """Clients that take pictures and look at none."""

    def __init__(self, run: Run, count: int, width: int = 640) -> None:
        self.pictures = [0] * count
        self._sockets = [
            connect(f"{run.websocket}?preview={width}", proxy=None) for _ in range(count)
        ]
        self._threads = [threading.Thread(target=self._read, args=(n,)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _read(self, number: int) -> None:
        try:
            for data in self._sockets[number]:
                self.pictures[number] += isinstance(data, bytes)
        except ConnectionClosed:
            pass

    def __enter__(self) -> Viewers:
        return self

    def __exit__(self, *_: object) -> None:
        with ThreadPoolExecutor(len(self._sockets)) as pool:
            list(pool.map(lambda each: each.close(), self._sockets))
        for thread in self._threads:
            thread.join()


def measure() -> list[Row]:
    return [*costs(), *delays(), *drawn(), heap()]


def costs() -> list[Row]:
    with Run(CAMERA) as run:
        run.wait_ready()
        time.sleep(3)
        nobody = sum(_camera(run)["previews"].values())
        one = _made(run, 1)
        ten = _made(run, VIEWERS)
    return [
        Row("pictures made while nobody watches", "0", str(nobody), nobody == 0),
        Row(
            "one viewer of 720p at 30 fps, 640 wide: worker CPU a picture",
            "<= 1 ms",
            f"{one[1]:.2f} ms, {one[0]:.1f} pictures a second",
            one[1] <= 1.0,
        ),
        Row(
            f"{VIEWERS} viewers: pictures made, over those for one",
            "1",
            f"{ten[0] / one[0]:.2f}",
            ten[0] / one[0] < 1.05,
        ),
    ]


def _camera(run: Run) -> dict[str, Any]:
    camera: dict[str, Any] = run.status()["cameras"]["demo"]
    return camera


def _made(run: Run, viewers: int) -> tuple[float, float]:
    """Pictures made a second, and milliseconds of CPU for each, while so many watch."""
    with Viewers(run, viewers):
        time.sleep(2)
        before, began = run.status(), time.monotonic()
        time.sleep(SECONDS)
        after, took = run.status(), time.monotonic() - began
    was, now = before["cameras"]["demo"], after["cameras"]["demo"]
    count = sum(now["previews"].values()) - sum(was["previews"].values())
    seconds = after["ts"] - before["ts"] or took
    return count / seconds, 1000 * (now["preview_cpu_s"] - was["preview_cpu_s"]) / count


def delays() -> list[Row]:
    ratios, medians = [], []
    with Run(CAMERA) as run:
        run.wait_ready()
        for _ in range(ROUNDS):
            without = _latencies(run)
            with Viewers(run, VIEWERS):
                seen = _latencies(run)
            ratios.append(percentile(seen, 99) / percentile(without, 99))
            medians.append(percentile(seen, 50) / percentile(without, 50))
    return [
        Row(
            f"latency of results with {VIEWERS} viewers over without, p99",
            "<= 1.3",
            spread(ratios),
            median(ratios) <= 1.3,
        ),
        Row("the same, p50", "", spread(medians)),
    ]


def _latencies(run: Run) -> list[float]:
    received = collect(run.websocket, for_seconds(SECONDS))
    return [each.wall - each.message["ts"] for each in received if is_result(each)][10:]


def drawn() -> list[Row]:
    one = _drawn((CAMERA,))["demo"]
    nine = _drawn(NINE)
    return [
        Row(
            "Chromium: pictures drawn a second, one camera at 640", ">= 25", f"{one:.1f}", one >= 25
        ),
        Row(
            "Chromium: nine cameras of 640x360 at 10 fps, the slowest",
            ">= 8",
            f"{min(nine.values()):.1f} of {len(nine)}",
            len(nine) == len(NINE) and min(nine.values()) >= 8,
        ),
    ]


def _drawn(sources: Sequence[str]) -> dict[str, float]:
    with Run(*sources) as run, sync_playwright() as playwright:
        run.wait_ready()
        page = _page(playwright, run.url)
        page.wait_for_timeout(4000)
        page.evaluate(DRAWN)
        began = time.monotonic()
        page.wait_for_timeout(1000 * SECONDS)
        counts = page.evaluate("() => window.drawn")
        return {name: count / (time.monotonic() - began) for name, count in counts.items()}


def _page(playwright: Any, url: str) -> Any:
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=["--no-sandbox", "--disable-gpu", "--js-flags=--expose-gc"],
    )
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(url)
    return page


def heap() -> Row:
    """Of nine cameras: the growth from a fifth of the time to its end."""
    sizes: list[float] = []
    with Run(*NINE) as run, sync_playwright() as playwright:
        run.wait_ready()
        page = _page(playwright, run.url)
        tools = page.context.new_cdp_session(page)
        tools.send("Performance.enable")
        looks = 10
        for look in range(looks):
            page.wait_for_timeout(1000 * HEAP_S / looks)
            page.evaluate("() => { gc(); gc(); }")
            found = {
                each["name"]: each["value"]
                for each in tools.send("Performance.getMetrics")["metrics"]
            }
            sizes.append(found["JSHeapUsedSize"] / (1 << 20))
            print(
                f"  heap after {HEAP_S * (look + 1) / looks:.0f} s: {sizes[-1]:.2f} MiB", flush=True
            )
    grown = sizes[-1] - sizes[1]
    return Row(
        f"Chromium: JavaScript heap of nine cameras over {HEAP_S / 60:g} minutes",
        "flat",
        f"{sizes[1]:.2f} MiB after a fifth, {sizes[-1]:.2f} at the end",
        grown <= max(0.5, 0.1 * sizes[1]),
    )
