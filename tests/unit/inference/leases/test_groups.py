"""Several predictors in one ledger: they do not affect each other, and cameras change theirs."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import outcome_of

from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_inference.leases.camera_queue import CameraQueue, Frame, Freed
from framefan_inference.leases.group import GroupRules
from framefan_inference.leases.ledger import Ledger
from framefan_inference.leases.schedule import Schedule
from framefan_inference.leases.sequencer import WORKER_DIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from framefan_inference.leases.camera_queue import Grant

RULES = GroupRules(0.5, 0.01, (2, 60.0, 5.0))
MODES = st.sampled_from(["live", "live", "every"])


def row(name: str, predictor: str, mode: Any = "live") -> CameraSettings:
    return CameraSettings(name=name, source=SourceText("demo"), mode=mode, predictor=predictor)


# ---- a group does what it would do alone ---------------------------------------------------------


class Step(NamedTuple):
    what: str
    group: str
    pick: int
    seconds: float


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["ready", "ready", "answer", "return", "die", "up", "borrow", "tune"]),
        st.sampled_from(["people", "plates"]),
        st.integers(0, 9),
        st.sampled_from([0.0, 0.02, 0.3, 1.1]),
    ),
    max_size=80,
)


class World:
    """A ledger with the groups of `rows`, and the slots and workers around it."""

    def __init__(self, rows: list[CameraSettings], stateful: bool, most: int) -> None:
        self.groups = list(dict.fromkeys(each.predictor for each in rows))
        self.ledger = Ledger(rows, dict.fromkeys(self.groups, RULES), 1)
        self.rows = rows
        self.most = most
        self.frames = {each.name: count() for each in rows}
        self.held: list[Grant] = []
        self.lent: dict[str, str] = {}
        self.log: list[Any] = []
        """What happened to the cameras, but for the numbers of leases, which groups share."""
        for name in self.groups:
            self.ledger.group(name).schedule.stateful = stateful
            for worker in self.workers(name):
                self.ledger.worker_up(worker, most, name)

    @staticmethod
    def workers(group: str) -> Iterable[int]:
        return (1, 2) if group == "people" else (3, 4)

    def of(self, group: str) -> list[Grant]:
        return [each for each in self.held if each.worker in self.workers(group)]

    def play(self, step: Step, now: float) -> None:
        if step.group in self.groups or step.what == "tune":  # the clock ticks for all
            getattr(self, f"do_{step.what}")(step, now)
        for grant in self.ledger.assign(now):
            self.held.append(grant)
            self.log.append(("grant", grant.worker, grant.camera, grant.seq, grant.frame))
        for entry in self.ledger.release(now):
            outcome = entry.outcome and entry.outcome.kind
            self.log.append(("left", entry.grant.camera, entry.grant.seq, outcome, entry.cause))
        self.log += [("freed", *each) for each in self.ledger.take_freed()]
        changes = self.ledger.take_circuit_changes()
        self.log += [("circuit", each.camera, each.state) for each in changes]

    def do_ready(self, step: Step, now: float) -> None:
        mine = [each for each in self.rows if each.predictor == step.group]
        name = mine[step.pick % len(mine)].name
        number = next(self.frames[name])
        self.ledger.ready(name, Frame(1, number, number, now, now, 8, 8), now)

    def do_answer(self, step: Step, now: float) -> None:
        for grant in self.of(step.group)[: 1 + step.pick % 3]:
            self.ledger.outcome(outcome_of(grant.lease, "value", now), now)
            self.give_back(grant, now)

    def do_return(self, step: Step, now: float) -> None:
        for grant in self.of(step.group)[:1]:
            self.give_back(grant, now)

    def give_back(self, grant: Grant, now: float) -> None:
        assert self.ledger.returned(grant.worker, grant.lease, now)
        self.held.remove(grant)

    def do_die(self, step: Step, now: float) -> None:
        worker = list(self.workers(step.group))[step.pick % 2]
        cameras = self.ledger.in_hand(worker)
        self.ledger.worker_down(worker, WORKER_DIED, now)
        self.ledger.blame(cameras, now, step.group)
        self.held = [each for each in self.held if each.worker != worker]

    def do_up(self, step: Step, now: float) -> None:
        worker = list(self.workers(step.group))[step.pick % 2]
        if not self.ledger.in_hand(worker):
            self.ledger.worker_up(worker, self.most, step.group)

    def do_borrow(self, step: Step, now: float) -> None:
        if camera := self.lent.pop(step.group, ""):
            self.ledger.give_back(camera)
        elif found := self.ledger.borrow(step.group):
            self.lent[step.group] = found[0]

    def do_tune(self, step: Step, now: float) -> None:
        self.ledger.tune()

    def seen(self, cameras: Iterable[str]) -> list[Any]:
        """The log of these cameras, and their counters."""
        mine = set(cameras)
        queues = [(each, self.ledger.queue(each), self.ledger.sequencers[each]) for each in mine]
        return [each for each in self.log if mine & set(map(str, each))] + [
            (name, queue.superseded_by, queue.next_seq, queue.waits, order.left, order.lost_by)
            for name, queue, order in sorted(queues, key=lambda each: each[0])
        ]


@settings(max_examples=150, deadline=None, database=None, report_multiple_bugs=False)
@given(steps=STEPS, modes=st.tuples(MODES, MODES, MODES, MODES), stateful=st.booleans(),
       most=st.sampled_from([1, 3]))  # fmt: skip
def test_a_group_does_what_it_would_do_alone(
    steps: list[Step], modes: Any, stateful: bool, most: int
) -> None:
    rows = [
        row(name, group, mode)
        for name, group, mode in zip(
            "abcd", ("people", "people", "plates", "plates"), modes, strict=True
        )
    ]
    both = World(rows, stateful, most)
    alone = {name: World([e for e in rows if e.predictor == name], stateful, most)
             for name in ("people", "plates")}  # fmt: skip
    now = 100.0
    for step in steps:
        now += step.seconds
        for world in (both, *alone.values()):
            world.play(step, now)
    for name, world in alone.items():
        mine = [each.name for each in rows if each.predictor == name]
        assert both.seen(mine) == world.seen(mine)


def test_the_property_sees_a_shared_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails if deaths of one group's workers count for the cameras of the other."""
    original = Ledger.blame

    def blame(self: Ledger, cameras: Any, now: float, group: str = "") -> None:
        for name in self.groups:
            original(self, [*self.groups[name].schedule.cameras][:1], now, name)

    monkeypatch.setattr(Ledger, "blame", blame)
    with pytest.raises(AssertionError):
        test_a_group_does_what_it_would_do_alone()


# ---- a camera gets another predictor -------------------------------------------------------------


class Moving:
    """One camera that moves between two groups; each frame, slot and seq must come out once."""

    def __init__(self, mode: Any, stateful: tuple[bool, bool]) -> None:
        groups = ("people", "plates")
        self.ledger = Ledger([row("cam", "people", mode)], dict.fromkeys(groups, RULES), 1)
        for group, is_stateful in zip(groups, stateful, strict=True):
            self.ledger.group(group).schedule.stateful = is_stateful
            for worker in World.workers(group):
                self.ledger.worker_up(worker, 1, group)
        self.mode, self.stateful = mode, dict(zip(groups, stateful, strict=True))
        self.home = "people"
        self.captured = 0
        self.held: list[Grant] = []
        self.freed: list[Freed] = []
        self.left: list[int] = []

    def play(self, what: str, now: float) -> None:
        if what == "ready":
            number, self.captured = self.captured, self.captured + 1
            self.ledger.ready("cam", Frame(1, number, number, now, now, 8, 8), now)
        elif what == "move":
            self.home = "plates" if self.home == "people" else "people"
            self.ledger.move("cam", self.home)
        elif what == "answer" and self.held:
            grant = self.held.pop(0)
            self.ledger.outcome(outcome_of(grant.lease, "value", now), now)
            assert self.ledger.returned(grant.worker, grant.lease, now)
        elif what == "die" and self.held:
            self.die(self.held[0].worker, now)
        self.settle(now)

    def die(self, worker: int, now: float) -> None:
        group = "people" if worker in World.workers("people") else "plates"
        cameras = self.ledger.in_hand(worker)
        self.ledger.worker_down(worker, WORKER_DIED, now)
        self.ledger.blame(cameras, now, group)
        self.ledger.worker_up(worker, 1, group)
        self.held = [each for each in self.held if each.worker != worker]

    def settle(self, now: float) -> None:
        for grant in self.ledger.assign(now):
            assert grant.worker in World.workers(self.home), "a worker of the old predictor"
            if self.stateful[self.home]:
                assert not self.held, "a stateful camera is in two workers at once"
            self.held.append(grant)
        self.left += [entry.grant.seq for entry in self.ledger.release(now)]
        self.freed += self.ledger.take_freed()
        queue, order = self.ledger.queue("cam"), self.ledger.sequencers["cam"]
        assert self.captured == queue.next_seq + queue.superseded_by.total() + queue.waits
        assert queue.next_seq == order.left.total() + order.running
        assert len(set(self.freed)) == len(self.freed), "a slot came back twice"
        assert self.captured == len(self.freed) + queue.slots_out
        assert queue.in_flight == len(self.held)
        assert self.left == sorted(set(self.left)), "a seq left out of order, or twice"


@settings(max_examples=200, deadline=None, database=None, report_multiple_bugs=False)
@given(
    steps=st.lists(
        st.sampled_from(["ready", "ready", "ready", "answer", "move", "die"]), max_size=60
    ),
    mode=MODES,
    stateful=st.tuples(st.booleans(), st.booleans()),
)
def test_a_camera_that_changes_its_predictor_loses_no_frame(
    steps: list[str], mode: Any, stateful: tuple[bool, bool]
) -> None:
    world, now = Moving(mode, stateful), 100.0
    for step in steps:
        now += 0.01
        world.play(step, now)
    while world.held or world.ledger.queue("cam").waiting:
        now += 0.01
        before = len(world.held), len(world.ledger.queue("cam").waiting)
        world.play("answer", now)
        skipped = world.ledger.circuit("cam")[0] != "closed"
        assert skipped or before != (len(world.held), len(world.ledger.queue("cam").waiting))
        if skipped and not world.held:
            break
    world.settle(now + 2.0)
    assert not world.ledger.sequencers["cam"].running
    if mode == "every" and not world.ledger.queue("cam").superseded_by:
        assert world.left == list(range(world.captured))


def _begins_anew(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.put_in
    new = lambda self, camera, queue: original(self, camera, CameraQueue(queue.mode))  # noqa: E731
    patch.setattr(Schedule, "put_in", new)


def _keeps_its_pin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Schedule, "take_out", lambda self, camera: self.cameras.pop(camera))


def _goes_on_at_once(patch: pytest.MonkeyPatch) -> None:
    """A stateful camera does not wait for its frame in the worker of the old predictor."""

    def _worker_for(self: Schedule, queue: CameraQueue) -> int | None:
        return next(iter(self._idle), None)

    patch.setattr(Schedule, "_worker_for", _worker_for)


def _leaves_its_frames(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.take_out

    def take_out(self: Schedule, camera: str) -> CameraQueue:
        self.cameras[camera].waiting.clear()
        return original(self, camera)

    patch.setattr(Schedule, "take_out", take_out)


def _stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "move", lambda self, camera, name: None)


@pytest.mark.parametrize(
    "mutate", [_begins_anew, _keeps_its_pin, _goes_on_at_once, _leaves_its_frames, _stays]
)
def test_without_the_guard_the_move_is_seen_to_fail(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        test_a_camera_that_changes_its_predictor_loses_no_frame()


def test_an_open_circuit_closes_when_its_camera_gets_another_predictor() -> None:
    world = Moving("live", (False, False))
    for _ in range(2):
        world.play("ready", 100.0)
        world.play("die", 100.0)
    assert world.ledger.circuit("cam")[0] == "open"
    world.ledger.take_circuit_changes()
    world.play("move", 100.0)
    (change,) = world.ledger.take_circuit_changes()
    assert (change.camera, change.state) == ("cam", "closed")
    assert "another predictor" in change.message
    world.play("ready", 100.0)
    assert len(world.held) == 1, "its frames are predicted again"


def test_a_removed_group_is_gone_once_its_camera_has_moved() -> None:
    world = Moving("live", (False, False))
    world.play("ready", 100.0)
    world.play("move", 100.0)
    with pytest.raises(AssertionError, match="has a frame"):
        world.ledger.remove_group("people")
    world = Moving("live", (False, False))
    with pytest.raises(AssertionError, match="has cameras"):
        world.ledger.remove_group("people")
    world.play("move", 100.0)
    world.ledger.remove_group("people")
    assert list(world.ledger.groups) == ["plates"]
    assert world.ledger.idle
