"""A chain that cannot work is refused at the start, with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from framefan.errors import StartError
from framefan.predictors import chain
from framefan_inference.predictors.predictor import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABELS = "labels is a list of labels, at least one text, or None for all labels, not"
MARGIN = "margin is a number from 0 to 10, a share of the box, not"
MIN_SIZE = "min_size is a whole number of pixels, 0 or more, not"
MAX_CROPS = "max_crops is a whole number, 1 or more, not"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"on_crops": 5}, "on_crops is a function or class, not 5"),
        ({"labels": "plate"}, "write labels=['plate']"),
        *(({"labels": each}, f"{LABELS} {each!r}") for each in ([], [1], [None], [""], 5, b"ab")),
        *(({"margin": each}, f"{MARGIN} {each!r}") for each in (-1, 11, float("nan"))),
        *(({"margin": each}, f"{MARGIN} {each!r}") for each in ("x", True, None, [0.1])),
        *(({"min_size": each}, f"{MIN_SIZE} {each!r}") for each in (-1, "3", 1.5, True, None)),
        *(({"max_crops": each}, f"{MAX_CROPS} {each!r}") for each in (0, 2.5, "3", True, None)),
    ],
)
def test_an_argument_that_cannot_be_is_refused_at_once(arguments: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        chain(**{"detector": "qr", "on_crops": lambda crops, _: []} | arguments)
    assert words in str(caught.value)


def test_numbers_of_numpy_are_options() -> None:
    it = chain("qr", print, margin=np.float32(0.5), min_size=np.int64(3), max_crops=np.uint8(1))  # type: ignore[arg-type]
    assert (it.margin, it.min_size, it.max_crops) == (0.5, 3, 1)
    assert (type(it.margin), type(it.min_size), type(it.max_crops)) == (float, int, int)


class NoCall:
    def predict(self, image: Any) -> list[Any]:
        return []


class Awaits:
    async def __call__(self, crops: Any, detections: Any) -> Any:
        return []


def one(crops: Any) -> list[Any]:
    return []


def three(crops: Any, detections: Any, frame: Any) -> list[Any]:
    return []


async def awaits(crops: Any, detections: Any) -> list[Any]:
    return []


def yields(crops: Any, detections: Any) -> Iterator[Any]:
    yield None


@pytest.mark.parametrize(
    ("on_crops", "what", "place"),
    [
        (one, "on_crops of the chain, one(", "in one)"),
        (three, "on_crops of the chain, three(", "in three)"),
        (awaits, "on_crops of the chain, awaits, is `async def`", "in awaits)"),
        (yields, "on_crops of the chain, yields, is a generator", "in yields)"),
        (Awaits, "on_crops of the chain, Awaits, is `async def`", "in __call__)"),
        (NoCall, "on_crops of the chain, NoCall, cannot be called", ""),
    ],
)
def test_an_on_crops_that_cannot_be_called_is_refused_at_the_start(
    made: Any, on_crops: Any, what: str, place: str
) -> None:
    with pytest.raises(StartError) as caught:
        made("qr", on_crops)
    assert caught.value.what.startswith(what)
    assert caught.value.what.endswith(place)
    assert "on_crops(crops, detections)" in caught.value.why.replace(on_crops.__name__, "on_crops")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("detector", "what", "fix"),
    [
        ("nope", '"nope" is no predictor', "framefan predictors"),
        ("moton", '"moton" is no predictor', "did you mean motion?"),
        ("", '"" is no predictor', "framefan predictors"),
        ("l.py", '"l.py" is no predictor', "l.py:predict"),
        ("l.py:", '"l.py:" is no predictor', "framefan predictors"),
        ("no_l.py:x", "the predictor file no_l.py does not exist", "FILE.py:NAME"),
        ("onnx:no.onnx", "the model no.onnx does not exist", "onnx:PATH"),
        ("no_module_l:x", 'the predictor module "no_module_l" was not found', "the spelling"),
        ("json:nope", '"json" has no "nope"', "write json:NAME"),
        (None, "None is no predictor", "function or class"),
        (5, "a number is no predictor", "function or class"),
        ([], "a list of 0 is no predictor", "function or class"),
    ],
)
def test_a_detector_that_is_none_is_refused_as_the_chains(
    made: Any, detector: Any, what: str, fix: str
) -> None:
    with pytest.raises(StartError) as caught:
        made(detector, lambda crops, _: [])
    assert caught.value.what == f"the detector of the chain: {what}"
    assert caught.value.why
    assert fix in caught.value.fix
    assert "--predictor" not in caught.value.fix


@pytest.mark.usefixtures("imports_as_before")
@pytest.mark.parametrize("nested", ["a", "b"])
def test_a_chain_that_names_itself_is_refused(tmp_path: Path, nested: str) -> None:
    (tmp_path / "own.py").write_text(
        "from framefan.predictors import chain\n"
        f"a = chain(chain({str(tmp_path / 'own.py:b')!r}, print), print)\n"
        f"b = chain({str(tmp_path / f'own.py:{nested}')!r}, print)\n"
    )
    with pytest.raises(StartError) as caught:
        load(f"{tmp_path}/own.py:a")
    assert caught.value.what.startswith("the detector of the chain")
    assert caught.value.what.endswith(f'own.py:{nested}" is the chain itself')


@pytest.mark.usefixtures("imports_as_before")
def test_such_an_argument_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from framefan.predictors import chain\n\nit = chain('qr', print, margin=-1)\n"
    )
    with pytest.raises(StartError) as caught:
        load(f"{tmp_path}/own.py:it")
    assert "(own.py, line 3" in caught.value.why
