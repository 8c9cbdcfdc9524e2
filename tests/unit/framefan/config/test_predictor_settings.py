"""`[[predictor]]` tables: what each inherits, which one a camera gets, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.config.predictor_settings import OWN_LIMITS, PREDICTOR
from framefan.errors import UsageError
from framefan.settings.run import RUN_PREDICTOR, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TWO = """
[[predictor]]
name = "people"
predictor = "motion"

[[predictor]]
name = "plates"
predictor = "qr"
"""
CAMERA = '[[camera]]\nname = "{}"\nsource = "demo"\n'


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Settings]:
    def make(text: str, environment: dict[str, str] | None = None, **flags: Any) -> Settings:
        path = tmp_path / "framefan.toml"
        path.write_text(text)
        return configure((), Options(config=str(path), **flags), environment or {})[0]

    return make


def test_a_table_inherits_what_it_does_not_set(made: Any) -> None:
    text = """
workers = 3
device = "cuda:0"
track = true
[limits]
predict_s = 4
grace_s = 9
[[predictor]]
name = "people"
predictor = "motion"
[[predictor]]
name = "plates"
predictor = "qr"
workers = 1
device = "cpu"
track = false
reload = true
predict-s = 20
batch_wait_ms = 0
"""
    settings = made(text)
    people, plates = (settings.of(name) for name in ("people", "plates"))
    assert (people.workers, people.device, people.track) == (3, "cuda:0", True)
    assert (plates.workers, plates.device, plates.track) == (1, "cpu", False)
    assert (people.reload, plates.reload) == (False, True)
    assert (people.limits.predict_s, people.limits.batch_wait_ms) == (4, 10)
    assert (plates.limits.predict_s, plates.limits.batch_wait_ms) == (20, 0)
    assert people.limits.grace_s == plates.limits.grace_s == 9
    assert (people.slots, plates.slots, settings.all_workers) == (6, 4, 4)
    assert made(text, workers=2).of("people").workers == 2, "a flag goes before the file"


def test_the_keys_of_a_table_are_those_of_the_run() -> None:
    of_the_run = {"predictor", "workers", "track", "device", "reload"}
    assert {*PREDICTOR} == {"name", *of_the_run, *OWN_LIMITS}


@pytest.mark.parametrize(
    ("flags", "environment", "named", "unnamed", "names"),
    [
        ({}, {}, "plates", "people", ["people", "plates"]),
        ({"predictor": "aruco"}, {}, "plates", RUN_PREDICTOR, [RUN_PREDICTOR, "people", "plates"]),
        ({}, {"FRAMEFAN_PREDICTOR": "aruco"}, "plates", RUN_PREDICTOR,
         [RUN_PREDICTOR, "people", "plates"]),
        ({"workers": 7}, {}, "plates", "people", ["people", "plates"]),
    ],
)  # fmt: skip
def test_a_camera_has_the_predictor_that_it_names(
    made: Any, flags: Any, environment: Any, named: str, unnamed: str, names: list[str]
) -> None:
    text = TWO + CAMERA.format("a") + 'predictor = "plates"\n' + CAMERA.format("b")
    settings = made(text, environment, **flags)
    assert [each.name for each in settings.predictors] == names
    assert {each.name: each.predictor for each in settings.cameras} == {"a": named, "b": unnamed}


def test_one_predictor_needs_no_name(made: Any) -> None:
    settings = made('predictor = "qr"\nworkers = 4\n' + CAMERA.format("a"))
    assert settings.predictors == ()
    assert settings.cameras[0].predictor == ""
    (only,) = settings.all_predictors
    assert (only.name, only.predictor, only.workers) == (RUN_PREDICTOR, "qr", 4)
    assert settings.of("") is settings
    assert settings.with_predictor(RUN_PREDICTOR, workers=2).workers == 2


REFUSED = {
    "an unknown name": (
        TWO + CAMERA.format("a") + 'predictor = "plate"\n',
        'the camera a names no predictor: "plate"', "people, plates", 'predictor = "plates"?',
    ),
    "a name without tables": (
        CAMERA.format("a") + 'predictor = "people"\n',
        'names the predictor "people"', "no [[predictor]] table", "add one",
    ),
    "two of one name": (
        TWO + '[[predictor]]\nname = "people"\npredictor = "qr"\n',
        'two predictors are named "people"', "commands name them", "rename one",
    ),
    "no name": ('[[predictor]]\npredictor = "qr"\n', "has no name", "1 to 32", 'name = "people"'),
    "a bad name": (
        '[[predictor]]\nname = "Peo ple"\npredictor = "qr"\n',
        '"Peo ple" cannot name', "1 to 32", "",
    ),
    "no reference": (
        '[[predictor]]\nname = "people"\n', "has no reference", "no key", "predictor =",
    ),
    "a bad reference": (
        '[[predictor]]\nname = "people"\npredictor = "qrr"\n',
        '"qrr" is no predictor', "a built-in name", "did you mean qr?",
    ),
    "no workers": (
        TWO + "workers = 0\n",
        "workers of the predictor plates cannot be 0", "between 1 and 256", "",
    ),
    "a value of another type": (
        TWO + 'workers = "two"\n', "workers of the predictor plates has a wrong value", "", "",
    ),
    "an unknown key": (
        TWO + "worker = 2\n", "does not know the key predictor.worker", "known:", "workers",
    ),
    "a limit of the run": (TWO + "grace_s = 2\n", "predictor.grace_s", "known:", ""),
    "one table": (
        '[predictor]\nname = "people"\n', "predictor in", "more than one", "write [[predictor]]",
    ),
    "a key beside tables": (
        'predictor = "motion"\n' + TWO,
        "is not TOML", "overwrite", "a [[predictor]] table of its own",
    ),
}  # fmt: skip
"""A file, and words of the three lines of its error."""


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_with_a_remedy(made: Any, case: str) -> None:
    text, what, why, fix = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        made(text)
    assert what in caught.value.what
    assert why in caught.value.why
    assert fix in caught.value.fix


def test_the_runs_own_predictor_has_its_name_for_itself(made: Any) -> None:
    text = f'[[predictor]]\nname = "{RUN_PREDICTOR}"\npredictor = "qr"\n'
    assert made(text).predictors[0].predictor == "qr"
    with pytest.raises(UsageError, match='two predictors are named "default"') as caught:
        made(text, predictor="aruco")
    assert "rename the table" in caught.value.fix
