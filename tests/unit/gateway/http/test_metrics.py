"""/metrics: what the table and the gateway hold, in Prometheus' text, and as it is documented."""

from __future__ import annotations

import asyncio
import math
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes import outcome, parts, state
from prometheus_client.parser import text_string_to_metric_families
from waiting import wait_until
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from framefan.base import clock, host
from framefan.ipc.protocol import CAUSES
from framefan.ipc.records import CameraFacts, GatewayFacts, Pid, WorkerFacts
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan_gateway.delivery.accounts import Totals
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Writer
from framefan_gateway.delivery.subscription import DEFAULT
from framefan_gateway.http import table_metrics
from framefan_gateway.http.metrics import Metrics
from framefan_gateway.http.web import Web
from framefan_gateway.intake import Intake
from framefan_gateway.run_stats import RunStats
from framefan_gateway.stats import Stats

DOC = Path(__file__).parents[4] / "docs" / "metrics.md"
HOSTILE = 'a"b\\c\nd} 1\n# é'


class Run:
    """One gateway's counts, and a pool's table to go with them."""

    def __init__(self, cameras: dict[str, CameraFacts] | None = None, **changes: Any) -> None:
        self.hub = Hub(1000, 1 << 20)
        self.intake = Intake(self.hub, 3.0)
        self.stats = Stats(1, self.hub, self.intake)
        self.run_stats = RunStats(self.stats, self.intake)
        facts = {
            "workers": [WorkerFacts(id=1, state="busy", busy=0.25, restarts=4, pid=os.getpid())],
            "gateways": [GatewayFacts(id=1, restarts=3, sent=999), GatewayFacts(id=2, clients=7)],
        }
        self.record = state(cameras, **(facts | changes))
        self.take(parts("state/", self.record))

    def take(self, message: list[bytes]) -> None:
        self.intake.take(message, clock.now(), clock.wall())

    def text(self, page: Metrics | None = None) -> str:
        return b"".join((page or Metrics(self.run_stats, self.intake)).parts()).decode()

    def samples(
        self, page: Metrics | None = None
    ) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(self.text(page)):
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in found
                found[key] = sample.value
        return found


def value(samples: Any, name: str, **labels: str) -> float:
    return samples[f"framefan_{name}", frozenset(labels.items())]


def total(samples: Any, name: str, **labels: str) -> float:
    """The sum over all labels that are not named."""
    return sum(
        each
        for (found, of), each in samples.items()
        if found == f"framefan_{name}" and labels.items() <= dict(of).items()
    )


CAMERA = CameraFacts(
    state="stalled", restarts=2, captured=100, leased=60, superseded=30,
    superseded_by={"newer": 20, "circuit": 10}, bad=6, waiting=4, results=50, errors=5, lost=3,
    lost_by={"late": 1, "worker_died": 2}, running=2,
)  # fmt: skip


def test_frames_and_outcomes_are_the_tables() -> None:
    samples = Run({"front": CAMERA, "back": CameraFacts(captured=7, waiting=7)}).samples()
    for name, count in {"captured_total": 100, "leased_total": 60, "bad_total": 6}.items():
        assert value(samples, f"frames_{name}", camera="front") == count
    superseded = {"newer": 20, "circuit": 10, "no_worker": 0, "no_slot": 0}
    for cause, count in superseded.items():
        assert value(samples, "frames_superseded_total", camera="front", cause=cause) == count
    for kind, count in {"result": 50, "error": 5, "lost": 3}.items():
        assert value(samples, "outcomes_total", camera="front", kind=kind) == count
    assert value(samples, "outcomes_lost_total", camera="front", cause="worker_died") == 2
    assert value(samples, "frames_captured_total", camera="back") == 7


def test_the_ledger_balances_in_one_scrape() -> None:
    samples = Run({"front": CAMERA}).samples()
    leased = total(samples, "frames_leased_total")
    parted = ("frames_superseded_total", "frames_bad_total", "frames_waiting")
    assert total(samples, "frames_captured_total") == leased + sum(
        total(samples, name) for name in parted
    )
    assert leased == total(samples, "outcomes_total") + total(samples, "frames_running")
    lost = total(samples, "outcomes_lost_total")
    assert lost == value(samples, "outcomes_total", camera="front", kind="lost")


def test_a_camera_is_in_one_state_and_an_unknown_state_is_exported_too() -> None:
    cameras = {"front": CAMERA, "odd": CameraFacts(state="dreaming")}
    samples = Run(cameras).samples()
    assert value(samples, "camera_state", camera="front", state="stalled") == 1
    assert value(samples, "camera_state", camera="front", state="live") == 0
    assert value(samples, "camera_state", camera="odd", state="dreaming") == 1
    assert total(samples, "camera_state", camera="front") == 1
    assert total(samples, "camera_state", camera="odd") == 1
    assert value(samples, "workers", state="busy") == 1
    assert value(samples, "worker_busy_ratio", worker="1") == 0.25


def test_clients_and_deliveries_are_of_now_and_balance() -> None:
    run = Run()
    run.hub.join(DEFAULT, Writer(len, len), lambda _: None, 0.0)
    for seq in (0, 1, 5):
        run.take(parts("result/cam/", outcome(seq)))
        run.hub.flush(clock.now())
    samples = run.samples()
    assert value(samples, "clients", gateway="1") == 1
    assert value(samples, "deliveries_sent_total", gateway="1") == 3
    assert value(samples, "deliveries_missed_total", gateway="1", cause="bus") == 3
    of = {"gateway": "1"}
    assert total(samples, "deliveries_offered_total", **of) == sum(
        total(samples, f"deliveries_{part}", **of) for part in ("sent_total", "missed_total")
    ) + total(samples, "deliveries_pending", **of)
    told = {cause for name, of in samples if "missed" in name for cause in [dict(of)["cause"]]}
    assert told == set(CAUSES)
    assert value(samples, "sent_bytes_total", gateway="1") == run.hub.totals().bytes > 0


def test_a_counter_never_falls_and_what_is_pending_may() -> None:
    """What a client gives back of its account is no restart of the gateway; all still adds up."""
    run = Run()
    page = Metrics(run.run_stats, run.intake)

    def exported(totals: Totals) -> dict[str, float]:
        run.hub.left = totals
        found = run.samples(page)
        names = ("offered_total", "sent_total", "pending")
        counts = {name: value(found, f"deliveries_{name}", gateway="1") for name in names}
        missed = {"gateway": "1", "cause": "lost"}
        sums = [each for name, each in counts.items() if name != "offered_total"]
        missed_all = total(found, "deliveries_missed_total", gateway="1")
        assert counts["offered_total"] == sum(sums) + missed_all
        return counts | {"lost": value(found, "deliveries_missed_total", **missed)}

    first = exported(Totals(offered=10, sent=5, lost=3, bytes=500))
    assert first == {"offered_total": 10, "sent_total": 5, "pending": 2, "lost": 3}
    second = exported(Totals(offered=8, sent=8, bytes=600))
    assert second == {"offered_total": 11, "sent_total": 8, "pending": 0, "lost": 3}
    third = exported(Totals(offered=13, sent=8, lost=4, bytes=700))
    assert third == {"offered_total": 16, "sent_total": 8, "pending": 1, "lost": 7}


def test_stages_are_histograms_per_camera() -> None:
    run = Run({"front": CAMERA, "back": CAMERA})
    stamps = {"captured_at": 10.0, "started_at": 10.5, "finished_at": 12.5}
    for camera in ("front", "back"):
        run.stats.stages.observe(outcome(0, camera, **stamps), 12.75)
    samples = run.samples()
    of = {"gateway": "1", "camera": "front", "stage": "predict"}
    assert value(samples, "stage_seconds_sum", **of) == 2.0
    assert value(samples, "stage_seconds_count", **of) == 1
    assert value(samples, "stage_seconds_bucket", le="1.0", **of) == 0
    assert value(samples, "stage_seconds_bucket", le="2.5", **of) == 1
    assert value(samples, "stage_seconds_bucket", le="+Inf", **of) == 1
    assert total(samples, "stage_seconds_count", camera="back") == 4


def test_the_loops_lag() -> None:
    run = Run()
    for now in (1.0, 1.1, 3.2):
        run.stats.lag.beat(now, 0.1)
    samples = run.samples()
    assert value(samples, "loop_lag_seconds_count", gateway="1") == 2
    assert value(samples, "loop_lag_seconds_bucket", le="1.0", gateway="1") == 1
    assert value(samples, "loop_lag_worst_seconds", gateway="1") == pytest.approx(2.0)


def test_a_client_cannot_make_metrics_by_its_close_codes() -> None:
    run = Run()
    run.stats.closed_by.update({"1000": 5, "1006": 2, "stalled": 3, "4408": 1})
    run.stats.closed_by.update({str(code): 2 for code in range(3000, 4400)})
    samples = run.samples()
    told = {dict(of)["code"]: n for (name, of), n in samples.items() if "closes" in name}
    assert told == {"1000": 5, "1006": 2, "stalled": 3, "4408": 1, "other": 2800}


def test_values_from_outside_are_escaped() -> None:
    camera = CameraFacts(state=HOSTILE, superseded_by={HOSTILE: 1}, lost_by={HOSTILE: 2})
    run = Run({HOSTILE: camera})
    run.stats.closed_by[HOSTILE] = 3
    samples = run.samples()
    assert value(samples, "camera_state", camera=HOSTILE, state=HOSTILE) == 1
    assert value(samples, "frames_superseded_total", camera=HOSTILE, cause=HOSTILE) == 1
    assert value(samples, "outcomes_lost_total", camera=HOSTILE, cause=HOSTILE) == 2
    assert value(samples, "closes_total", gateway="1", code=HOSTILE) == 3


# ---- processes -----------------------------------------------------------------------------------


def test_each_process_has_its_memory_and_restarts() -> None:
    own = os.getpid()
    run = Run({"front": CAMERA}, supervisor=Pid(own), pool=Pid(own, restarts=1))
    run.record.cameras["front"].pid = own
    samples = run.samples()
    restarts = {("pool", ""): 1, ("capture", "front"): 2, ("worker", "1"): 4, ("gateway", "1"): 3}
    for (process, role), count in restarts.items():
        assert value(samples, "process_restarts_total", process=process, role=role) == count
    assert not any(("process", "supervisor") in of for name, of in samples if "restarts" in name)
    for process, role in [("supervisor", ""), ("pool", ""), ("worker", "1"), ("gateway", "1")]:
        size = value(samples, "process_resident_bytes", process=process, role=role)
        assert 5e6 < size < 5e9


def test_a_process_that_is_dead_or_not_there_yet_has_no_memory() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = Run({"front": CAMERA}, workers=[WorkerFacts(id=1, pid=child.pid), WorkerFacts(id=2)])
    of = {"process": "worker", "role": "1"}
    assert value(run.samples(), "process_resident_bytes", **of) > 0
    child.stdin.close()  # type: ignore[union-attr]
    key = "framefan_process_resident_bytes", frozenset(of.items())
    wait_until(lambda: key not in run.samples(), what="the dead child's memory gone")  # not buried
    child.wait()
    samples = run.samples()
    assert key not in samples
    assert value(samples, "process_restarts_total", process="worker", role="2") == 0
    sized = {dict(of)["role"] for name, of in samples if "resident" in name}
    assert "2" not in sized


def test_resident_bytes_are_this_processs_own() -> None:
    before = host.resident_bytes(os.getpid())
    size = 64 << 20
    with mmap.mmap(-1, size) as block:  # memory of its own: an allocator may reuse some it holds
        block.write(b"x" * size)
        after = host.resident_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before > size / 2
    assert host.resident_bytes(0) is None
    assert host.resident_bytes(-1) is None


# ---- the text ------------------------------------------------------------------------------------


def full() -> Run:
    """A run in which every metric there is has a sample."""
    run = Run({"front": CAMERA, "back": CAMERA})
    for camera in ("front", "back"):
        run.stats.stages.observe(outcome(0, camera), clock.now())
    run.stats.closed_by["1000"] = 1
    return run


def test_every_family_is_introduced_once_and_named_by_the_rules() -> None:
    text = full().text()
    introduced = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    assert len(introduced) == len(set(introduced)) == len(re.findall(r"^# HELP \S+ \S", text, re.M))
    for name, kind in introduced:
        assert name.startswith("framefan_")
        assert name.endswith("_total") == (kind == "counter")
        assert kind in ("counter", "gauge", "histogram")
    assert text.endswith("\n")


def documented() -> dict[str, tuple[str, frozenset[str], str]]:
    """By metric, its type, labels and unit, as the tables of the page have them."""
    rows = re.findall(
        r"^\| `(framefan_\w+)` \| (\w+) \| (.*?) ?\| (.*?) \| \S", DOC.read_text(), re.M
    )
    assert len(rows) == len({name for name, *_ in rows})
    return {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels)), unit)
        for name, kind, labels, unit in rows
    }


def exported() -> dict[str, tuple[str, frozenset[str]]]:
    found = {}
    for family in text_string_to_metric_families(full().text()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {frozenset(set(sample.labels) - {"le"}) for sample in family.samples}
        assert len(labels) == 1, f"{name}: {labels}"
        found[name] = family.type, labels.pop()
    return found


def test_the_page_lists_every_metric_and_no_other() -> None:
    told = {name: (kind, labels) for name, (kind, labels, _) in documented().items()}
    of_several = told.pop("framefan_camera_predictor")
    assert of_several == ("gauge", frozenset({"camera", "predictor"}))
    assert told == exported()


def test_units_stand_in_the_names() -> None:
    for name, (_, _, unit) in documented().items():
        bare = name.removesuffix("_total")
        assert bare.endswith("_seconds") == (unit == "seconds"), name
        assert bare.endswith("_bytes") == (unit == "bytes"), name
        assert bare.endswith("_ratio") == (unit == "0 to 1"), name


def test_the_page_names_the_causes_and_states_that_are_known() -> None:
    text = DOC.read_text()
    for word in (*table_metrics.SUPERSEDED, *table_metrics.LOST):
        assert f"`{word}`" in text, word


# ---- over HTTP -----------------------------------------------------------------------------------


class Turns:
    """Counts how often the loop comes round."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> Turns:
        self._task = asyncio.create_task(self._turn())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _turn(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


async def scrape(run: Run, method: str = "GET") -> Response:
    cameras = (CameraSettings(name="cam", source=SourceText("demo")),)
    web = Web(Settings(cameras=cameras), 1, run.hub, run.intake, run.run_stats)
    answer = web.answer(Request("/metrics", Headers({"Host": "localhost"}), method))
    assert answer is not None
    assert not isinstance(answer, Response)
    return await answer


async def test_a_scrape_is_one_response() -> None:
    run = full()
    response = await scrape(run)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(response.body.decode())}
    assert len(names) == len(exported())
    head = await scrape(run, "HEAD")
    assert head.body == b""
    assert math.isclose(int(head.headers["Content-Length"]), len(response.body), rel_tol=0.01)


async def test_the_loop_turns_while_a_scrape_is_written() -> None:
    names = [f"camera{number}" for number in range(32)]
    run = Run(dict.fromkeys(names, CAMERA))
    for name in names:
        run.stats.stages.observe(outcome(0, name), clock.now())
    async with Turns() as turns:
        await scrape(run)
    assert turns.count > len(names)


async def test_without_a_table_a_gateway_exports_its_own_counts() -> None:
    run = Run()
    run.intake.state = None
    body = (await scrape(run)).body.decode()
    assert 'framefan_clients{gateway="1"} 0.0' in body
    assert "framefan_table_age_seconds" not in body


def test_a_gateway_starts_without_what_only_a_scrape_needs() -> None:
    code = "import sys, framefan_gateway.main as m; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
