"""What could only fail with every frame is refused at the start, by the line of the user's file."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from framefan.errors import StartError
from framefan_inference.predictors import predictor as predictors
from framefan_inference.predictors.predictor import Frame, load

if TYPE_CHECKING:
    from pathlib import Path

FRAME = Frame("front", 12, 1.5, 3)
WRONG = {
    "async function": (
        "async def it(image): return 1",
        "the predictor it is `async def` (own.py, line 1, in it)",
        "nothing awaits it",
    ),
    "async method": (
        "class it:\n    async def predict(self, image, frame): return 1",
        "the predictor predict is `async def` (own.py, line 2, in predict)",
        "framefan calls predict(image, frame)",
    ),
    "async call": (
        "class it:\n    async def __call__(self, image): return 1",
        "is `async def` (own.py, line 2, in __call__)",
        "awaits",
    ),
    "async generator": ("async def it(image): yield 1", "is `async def`", "awaits"),
    "async partial": (
        "import functools\nasync def own(image, n): return 1\nit = functools.partial(own, n=2)",
        "is `async def` (own.py, line 2, in own)",
        "awaits",
    ),
    "generator": (
        "def it(image):\n    yield 1",
        "the predictor it is a generator (own.py, line 1, in it)",
        "not what it yields",
    ),
    "nothing taken": (
        "def it(): return 1",
        "it() cannot be called with a frame's image (own.py, line 1, in it)",
        "framefan calls it(image): too many positional arguments",
    ),
    "too much wanted": (
        "class it:\n    def predict(self, image, threshold, frame): return 1",
        "predict(image, threshold, frame) cannot be called",
        "framefan calls predict(image, frame): missing a required argument: 'threshold'",
    ),
    "self forgotten": (
        "class it:\n\n    def predict(image): return 1",
        "predict() cannot be called with a frame's image (own.py, line 3, in predict)",
        "too many positional arguments",
    ),
    "batch of nothing": (
        "class it:\n    def predict_batch(self): return []",
        "cannot be called with a frame's images",
        "framefan calls predict_batch(images)",
    ),
}


def _written(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    path = folder / "own.py"
    path.write_text(textwrap.dedent(code))
    return f"{path}:it"


@pytest.mark.parametrize(("code", "what", "why"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_called_so_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, what: str, why: str
) -> None:
    reference = _written(tmp_path, code, monkeypatch)
    with pytest.raises(StartError) as refused:
        load(reference)
    assert what in refused.value.what
    assert why in refused.value.why
    assert refused.value.fix


def test_without_the_look_at_it_each_frame_would_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictors, "check_predict", lambda *_: None)
    predictor = load(_written(tmp_path, "def it(): return 1", monkeypatch))
    with pytest.raises(TypeError):
        predictor.predict(None, FRAME)


LINES = {
    "import": ("\n1 / 0", "ZeroDivisionError: division by zero (own.py, line 2, in <module>)"),
    "syntax": ("\ndef it(image:", "(own.py, line 2)"),
    "class body": ("class it:\n    a = {}['b']", "KeyError: 'b' (own.py, line 2, in it)"),
    "constructor": (
        "class it:\n    def __init__(self):\n        int('x')",
        "(own.py, line 3, in __init__)",
    ),
    "helper": ("import neighbour\nit = neighbour.one", "(neighbour.py, line 2, in <module>)"),
    "library": ("import json\njson.loads('{')", "(own.py, line 2, in <module>)"),
}


@pytest.mark.parametrize(("code", "why"), LINES.values(), ids=LINES)
def test_an_error_at_the_start_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    (tmp_path / "neighbour.py").write_text("\nraise OSError('none')\n")
    reference = _written(tmp_path, code, monkeypatch)
    with pytest.raises(StartError) as refused:
        load(reference)
    assert why in refused.value.why
