"""One camera as the pool sees it: its processes come and go, its settings change, it is removed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from camera_words import LARGER, SETTINGS, hello, ready, said, told
from ledger_world import ONE_GROUP

from framefan.ipc.messages import ChildFacts
from framefan.settings.secret import SourceText
from framefan.settings.states import REASONS
from framefan_inference.leases.camera_queue import MAX_FPS
from framefan_inference.leases.ledger import Ledger
from framefan_inference.pool.cameras import Camera

# ---- its process ---------------------------------------------------------------------------------

DIED = ChildFacts("capture", "cam", 0, "backoff", 1, "decoder_died", 0.5)
STARTED = ChildFacts("capture", "cam", 8, "starting", 1)
RUNS = ChildFacts("capture", "cam", 8, "running", 1)
GIVEN_UP = ChildFacts("capture", "cam", 0, "failed", 5, "no_progress", 60.0)


def test_a_process_that_dies_and_comes_back(camera: Camera, link: Any, at: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready())
    assert told(camera.gone()) == ("connecting", "restarting")
    record = camera.child(DIED)
    assert record is not None
    assert told(record) == ("backoff", "decoder_died")
    assert record.message == REASONS["decoder_died"]
    assert record.next_try_s == 0.5
    assert camera.facts.restarts == 1
    at(100.4)
    assert camera.child(msgspec.structs.replace(DIED, next_start_s=0.1)) is None
    assert camera.measure(Ledger([SETTINGS], ONE_GROUP), 5).next_try_s == pytest.approx(0.1)
    assert told(camera.child(STARTED)) == ("connecting", "restarting")
    assert camera.hello(link, hello(8)) is None
    assert camera.source_status(said("connecting")) is None, "it is that already, and why is known"
    assert camera.child(RUNS) is None
    assert told(camera.ready(ready(1))) == ("live", "")


def test_what_a_dead_process_left_in_its_link_changes_no_state(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready())
    assert told(camera.child(DIED)) == ("backoff", "decoder_died")
    assert camera.ready(ready(1, captured=2)) is None
    assert camera.source_status(said("live", captured=3)) is None
    assert camera.gone() is None
    assert camera.facts.state == "backoff"
    assert camera.measure(Ledger([SETTINGS], ONE_GROUP), 5).captured == 3
    assert told(camera.hello(link, hello(8))) == ("connecting", "restarting")


def test_an_end_that_was_ignored_is_heard_when_it_is_said_again(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(8))
    camera.child(DIED)  # of the one before; what the supervisor said since is still to come
    assert camera.source_status(said("ended")) is None
    camera.child(STARTED)
    assert told(camera.source_status(said("ended"))) == ("ended", "")
    assert camera.has_ended


def test_a_process_that_has_not_been_started_yet_is_no_news(camera: Camera) -> None:
    assert camera.child(ChildFacts("capture", "cam", 0, "backoff", 0)) is None
    assert camera.facts.state == "connecting"
    assert told(camera.ready(ready())) == ("live", "")


def test_the_supervisor_says_when_it_gives_up(camera: Camera) -> None:
    assert camera.child(RUNS) is None
    record = camera.child(GIVEN_UP)
    assert record is not None
    assert told(record) == ("failed", "crash_loop")
    assert (record.message, record.next_try_s) == (REASONS["crash_loop"], 60.0)
    assert camera.child(GIVEN_UP) is None
    assert camera.gone() is None
    assert told(camera.child(STARTED)) == ("connecting", "restarting")


def test_the_supervisor_says_that_it_can_never_be_played(camera: Camera) -> None:
    hopeless = ChildFacts(
        "capture", "cam", 0, "failed", 1, "unplayable", 60.0, "no video: yard.txt holds text"
    )
    record = camera.child(hopeless)
    assert told(record) == ("failed", "unplayable")
    assert record is not None
    assert record.message == "no video: yard.txt holds text"
    assert camera.child(hopeless) is None
    assert told(camera.child(STARTED)) == ("connecting", "restarting")


def test_another_process_takes_the_place_of_one_that_seemed_well(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready())
    assert told(camera.hello(link, hello(8))) == ("connecting", "restarting")


def test_what_has_ended_stays_so_whatever_becomes_of_its_process(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.source_status(said("ended"))
    assert camera.has_ended
    for event in (
        camera.gone,
        lambda: camera.child(DIED),
        lambda: camera.child(GIVEN_UP),
        lambda: camera.child(STARTED),
        lambda: camera.hello(link, hello(8)),
        lambda: camera.source_status(said("connecting")),
        lambda: camera.source_status(said("ended")),
    ):
        assert event() is None
        assert camera.has_ended


# ---- reload --------------------------------------------------------------------------------------

CHANGED = msgspec.structs.replace(SETTINGS, mode="every", stalled_s=5.0, loop=True)


def test_changed_settings_are_in_force_at_once(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready())
    assert camera.change(SETTINGS) is None
    assert camera.change(CHANGED) is None
    assert camera.stalls_at == 105.0
    assert camera.facts.mode == "every"
    assert told(camera.gone()) == ("connecting", "restarting")


@pytest.mark.parametrize("order", ["change first", "its process ends first"])
def test_after_a_change_a_source_that_had_ended_begins_anew(
    camera: Camera, link: Any, order: str
) -> None:
    camera.hello(link, hello(7))
    camera.source_status(said("ended"))
    if order == "change first":
        assert camera.change(CHANGED) is None
        camera.source_status(said("ended"))
        camera.gone()
        assert camera.hello(link, hello(7)) is None, "the old process, which asks again"
        camera.source_status(said("ended"))
        assert not camera.has_ended
        assert told(camera.hello(link, hello(8))) == ("connecting", "restarting")
    else:
        assert camera.gone() is None
        assert told(camera.change(CHANGED)) == ("connecting", "restarting")
        assert camera.hello(link, hello(8)) is None
    assert not camera.has_ended
    camera.source_status(said("ended"))
    assert camera.has_ended


def test_a_removed_camera_is_told_of_once_more(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready())
    camera.remove()
    assert camera.tick(1000.0, waiting=0) is None
    assert camera.child(DIED) is None
    assert camera.gone() is None
    assert told(camera.parted()) == ("ended", "removed")


def test_a_camera_that_was_not_yet_gone_connects_again(camera: Camera) -> None:
    camera.ready(ready())
    camera.remove()
    assert told(camera.change(SETTINGS)) == ("connecting", "restarting")
    assert camera.child(DIED) is not None


def test_a_camera_that_comes_back_has_its_numbers_and_nothing_else(
    camera: Camera, link: Any
) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready(4, captured=10, max_fps=2))
    back = Camera(CHANGED, camera)
    assert told(back.added()) == ("connecting", "")
    back.hello(link, hello(8))
    assert back.next_frame == 5
    assert told(back.ready(ready(5, LARGER, captured=1))) == ("live", "")
    facts = back.measure(Ledger([SETTINGS], ONE_GROUP), slots=5)
    assert (facts.captured, facts.superseded_by) == (11, {MAX_FPS: 2})


# ---- where in the source the numbers begin -------------------------------------------------------


def began(camera: Camera, link: Any, pid: int) -> int:
    camera.gone()
    camera.hello(link, hello(pid))
    return camera.began


def test_a_process_that_died_goes_on_in_the_file_it_was_in(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready(99))
    assert began(camera, link, 8) == 0
    camera.change(msgspec.structs.replace(SETTINGS, max_fps=5.0))
    assert began(camera, link, 9) == 0, "the same file, read a little differently"


def test_another_file_is_read_from_its_start(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready(99))
    camera.change(msgspec.structs.replace(SETTINGS, source=SourceText("other.mp4")))
    camera.hello(link, hello(7))  # the old process, which asks again
    camera.ready(ready(109))
    assert began(camera, link, 8) == 110
    camera.ready(ready(149))
    assert began(camera, link, 9) == 110, "that one died in the middle"


def test_a_new_pool_learns_where_the_file_began(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7, 500, began=300))
    assert (camera.next_frame, began(camera, link, 8)) == (500, 300), "and then it died"
    camera.change(msgspec.structs.replace(SETTINGS, source=SourceText("other.mp4")))
    assert began(camera, link, 9) == 500


def test_a_file_that_had_ended_or_was_removed_is_read_again(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7))
    camera.ready(ready(99))
    camera.source_status(said("ended"))
    camera.change(CHANGED)
    assert began(camera, link, 8) == 100
    camera.ready(ready(119))
    back = Camera(CHANGED, camera)
    assert began(back, link, 9) == 120
