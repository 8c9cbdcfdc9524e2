"""Cameras that are a Python function of the user's: every form, and every way it goes wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from framefan.errors import SourceError, StartError
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture import kinds
from framefan_capture.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _imports_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def opened(text: str) -> Source:
    made = kinds.make(CameraSettings(name="cam1", source=SourceText(text)))
    made.open()
    return made


def pictures(text: str, most: int = 10) -> list[Any]:
    """What the source gives: the first pixel and the time of each picture."""
    from_user = opened(text)
    given: list[Any] = []
    while len(given) < most and from_user.grab(len(given)):
        image = from_user.retrieve(None)
        assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
        given.append((image[0, 0].tolist(), from_user.pts))
    return given


def failure(text: str, pictures_before: int = 0) -> SourceError:
    from_user = opened(text)

    def take() -> None:
        from_user.grab(0)
        from_user.retrieve(None)

    for _ in range(pictures_before):
        take()
    with pytest.raises(SourceError) as caught:
        take()
    from_user.close()
    assert "\n" not in caught.value.what + caught.value.why
    return caught.value


# ---- forms ---------------------------------------------------------------------------------------

THREE = [([n] * 3, None) for n in (1, 2, 3)]

FORMS = {
    "generator function": """
        def it():
            for n in (1, 2, 3):
                yield np.full((4, 6), n, np.uint8)
        """,
    "factory": "def it():\n    return (np.full((4, 6), n, np.uint8) for n in (1, 2, 3))",
    "list": "def it():\n    return [np.full((4, 6), n, np.uint8) for n in (1, 2, 3)]",
    "plain": """
        left = [3, 2, 1]
        def it():
            return np.full((4, 6), left.pop(), np.uint8) if left else None
        """,
    "class": """
        class it:
            def __init__(self):
                self.n = 0
            def __iter__(self):
                return self
            def __next__(self):
                self.n += 1
                if self.n > 3:
                    raise StopIteration
                return np.full((4, 6), self.n, np.uint8)
        """,
    "an object to call": """
        class Camera:
            n = 0
            def __call__(self):
                self.n += 1
                return np.full((4, 6), self.n, np.uint8) if self.n < 4 else None
        it = Camera()
        """,
    "the same array again": """
        def it():
            picture = np.zeros((4, 6, 3), np.uint8)
            for n in (1, 2, 3):
                picture[:] = n
                yield picture
        """,
    "defaults": """
        def it(most=3):
            for n in range(1, most + 1):
                yield np.full((4, 6), n, np.uint8)
        """,
}


@pytest.mark.parametrize("code", FORMS.values(), ids=FORMS)
def test_each_form_gives_its_pictures_and_then_ends(written: Any, code: str):
    assert pictures(written(code)) == THREE


PIXELS = {
    "grey": ("np.full((4, 6), 7, np.uint8)", [7, 7, 7]),
    "one channel": ("np.full((4, 6, 1), 7, np.uint8)", [7, 7, 7]),
    "alpha": ("np.full((4, 6, 4), 7, np.uint8)", [7, 7, 7]),
    "mirrored": ("np.full((4, 6, 3), [1, 2, 3], np.uint8)[::-1, ::-1, ::-1]", [3, 2, 1]),
    "mirrored grey": ("np.full((4, 6), 9, np.uint8)[::-1, ::-1]", [9, 9, 9]),
    "16 bits": ("np.full((4, 6, 3), 257 * 80, np.uint16)", [80, 80, 80]),
    "float": ("np.full((4, 6, 3), 0.2, np.float32)", [51, 51, 51]),
    "double": ("np.full((4, 6), 0.2)", [51, 51, 51]),
    "half": ("np.full((4, 6, 3), 0.2, np.float16)", [51, 51, 51]),
}


@pytest.mark.parametrize(("array", "pixel"), PIXELS.values(), ids=PIXELS)
def test_each_format_becomes_bgr(written: Any, array: str, pixel: list[int]):
    assert pictures(written(f"def it():\n    yield {array}")) == [(pixel, None)]


def test_a_picture_may_bring_its_time(written: Any):
    text = written("""
        def it():
            picture = np.zeros((4, 6, 3), np.uint8)
            yield picture, 1.5
            yield picture, np.float64(2)
            yield picture, np.float16(3)
            yield picture, None
            yield picture
        """)
    assert [pts for _, pts in pictures(text)] == [1.5, 2.0, 3.0, None, None]


def test_it_is_called_anew_when_it_is_opened_again_and_closed_at_its_end(
    written: Any, capfd: pytest.CaptureFixture[str]
):
    text = written("""
        calls = 0
        def it():
            global calls
            calls += 1
            try:
                while True:
                    yield np.full((4, 6), calls, np.uint8)
            finally:
                print("closed", calls)
        """)
    from_user = opened(text)
    for call in (1, 2, 3):
        from_user.open()
        assert from_user.grab(0)
        assert from_user.retrieve(None)[0, 0, 0] == call
        from_user.close()
        from_user.close()
    assert capfd.readouterr().out.split("\n")[:3] == ["closed 1", "closed 2", "closed 3"]


def test_what_it_raises_while_it_is_closed_keeps_nobody(written: Any):
    from_user = opened(
        written("""
        def it():
            try:
                while True:
                    yield np.zeros((4, 6), np.uint8)
            finally:
                raise OSError("the device is gone")
        """)
    )
    assert from_user.grab(0)
    from_user.close()


# ---- what cannot be loaded -----------------------------------------------------------------------


def refusal(text: str) -> StartError:
    with pytest.raises(StartError) as caught:
        opened(text)
    error = caught.value
    assert error.exit_code == 3
    assert all((error.what, error.why, error.fix))
    assert "\n" not in error.what + error.why + error.fix
    return error


LOAD_ERRORS = {
    "syntax": ("def it(:\n    pass", "own.py:2: SyntaxError"),
    "import": ("\nimport no_such_package_anywhere", "own.py:3: ModuleNotFoundError"),
    "raises": ("\n\n1 / 0", "own.py:4: ZeroDivisionError: division by zero"),
    "raises in a library": ("import json\njson.loads('{')", "own.py:3: JSONDecodeError"),
    "exits": ("import sys\nsys.exit('bye')", "own.py:3: SystemExit: bye"),
    "needs an argument": ("\ndef it(camera):\n    yield camera", "own.py:3: missing a required"),
    "no function": ("it = 5", "it is int"),
    "missing": ("def grab(): ...\nclass Camera: ...\nimport json", "it has: grab, Camera"),
}


@pytest.mark.parametrize(("code", "why"), LOAD_ERRORS.values(), ids=LOAD_ERRORS)
def test_what_cannot_be_loaded_is_told_with_its_line(written: Any, code: str, why: str):
    assert why in refusal(written(code)).why


def test_a_file_that_is_missing(tmp_path: Path):
    error = refusal(f"py:{tmp_path}/none.py:it")
    assert "none.py of a py: source does not exist" in error.what


def test_a_file_is_found_by_a_relative_path(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    written("def it():\n    raise KeyError('x')")
    monkeypatch.chdir(tmp_path)
    assert failure("py:own.py:it").what == "own.py:3: KeyError: 'x'"


# ---- what goes wrong later -----------------------------------------------------------------------

FAILURES = {
    "raises": ("\ndef it():\n    raise OSError('no\\nsignal')", "own.py:4: OSError: no signal"),
    "raises later": (
        "def it():\n    yield np.zeros((4, 6), np.uint8)\n    raise OSError",
        "own.py:4: OSError",
    ),
    "raises in a library": ("def it():\n    return np.zeros(-1)", "own.py:3: ValueError"),
    "exits": ("import sys\ndef it():\n    sys.exit(1)", "own.py:4: SystemExit: 1"),
    "says a password": (
        "def it():\n    raise OSError('rtsp://u:geheim7@host/x is down')",
        "own.py:3: OSError: rtsp://***@host/x is down",
    ),
    "a long text": ("def it():\n    raise OSError('x' * 10_000)", "OSError: xxxx"),
    "a text that raises": (
        "class E(Exception):\n    def __str__(self): 1 / 0\ndef it():\n    raise E",
        "own.py:5: E: its __str__ raised",
    ),
}


@pytest.mark.parametrize(("code", "what"), FAILURES.values(), ids=FAILURES)
def test_what_it_raises_is_told_with_the_line(written: Any, code: str, what: str):
    error = failure(written(code), pictures_before=code.count("yield"))
    assert error.reason == "source_failed"
    assert what in error.what
    assert len(error.what) < 400


NO_PICTURES = {
    "None in a generator": ("def it():\n    yield None", "None"),
    "text": ("def it():\n    return 'picture'", "str"),
    "what cv2 gives": (
        "def it():\n    return True, np.zeros((4, 6), np.uint8)",
        "(bool, uint8[4,6])",
    ),
    "no time": ("def it():\n    yield np.zeros((4, 6), np.uint8), 'noon'", "(uint8[4,6], str)"),
    "int64": ("def it():\n    return np.zeros((4, 6, 3), int)", "int64[4,6,3]"),
    "bool": ("def it():\n    return np.zeros((4, 6)) > 0", "bool[4,6]"),
    "objects": ("def it():\n    return np.array([[None]])", "object[1,1]"),
    "two channels": ("def it():\n    return np.zeros((4, 6, 2), np.uint8)", "uint8[4,6,2]"),
    "a batch": ("def it():\n    return np.zeros((1, 4, 6, 3), np.uint8)", "uint8[1,4,6,3]"),
    "flat": ("def it():\n    return np.zeros(24, np.uint8)", "uint8[24]"),
    "empty": ("def it():\n    return np.zeros((0, 6, 3), np.uint8)", "uint8[0,6,3]"),
    "async": ("async def it():\n    yield 1", "async_generator"),
}


@pytest.mark.parametrize(("code", "gave"), NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_is_named(written: Any, code: str, gave: str):
    error = failure(written(code))
    assert error.reason == "source_failed"
    assert error.what == f"own.py: it gave {gave}, which is no picture"
    assert "uint8" in error.why


TIMES = [
    "time.time_ns()",
    "10**400",
    "-(10**400)",
    "1e12",
    "np.int64(-(2**63))",
    "np.inf",
    "np.nan",
]


@pytest.mark.parametrize("value", TIMES)
def test_a_time_that_is_none_is_told(written: Any, value: str):
    code = f"import time\ndef it():\n    yield np.zeros((4, 6), np.uint8), {value}"
    error = failure(written(code))
    assert error.reason == "source_failed"
    assert error.what.startswith("own.py: it gave an invalid time")
    assert "seconds on the camera's own clock" in error.why
