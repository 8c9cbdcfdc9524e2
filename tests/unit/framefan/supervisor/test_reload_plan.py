"""A reload of a run with several predictors: what is added, removed, moved, scaled and swapped."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.ipc.messages import Changed, Scale, ScaleGateways, Swap
from framefan.settings.run import CameraSettings, Limits, PredictorSettings, Settings
from framefan.settings.secret import SourceText
from framefan.supervisor.reload_plan import (
    applied,
    drifted,
    is_other,
    lists_for_pool,
    plan,
    values,
)
from framefan.supervisor.scale_swap import ChangeRelay, followed, lines, refused


def camera(name: str, predictor: str = "", **fields: Any) -> CameraSettings:
    return CameraSettings(name=name, source=SourceText("demo"), predictor=predictor, **fields)


def predictor(name: str, reference: str = "motion", workers: int = 1, **more: Any) -> Any:
    return PredictorSettings(name=name, predictor=reference, workers=workers, **more)


PEOPLE, PLATES = predictor("people"), predictor("plates", "qr", 2)
TWO = Settings(cameras=(camera("a", "people"),), predictors=(PEOPLE, PLATES))
ONE = Settings(cameras=(camera("a"),))

SETS = st.lists(
    st.builds(
        predictor,
        st.sampled_from(["default", "people", "plates", "qr"]),
        st.sampled_from(["motion", "qr"]),
        st.integers(1, 3),
    ),
    max_size=3,
    unique_by=lambda each: each.name,
).map(lambda each: Settings(predictors=tuple(each)))


@given(run=SETS, new=SETS)
def test_a_reload_followed_step_by_step_makes_the_run_as_the_file(
    run: Settings, new: Settings
) -> None:
    now = applied(run, new)
    made = plan(run, new)
    names = [each.name for each in now.all_predictors]
    assert names == [each.name for each in new.all_predictors]
    kept = {each.name for each in run.all_predictors} - set(made.removed_predictors)
    assert kept | set(made.added_predictors) == set(names)
    for name in kept:
        assert now.of(name).predictor == run.of(name).predictor, "only a swap may change it"
    for each in values(now, new):
        if is_other(each, now, new):
            request = each.request(each.of(new))
            assert not refused(request, now) if not isinstance(request, ScaleGateways) else True
            what = {Scale: "workers", Swap: "predictor", ScaleGateways: "gateways"}[type(request)]
            name = getattr(request, "predictor_name", "")
            now = followed(now, Changed(what, "", str(each.of(new)), [], name))
    assert [(each.name, each.predictor, each.workers) for each in now.all_predictors] == [
        (each.name, each.predictor, each.workers) for each in new.all_predictors
    ]
    assert not [each for each in values(now, new) if each.of(now) != each.of(new)]


def test_a_camera_that_only_gets_another_predictor_keeps_its_capture() -> None:
    moved = msgspec.structs.replace(TWO, cameras=(camera("a", "plates"),))
    made = plan(TWO, moved)
    assert (made.changed, made.moved) == (["a"], ["a"])
    other = msgspec.structs.replace(TWO, cameras=(camera("a", "plates", max_fps=5.0),))
    assert (plan(TWO, other).changed, plan(TWO, other).moved) == (["a"], [])


def test_tables_are_added_to_a_run_that_had_one_and_go_again() -> None:
    made = plan(ONE, TWO)
    assert (made.added_predictors, made.removed_predictors) == (["people", "plates"], ["default"])
    assert made.line() == (
        "reload: changed a; added predictor people, plates; removed predictor default"
    )
    now = applied(ONE, TWO)
    assert now == TWO
    back = msgspec.structs.replace(ONE, predictor="aruco", workers=3)
    assert applied(now, back) == back
    assert [each.name for each in lists_for_pool(back).predictors] == ["default"]


def test_what_a_reload_cannot_change_of_a_predictor_is_named() -> None:
    new = msgspec.structs.replace(
        TWO,
        predictors=(
            msgspec.structs.replace(PEOPLE, device="cpu", limits=Limits(predict_s=3)),
            PLATES,
        ),
    )
    assert plan(TWO, new).notes == [
        "device of people changed from none to cpu: takes effect at the next start",
        "predict_s of people changed from 10 to 3: takes effect at the next start",
    ]


def test_a_scale_that_the_file_knows_nothing_of_stays_and_is_told() -> None:
    run = TWO.with_predictor("plates", workers=5)
    (note,) = drifted(run, TWO, TWO)
    assert note.startswith("workers of plates is 5 since `framefan scale`, and 2 in the")
    assert note.endswith("framefan scale 2 --predictor plates")


# ---- which predictor a command means -------------------------------------------------------------

NAMED = [
    (ONE, "", None),
    (ONE, "default", None),
    (ONE, "people", ('`framefan scale` names no predictor: "people"', "default", "")),
    (TWO, "people", None),
    (TWO, "", ("`framefan scale` needs the name", "people, plates", "add --predictor people")),
    (TWO, "plate", ('names no predictor: "plate"', "people, plates", "--predictor plates?")),
]


@pytest.mark.parametrize(("run", "name", "words"), NAMED)
def test_a_command_names_its_predictor_if_there_are_several(
    run: Settings, name: str, words: Any
) -> None:
    refusal = refused(Scale(3, name), run)
    if words is None:
        assert refusal is None
        return
    assert refusal is not None
    for told, word in zip((refusal.what, refusal.why, refusal.fix), words, strict=True):
        assert word in told
    swap = refused(Swap("qr", name), run)
    assert swap is not None
    assert "`framefan swap`" in swap.what


class Asker:
    request = None

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.answer = self.answers.append
        self.tell = self.answers.append


def test_a_command_that_names_none_never_reaches_the_pool() -> None:
    told: list[Any] = []
    relay = ChangeRelay(lambda request: told.append(request) is None, lambda: TWO)
    refused_one, asked = Asker(), Asker()
    relay.ask(refused_one, Scale(3))
    assert "needs the name" in refused_one.answers[0].what
    relay.ask(asked, Scale(3, "plates"))
    assert told == [Scale(3, "plates")]
    done = Changed("workers", "2", "3", [], "plates")
    relay.heard(done)
    assert asked.answers == [done]
    assert followed(TWO, done).of("plates").workers == 3
    assert followed(TWO, done).of("people").workers == 1
    assert lines(done) == ["workers of plates  2 -> 3"]
