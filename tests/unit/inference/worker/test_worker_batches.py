"""A real worker process with several leases at once: one call, an outcome for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from peers import HEIGHT, WIDTH, PlayedPool, payload

from framefan.base import clock
from framefan.errors import EXIT_START
from framefan.ipc.messages import Lease, Leases, Notice, Returned

if TYPE_CHECKING:
    from framefan.ipc.outcomes import WorkerOutcome

CALLS = """
import os, sys, time
import numpy as np

class Model:
    stateful = {stateful}
    max_batch = 4

    def __init__(self):
        self.calls = 0

    def predict_batch(self, images, frame):
        self.calls += 1
        numbers = [each.frame for each in frame]
        assert [int(image.max()) for image in images] == numbers, "not its own picture"
        assert not any(image.flags.writeable for image in images)
        if 3 in numbers:
            raise ValueError("three")
        if 4 in numbers:
            return numbers[1:]
        if 5 in numbers:
            self.kept = images[numbers.index(5)][2:]
        if 6 in numbers:
            return (each if each != 6 else float("nan") for each in numbers)
        if 7 in numbers:
            return "seven"
        if 8 in numbers:
            time.sleep(0.4)
            raise ValueError("eight")
        return [{{"call": self.calls, "size": len(images), "frame": n}} for n in numbers]
"""


class Batches(PlayedPool):
    """Leases several slots in one message."""

    def serve(self, *values: int) -> list[WorkerOutcome]:
        """The outcomes of one call on frames with these numbers."""
        leases = []
        for slot, value in enumerate(values):
            self.rings[1].view(slot, HEIGHT, WIDTH)[:] = value
            self._leases += 1
            facts = (clock.now(), clock.wall(), WIDTH, HEIGHT)
            leases.append(Lease(self._leases, "cam", 1, slot, self._leases - 1, value, *facts))
        self.child.link.send(Leases(leases))
        return [self.served(lease.lease) for lease in leases]


def told(outcomes: list[WorkerOutcome]) -> list[Any]:
    """Each value, or the kind of the error."""
    found = [(each.kind, payload(each)) for each in outcomes]
    return [value["kind"] if kind == "error" else value for kind, value in found]


def test_one_call_for_all_and_an_outcome_for_each(written: Any) -> None:
    with Batches(written(CALLS.format(stateful=False))) as pool:
        assert pool.ready().most == 4
        pool.attach()
        outcomes = pool.serve(0, 1, 2)
        assert [payload(each)["frame"] for each in outcomes] == [0, 1, 2]
        assert {(payload(each)["call"], payload(each)["size"]) for each in outcomes} == {(1, 3)}
        assert len({(each.started_at, each.finished_at) for each in outcomes}) == 1
        assert [each.lease for each in pool.heard(Returned)] == [1, 2, 3]

        assert told(pool.serve(0, 3, 1))[1] == "ValueError", "only the guilty one is an error"
        assert [each.kind for each in pool.outcomes[3:]] == ["value", "error", "value"]
        assert len({each.started_at for each in pool.outcomes[3:]}) == 1

        assert told(pool.serve(0, 4, 1)) == ["wrong_count"] * 3
        assert "2 results for 3 images" in payload(pool.outcomes[-1])["message"]
        assert told(pool.serve(7, 1)) == ["wrong_count"] * 2
        assert "a text for 2 images" in payload(pool.outcomes[-1])["message"]
        assert told(pool.serve(0, 6, 1)) == [0, "not_finite", 1], "each by itself"

        assert pool.predict(4) == ("error", payload(pool.outcomes[-1])), "alone it is checked too"
        assert pool.heard(Notice) == []


def test_a_kept_image_is_found_among_several_and_copies_follow(written: Any) -> None:
    with Batches(written(CALLS.format(stateful=False))) as pool:
        pool.ready()
        pool.attach()
        found = told(pool.serve(0, 5, 1))
        assert [each["frame"] for each in found] == [0, 5, 1]
        assert [each["frame"] for each in told(pool.serve(5, 0))] == [5, 0]
        assert len(pool.heard(Notice)) == 1


def test_a_stateful_predictor_is_never_asked_twice(written: Any) -> None:
    with Batches(written(CALLS.format(stateful=True))) as pool:
        pool.ready()
        pool.attach()
        assert told(pool.serve(0, 3, 1)) == ["ValueError"] * 3
        assert payload(pool.serve(0, 1)[0])["call"] == 2


def test_trying_one_by_one_stays_within_the_deadline(written: Any) -> None:
    """Each step takes 0.4 s; with the call itself there is time for two of the four."""
    with Batches(written(CALLS.format(stateful=False)), predict_s=1.3) as pool:
        pool.ready()
        pool.attach()
        outcomes = pool.serve(8, 8, 8, 8)
        assert told(outcomes) == ["ValueError"] * 4
        took = [each.finished_at - each.started_at for each in outcomes]
        assert took[1] > 0.8
        assert took[3] < 1.3


@pytest.mark.parametrize("most", ["0", "True", "2.5", "'many'"])
def test_a_size_that_is_none_ends_the_start(written: Any, most: str) -> None:
    code = f"""
    class Model:
        max_batch = {most}
        def predict_batch(self, images): return [1 for _ in images]
    """
    with PlayedPool(written(code)) as pool:
        failed = pool.failed()
        assert failed.exit_code == EXIT_START
        assert "max_batch" in failed.what


def test_a_class_with_both_is_asked_for_one_by_predict(written: Any) -> None:
    code = """
    class Model:
        def predict(self, image): return "one"
        def predict_batch(self, images): return ["several" for _ in images]
    """
    with Batches(written(code)) as pool:
        assert pool.ready().most == 8
        pool.attach()
        assert pool.predict(1) == ("value", "one")
        assert told(pool.serve(1, 2)) == ["several"] * 2
