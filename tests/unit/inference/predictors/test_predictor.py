"""From a reference to something to call: every form, every way it goes wrong, and what is said."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from framefan.base.userfile import told, where
from framefan.errors import EXIT_START, EXIT_USAGE, FramefanError, StartError, UsageError
from framefan_inference.predictors.predictor import Frame, Predictor, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRAME = Frame("front", 12, 1.5, 3)
pytestmark = pytest.mark.usefixtures("imports_as_before")


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a module into an empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(code: str, name: str = "own.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


# ---- forms ---------------------------------------------------------------------------------------


def test_a_built_in_by_its_name() -> None:
    predictor = load("motion")
    assert predictor.model == "motion"
    assert predictor.stateful


FORMS = {
    "function": ("def it(image): return [image]", ["image"]),
    "function with frame": ("def it(image, frame): return [image, frame.seq]", ["image", 3]),
    "function with frame by keyword": (
        "def it(image, *, frame): return [image, frame.camera]",
        ["image", "front"],
    ),
    "function with more before frame": (
        "def it(image, threshold=0.5, frame=None): return [threshold, frame.frame]",
        [0.5, 12],
    ),
    "lambda": ("it = lambda image: [image]", ["image"]),
    "partial": (
        """
        import functools
        def whole(image, size): return [image, size]
        it = functools.partial(whole, size=3)
        """,
        ["image", 3],
    ),
    "class": (
        """
        class it:
            def predict(self, image): return [image]
        """,
        ["image"],
    ),
    "class with frame": (
        """
        class it:
            def predict(self, image, frame): return [frame.ts]
        """,
        [1.5],
    ),
    "class with call": (
        """
        class it:
            def __call__(self, image): return [image]
        """,
        ["image"],
    ),
    "class with a static predict": (
        """
        class it:
            @staticmethod
            def predict(image): return [image]
        """,
        ["image"],
    ),
    "instance": (
        """
        class Model:
            def predict(self, image): return [image]
        it = Model()
        """,
        ["image"],
    ),
    "batch only": (
        """
        class it:
            def predict_batch(self, images): return [[image, len(images)] for image in images]
        """,
        ["image", 1],
    ),
    "batch with frame": (
        """
        class it:
            def predict_batch(self, images, frame): return [[each.seq] for each in frame]
        """,
        [3],
    ),
    "predict and batch": (
        """
        class it:
            def predict(self, image): return ["one"]
            def predict_batch(self, images): return [["many"]]
        """,
        ["one"],
    ),
}


@pytest.mark.parametrize(("code", "returned"), FORMS.values(), ids=FORMS)
def test_every_form_of_predictor(written: Any, code: str, returned: Any) -> None:
    path = written(code)
    predictor = load(f"{path}:it")
    predictor.setup()
    assert predictor.predict("image", FRAME) == returned
    predictor.close()
    assert predictor.model == "it"
    assert not predictor.stateful


def test_a_file_by_its_relative_path_with_a_neighbour(written: Any) -> None:
    written("WORD = 'near'", "models/neighbour.py")
    written("from neighbour import WORD\ndef it(image): return WORD", "models/own.py")
    assert load("models/own.py:it").predict(None, FRAME) == "near"


def test_a_file_may_hold_dataclasses(written: Any) -> None:
    path = written("""
        from __future__ import annotations
        import dataclasses

        @dataclasses.dataclass
        class Seen:
            n: int

        def it(image): return Seen(1)
        """)
    assert load(f"{path}:it").predict(None, FRAME).n == 1


def test_a_module_of_the_current_folder(written: Any) -> None:
    written("", "package/__init__.py")
    written("def it(image): return 'from a package'", "package/module.py")
    assert load("package.module:it").predict(None, FRAME) == "from a package"


def test_setup_close_and_what_the_class_says_of_itself(written: Any) -> None:
    path = written("""
        class Model:
            stateful = True
            calls = []
            def setup(self):
                self.calls.append("setup")
                self.labels = ["cat", "dog"]
            def predict(self, image): return self.calls
            def close(self): self.calls.append("close")
        """)
    predictor = load(f"{path}:Model")
    assert predictor.stateful
    assert tuple(predictor.labels) == ()
    predictor.setup()
    assert predictor.labels == ["cat", "dog"], "setup is what loads a model and its labels"
    predictor.close()
    assert predictor.predict(None, FRAME) == ["setup", "close"]


def test_a_functions_own_attributes_are_not_called(written: Any) -> None:
    path = written("""
        def it(image): return 1
        it.setup = it.close = lambda: 1 / 0
        it.stateful = True
        it.labels = {0: "cat"}
        """)
    predictor = load(f"{path}:it")
    predictor.setup()
    predictor.close()
    assert predictor.stateful
    assert predictor.labels == {0: "cat"}


def test_labels_may_be_an_array() -> None:
    class Model:
        names = np.array(["cat", "dog"])

        def predict(self, image: Any) -> None:
            pass

    assert list(Predictor("m", Model()).labels) == ["cat", "dog"]


# ---- how it goes wrong ---------------------------------------------------------------------------

IMPORT_ERRORS = {
    "syntax": ("def it(image:\n    pass", ["SyntaxError", "own.py"]),
    "indent": ("def it(image):\npass", ["IndentationError", "own.py"]),
    "a module that is missing": ("import no_such_thing", ["no_such_thing", "own.py, line 1"]),
    "a name that is missing": ("from os import no_such", ["ImportError", "no_such"]),
    "raises": ("\n\nraise ValueError('no weights')", ["ValueError: no weights", "own.py, line 3"]),
    "raises deeper": (
        "def load():\n    1 / 0\nload()",
        ["ZeroDivisionError", "own.py, line 2, in load"],
    ),
    "exits": ("import sys\nsys.exit('bye')", ["SystemExit: bye", "own.py, line 2"]),
    "no text": ("a = '\\ud800'\nraise OSError(a)", ["OSError"]),
    "bytes that are no source": ("\0", ["null bytes"]),
}


@pytest.mark.parametrize(("code", "says"), IMPORT_ERRORS.values(), ids=IMPORT_ERRORS)
def test_a_file_that_does_not_import(written: Any, code: str, says: list[str]) -> None:
    path = written(code)
    with pytest.raises(StartError) as caught:
        load(f"{path}:it")
    error = caught.value
    assert error.exit_code == EXIT_START
    assert f'"{path}:it" does not import' in error.what
    for each in says:
        assert each in error.why
    assert error.fix
    assert len(error.lines()) == 3


def refusal(reference: str) -> FramefanError:
    with pytest.raises(FramefanError) as caught:
        load(reference)
    assert caught.value.fix
    return caught.value


def test_a_file_that_is_missing(written: Any, tmp_path: Path) -> None:
    error = refusal("models/none.py:it")
    assert isinstance(error, StartError)
    assert error.what == "the predictor file models/none.py does not exist"
    assert str(written("").parent) in error.why


def test_a_folder_is_no_file(written: Any) -> None:
    written("", "dir.py/x.py")
    assert "dir.py does not exist" in refusal("dir.py:it").what


@pytest.mark.parametrize("reference", ["nosuch:it", "nosuch.module:it", "package.nosuch:it"])
def test_a_module_that_is_missing_is_named(written: Any, reference: str) -> None:
    written("", "package/__init__.py")
    error = refusal(reference)
    assert isinstance(error, StartError)
    missing = "package.nosuch" if "package" in reference else "nosuch"
    assert f'module "{missing}" was not found' in error.what


@pytest.mark.parametrize("reference", ["detectors:it", "detect.py:it"])
def test_a_module_that_it_needs_is_not_taken_for_itself(written: Any, reference: str) -> None:
    """`detect` is missing, which is how both references begin."""
    written("import detect", reference.removesuffix(":it").removesuffix(".py") + ".py")
    if reference == "detect.py:it":
        written("import detec", "detect.py")
    error = refusal(reference)
    assert "does not import" in error.what
    assert "ModuleNotFoundError" in error.why


def test_a_missing_name_is_answered_with_those_there_are(written: Any) -> None:
    path = written("""
        from pathlib import Path
        LIMIT = 3
        def predict(image): return []
        def _hidden(image): return []
        class Detector:
            def predict(self, image): return []
        """)
    error = refusal(f"{path}:Predictor")
    assert isinstance(error, StartError)
    assert error.what == f'"{path}" has no "Predictor"'
    assert "predict" in error.why
    assert "Detector" in error.why
    assert "_hidden" not in error.why
    assert "LIMIT" not in error.why
    assert f"write {path}:NAME" in error.fix


def test_a_missing_name_in_a_file_without_any(written: Any) -> None:
    assert "no function or class of its own" in refusal(f"{written('X = 1')}:predict").why


@pytest.mark.parametrize("reference", [":it", "file.py:", "own.py:a b", "own.py:1", "own:a-b"])
def test_a_malformed_reference_is_a_usage_error(reference: str) -> None:
    error = refusal(reference)
    assert isinstance(error, UsageError)
    assert error.exit_code == EXIT_USAGE
    assert f'"{reference}"' in error.what


def test_an_unknown_built_in_is_an_error_of_ours() -> None:
    assert isinstance(refusal("motoin"), FramefanError)


CONSTRUCTORS = {
    "raises": "raise RuntimeError('no device')",
    "exits": "raise SystemExit('no device')",
}


@pytest.mark.parametrize("body", CONSTRUCTORS.values(), ids=CONSTRUCTORS)
def test_a_constructor_that_fails(written: Any, body: str) -> None:
    path = written(f"class Model:\n    def __init__(self):\n        {body}\n")
    error = refusal(f"{path}:Model")
    assert isinstance(error, StartError)
    assert "cannot be instantiated" in error.what
    assert "no device (own.py, line 3, in __init__)" in error.why


def test_a_constructor_that_wants_arguments(written: Any) -> None:
    path = written("class Model:\n    def __init__(self, weights): pass\n")
    error = refusal(f"{path}:Model")
    assert "weights" in error.why
    assert "without arguments" in error.fix


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("class it: pass", "the predictor it has no predict method"),
        ("it = 'text'", "a text is no predictor"),
        ("it = None", "None is no predictor"),
    ],
)
def test_what_cannot_be_called_is_no_predictor(written: Any, code: str, what: str) -> None:
    error = refusal(f"{written(code)}:it")
    assert isinstance(error, StartError)
    assert error.what == what


# ---- where an error came from --------------------------------------------------------------------


def raised_by(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - it is what the test looks at
        return error
    raise AssertionError("nothing was raised")


def test_where_names_the_users_line_and_not_ours(written: Any) -> None:
    path = written("""
        def inner(image):
            return image / 0

        def it(image):
            return inner(image)
        """)
    predictor = load(f"{path}:it")
    error = raised_by(lambda: predictor.predict(1, FRAME))
    assert where(error) == " (own.py, line 3, in inner)"
    assert told(error) == "division by zero (own.py, line 3, in inner)"


def test_where_is_silent_about_what_has_no_line() -> None:
    assert where(ValueError("made, never raised")) == ""


def test_an_error_whose_own_text_fails_is_still_told(written: Any) -> None:
    path = written("""
        class Bad(Exception):
            def __str__(self): return 1 / 0

        def it(image):
            raise Bad
        """)
    predictor = load(f"{path}:it")
    text = told(raised_by(lambda: predictor.predict(1, FRAME)))
    assert text == "its __str__ raised ZeroDivisionError (own.py, line 6, in it)"
