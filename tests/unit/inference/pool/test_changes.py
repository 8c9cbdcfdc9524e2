"""Which number a new worker gets, which ones retire, and when a file counts as edited."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from framefan.settings.run import Settings
from framefan_inference.pool.changes import to_retire
from framefan_inference.pool.worker_handle import WorkerHandle
from framefan_inference.pool.workers import lowest_free
from framefan_inference.predictors.file_watch import LOOK_S, FileWatch, Stamp

STATES = st.sampled_from(["starting", "ready", "busy", "backoff", "failed"])


@given(st.sets(st.integers(1, 300)))
def test_a_new_worker_takes_the_lowest_free_number(taken: set[int]) -> None:
    number = lowest_free(taken)
    assert number not in taken
    assert set(range(1, number)) <= taken


@given(st.dictionaries(st.integers(1, 40), STATES), st.integers(0, 45))
def test_idlers_retire_first_and_then_the_highest(states: dict[int, Any], count: int) -> None:
    workers = [WorkerHandle(number, Settings()) for number in states]
    for worker in workers:
        worker.facts.state = states[worker.number]
    gone = to_retire(workers, count)
    assert len(gone) == min(count, len(workers)) == len(set(gone))
    rank = lambda it: (it.facts.state in ("ready", "busy"), -it.number)  # noqa: E731
    stay = [rank(worker) for worker in workers if worker not in gone]
    assert not gone or not stay or max(map(rank, gone)) < min(stay)


class Disk:
    def __init__(self) -> None:
        self.files: dict[str, Stamp | None] = {"a": Stamp(1, 1), "b": Stamp(1, 1)}
        self.edits = FileWatch(self.files.__getitem__)
        self.edits.watch(["a", "b"])
        self.now = 0.0

    def look(self) -> bool:
        self.now += LOOK_S
        return self.edits.look(self.now)


def test_a_change_counts_once_when_it_stands_still() -> None:
    disk = Disk()
    assert [disk.look(), disk.look()] == [False, False]
    for n in range(5):
        disk.files["b"] = Stamp(2 + n, 1)
        assert not disk.look(), "a file that is still being saved"
    assert [disk.look(), disk.look(), disk.look()] == [True, False, False]
    disk.files["a"] = None
    assert [disk.look(), disk.look()] == [False, False], "an editor puts a new one there"
    disk.files["a"] = Stamp(1, 2)
    assert [disk.look(), disk.look(), disk.look()] == [False, True, False]


def test_what_is_named_again_keeps_the_stamp_it_was_loaded_with() -> None:
    disk = Disk()
    disk.files["a"] = Stamp(9, 9)
    disk.edits.watch(["a"])
    assert [disk.look(), disk.look()] == [False, True]
    assert not disk.edits.look(disk.now + LOOK_S / 2), "it looks twice a second"
