"""One play: a run, its cameras and clients, faults in random order, and what came of each."""

from __future__ import annotations

import contextlib
import random
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from fake_camera import FakeCamera, Frames
from faults import limits
from runs import Run, assert_balanced
from waiting import SCALE, pause, wait_until

from chaos.clients import CONTRACTS, SLOW, Crowd
from chaos.faults import FAULTS, PREDICT_S, Fault, Scene, resident
from chaos.ordinary import CALM_S, KINDS, Ordinary
from framefan.base.clock import now, wall
from framefan.ipc.records import StateRecord

WORKERS = 3
GATEWAYS = 2
CAMERAS = ("demo-a", "demo-b", "rtsp", "http")
GROWTH_BYTES = 2 << 20
JUDGED_S = 300.0
"""A shorter play has no memory to judge: what was killed last is still warming up."""
REST_S = 20.0
"""Without a fault, before memory is looked at."""
PREDICTOR = Path(__file__).with_name("predictor.py")
_SETTLE_S = 3.0
_QUIET_S = 4.0
"""In which ordinary clients are judged, after all faults of a round, and at the end."""
_LIMITS = limits(
    state_every_s=0.2,
    predict_s=PREDICT_S,
    restart_first_s=0.5,
    restart_cap_s=0.5,
    restarts=1_000_000,
    circuit_deaths=0,
    history_s=5,
)
"""Small ones, so that faults come as often as they can; what they test is not the waiting. Each
restart waits as the first one of a minute does by default: the faults of an hour come in a minute
here, and waits that double with each of them would be measured instead of recoveries.
"""


@dataclass
class Told:
    """One fault that was injected."""

    name: str
    recovery_s: float
    limit_s: float
    p99_ms: float
    """Of results at a plain client, from the fault until it was over."""


@dataclass
class OrdinaryFacts:
    """What one ordinary client did."""

    name: str
    library: str
    outcomes: int
    ends: int
    """Connections that ended, all with a killed gateway."""
    judged: int
    """Outcomes whose age at the handler was judged; 0 without `ack`."""
    oldest_s: float
    """Of those."""


@dataclass
class Report:
    seed: int
    seconds: float
    faults: list[Told] = field(default_factory=list)
    results: int = 0
    wrong: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    quiet_p99_ms: float = 0.0
    growth: dict[str, int] = field(default_factory=dict)
    """Bytes of RSS, by kind of process, the largest of each, from a third to the end."""
    descriptors: dict[str, int] = field(default_factory=dict)
    """The same of open descriptors."""
    finished: bool = False
    """It was played to its end, and the run stopped clean."""
    ends: dict[str, int] = field(default_factory=dict)
    """How clients' connections ended, by close code."""
    ordinary: list[OrdinaryFacts] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        judged = self.seconds >= JUDGED_S
        grown = judged and any(size > GROWTH_BYTES for size in self.growth.values())
        more = any(count > 0 for count in self.descriptors.values())
        return self.finished and not (self.wrong or self.late or grown or more)


def play(report: Report, tell: Any = lambda _: None) -> None:
    """Faults for so long; the ledger is balanced and all well again after each. What came of it
    stands in `report`, up to where it failed, too.
    """
    try:
        with _stage(report) as scene:
            crowd = Crowd(scene.run.ws)
            try:
                _play(scene, crowd, report, tell)
            finally:
                crowd.close()
                report.wrong += crowd.seen.wrong
                report.results, report.ends = crowd.seen.results, dict(crowd.seen.ends)
                _add_ordinary(report, scene.ordinary)
    except BaseException as error:  # whatever it was, the report that is written says so
        report.wrong.append(f"{type(error).__name__}: {error}")
        raise
    report.finished = True


def _add_ordinary(report: Report, ordinary: Ordinary) -> None:
    for each in ordinary.accounts:
        kind = each.kind
        report.wrong += each.wrong
        if kind.acknowledges and not each.judged:
            report.wrong.append(f"ordinary client, {kind.name}: its age was never judged")
        report.ordinary.append(
            OrdinaryFacts(
                kind.name, kind.library, each.outcomes, each.ends, each.judged, each.oldest_s
            )
        )


@contextlib.contextmanager
def _stage(report: Report) -> Iterator[Scene]:
    soon = "open_timeout_s = 1\nread_timeout_s = 1\nbackoff_first_s = 0.1\nbackoff_cap_s = 0.5\n"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ff-")))
        asked = folder / "asked"
        asked.mkdir()
        cameras = {kind: stack.enter_context(FakeCamera(kind)) for kind in ("rtsp", "http")}
        for camera in cameras.values():
            camera.play(Frames(fps=10))
        sources = {
            "demo-a": "demo?size=320x240&fps=20",
            "demo-b": "demo?size=160x120&fps=10&seed=2",
        }
        sources |= {kind: camera.url for kind, camera in cameras.items()}
        config = folder / "framefan.toml"
        config.write_text(
            "".join(
                f'[[camera]]\nname = "{name}"\nsource = "{source}"\n'
                + ("" if name.startswith("demo") else soon)
                for name, source in sources.items()
            )
        )
        env = _LIMITS | {"CHAOS_FOLDER": str(asked)}
        arguments = ("--config", str(config), "-p", f"{PREDICTOR}:Predictor", "-w", str(WORKERS))
        arguments += ("--gateways", str(GATEWAYS))
        longest_s = 2 * report.seconds + 600
        run = stack.enter_context(Run(*arguments, env=env, longest_s=longest_s))
        ordinary = stack.enter_context(Ordinary(run.ws))
        yield Scene(run, asked, random.Random(report.seed), cameras, ordinary)


def _play(scene: Scene, crowd: Crowd, report: Report, tell: Any) -> None:
    start = scene.ordinary.trouble(kills_gateway=False)
    _wait_well(scene, crowd, now(), 20.0)
    began = now()
    order: list[Fault] = []
    looks = []
    start.over = wall()
    pause(_SETTLE_S)
    report.quiet_p99_ms = _p99_ms(crowd, began)
    while now() - began < report.seconds:
        if not order:
            _be_quiet(scene, report)
            order = list(FAULTS)
            scene.dice.shuffle(order)
        fault = order.pop()
        _inject(scene, crowd, fault, report)
        tell(report)
        if not looks and now() - began > report.seconds / 3:
            _rest(scene, crowd, report)
            looks.append(_look(scene))
        pause(scene.dice.uniform(0.2, 1.5))
    _rest(scene, crowd, report)
    _be_quiet(scene, report)
    looks.append(_look(scene))
    for index, into in enumerate((report.growth, report.descriptors)):
        for kind, value in looks[-1][index].items():
            into[kind] = value - looks[0][index][kind]


def _be_quiet(scene: Scene, report: Report) -> None:
    """No fault for long enough that ordinary clients are judged."""
    ordinary = scene.ordinary
    if not report.faults:
        return
    pause(max(ordinary.troubles[-1].over + CALM_S - wall(), 0.0))
    began = wall()
    pause(_QUIET_S)
    report.wrong += [
        f"ordinary client, {name}: idle when all is well" for name in ordinary.idle(began)
    ]


def _rest(scene: Scene, crowd: Crowd, report: Report) -> None:
    """Before a look: what is killed now and then is of one age at both, if memory is judged."""
    if report.seconds < JUDGED_S:
        pause(_SETTLE_S)
        return
    for fault in FAULTS:
        if fault.name in ("pool killed", "gateway killed"):
            _inject(scene, crowd, fault, report)
    pause(REST_S)


def _inject(scene: Scene, crowd: Crowd, fault: Fault, report: Report) -> None:
    reach = _restarts(scene).get(fault.dies, 0) + fault.times
    at = now()
    trouble = scene.ordinary.trouble(kills_gateway=fault.dies == "gateway")
    fault.do(scene)
    done, trouble.done = now(), wall()
    took = _wait_well(scene, crowd, done, 4 * fault.limit_s + 10, fault.dies, reach)
    trouble.over = wall()
    recovery = done - at + took if "stopped for" in fault.name else took
    if recovery > fault.limit_s * SCALE:
        report.late.append(f"{fault.name}: well after {recovery:.1f} s, bar {fault.limit_s:g} s")
    assert_balanced(scene.run.fresh_state())
    wait_until(lambda: _no_slot_lost(scene.run.fresh_state()), 10, "every slot accounted for")
    report.faults.append(Told(fault.name, recovery, fault.limit_s, _p99_ms(crowd, at)))


def _no_slot_lost(state: StateRecord) -> bool:
    """A slot may be on its way back for a moment; one that is lost stays out for ever."""
    return all(facts.slots_out == facts.waiting + facts.running for facts in state.cameras.values())


def _restarts(scene: Scene) -> dict[str, int]:
    """How often what was started anew, by kind of process."""
    state = scene.run.state()
    assert state is not None
    return {
        "worker": sum(each.restarts for each in state.workers),
        "pool": state.pool.restarts,
        "gateway": sum(each.restarts for each in state.gateways),
        "capture": sum(each.restarts for each in state.cameras.values()),
        "camera": sum(camera.scripts for camera in scene.cameras.values()),
    }


def _wait_well(
    scene: Scene, crowd: Crowd, since: float, most_s: float, dies: str = "", reach: int = 0
) -> float:
    """Until so many of what dies are there anew, every camera has brought a client a result since
    then, and all is in order.
    """
    deadline = now() + most_s * SCALE
    died, after = not dies, since
    while not (died and _seen_all(crowd, after) and _in_order(scene)):
        if not died and _restarts(scene)[dies] >= reach:
            died, after = True, now()
        if now() > deadline:
            raise AssertionError(f"not well after {most_s:g} s:\n{_how(scene, crowd, since)}")
        pause()
    return now() - since


def _seen_all(crowd: Crowd, since: float) -> bool:
    return all(crowd.seen.last.get(name, 0.0) > since for name in CAMERAS)


def _in_order(scene: Scene) -> bool:
    state = scene.run.state()
    assert state is not None
    workers = [each for each in state.workers if each.state in ("ready", "busy")]
    asked = any(scene.folder.iterdir())  # what the predictor is still to do
    live = all(facts.state == "live" for facts in state.cameras.values())
    return len(workers) == WORKERS and live and not asked


def _how(scene: Scene, crowd: Crowd, since: float) -> str:
    state = scene.run.fresh_state()
    cameras = {
        name: (facts.state, facts.reason, round(crowd.seen.last.get(name, 0.0) - since, 1))
        for name, facts in state.cameras.items()
    }
    return f"{cameras}\n{[(each.id, each.state, each.reason) for each in state.workers]}"


def _p99_ms(crowd: Crowd, since: float) -> float:
    ages = [age for at, age in tuple(crowd.seen.latency) if at >= since]
    if len(ages) < 2:
        return 1000 * max(ages, default=0.0)
    return 1000 * statistics.quantiles(ages, n=100, method="inclusive")[98]


def _look(scene: Scene) -> tuple[dict[str, int], dict[str, int]]:
    """Memory and descriptors of all processes at rest: the most of each kind."""
    state = scene.run.fresh_state()
    pids = {
        "supervisor": [scene.run.process.pid],
        "pool": [state.pool.pid],
        "gateway": [each.pid for each in state.gateways],
        "worker": [each.pid for each in state.workers],
        "capture": [facts.pid for facts in state.cameras.values()],
    }
    memory = {kind: max(map(resident, those)) for kind, those in pids.items()}
    return memory, {kind: max(map(_descriptors, those)) for kind, those in pids.items()}


def _descriptors(pid: int) -> int:
    """The fewest of a few looks, less the connections of clients and cameras, which come and go."""
    process = psutil.Process(pid)
    counts = []
    for _ in range(20):
        counts.append(process.num_fds() - len(process.net_connections("inet")))
        pause()
    return min(counts)


def described(report: Report) -> str:
    """The report as Markdown."""
    lines = [
        f"# Chaos, seed {report.seed}: {'passed' if report.passed else 'FAILED'}",
        "",
        f"{len(report.faults)} faults in {report.seconds:g} s; {len(CAMERAS)} cameras, {WORKERS} "
        f"workers, {GATEWAYS} gateways, {len(CONTRACTS) + len(SLOW) + 1} clients and {len(KINDS)} "
        f"ordinary ones, "
        f"{report.results:,} results checked. "
        "After each fault the ledger was exact, and no slot missing from the pool's book. "
        f"p99 at rest {report.quiet_p99_ms:.0f} ms.",
        "",
        "| fault | times | well again after, longest | bar | p99 meanwhile, worst |",
        "|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        told = [each for each in report.faults if each.name == fault.name]
        if told:
            longest = max(each.recovery_s for each in told)
            worst = max(each.p99_ms for each in told)
            lines.append(
                f"| {fault.name} | {len(told)} | {longest:.2f} s | {fault.limit_s:g} s "
                f"| {worst:.0f} ms |"
            )
    lines += _ordinary_lines(report)
    grown = ", ".join(f"{kind} {size / (1 << 20):+.2f} MiB" for kind, size in report.growth.items())
    judged = f"bar {GROWTH_BYTES >> 20} MiB" if report.seconds >= JUDGED_S else "too short to judge"
    opened = ", ".join(f"{kind} {count:+}" for kind, count in report.descriptors.items())
    lines += [
        "",
        f"From a third to the end, the largest process of each kind: memory {grown} ({judged}); "
        f"descriptors {opened} (bar 0). Ends of connections: {report.ends}.",
    ]
    lines += [f"- LATE: {each}" for each in report.late]
    lines += [f"- WRONG: {each}" for each in report.wrong]
    return "\n".join(lines) + "\n"


def _ordinary_lines(report: Report) -> list[str]:
    """What ordinary clients did, as a table."""
    return [
        "",
        "| ordinary client | library | handled | connections ended by a killed gateway "
        f"| {CALM_S:g} s after a fault, its ages judged | oldest |",
        "|---|---|---|---|---|---|",
        *(
            f"| {each.name} | {each.library} | {each.outcomes:,} | {each.ends} | {each.judged:,} "
            f"| {f'{each.oldest_s:.2f} s' if each.judged else '-'} |"
            for each in report.ordinary
        ),
    ]
