"""Loads a predictor from a reference on the command line.

    motion                     a name from framefan_inference/predictors/builtin/
    package.module:Name        importable from the current folder
    path/to/file.py:Name       the user's file
    onnx:PATH[?OPTIONS]        a detector in an ONNX file

Name is a function `predict(image)` or a class with a method `predict`. `predict` may take a second
parameter `frame`. The class may have `setup`, `close`, `stateful` and `labels`. A class with
`predict_batch(images)` takes frames of several cameras in one call, up to `max_batch`. Name may
also be what `framefan.predictors.chain` returned.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from framefan.base import logs, userfile
from framefan.errors import OPENCV_FIX, FramefanError, StartError
from framefan.predictors import Chain
from framefan.settings.predictor_ref import onnx_options, parse
from framefan_inference.predictors.calls import (
    check_on_crops,
    check_predict,
    entry,
    has_parameter,
    one_for_each,
)
from framefan_inference.predictors.frame import Frame

MAX_BATCH = 8
"""The most images per call of `predict_batch`, unless the class sets `max_batch`."""

_INSTALL = "fix it, or install what it needs in the environment that framefan runs in"

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


class ModelDescriber(Protocol):
    """Describes the model that a predictor runs."""

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Kind and text of what clients should know."""

    def about(self, jpeg: bytes) -> dict[str, str]:
        """What the model is, and what it finds in a JPEG unless that is empty."""


class Predictor:
    """A loaded predictor; the same calls work for every form of it."""

    def __init__(self, model: str, target: Any, describer: ModelDescriber | None = None) -> None:
        """`target` is the user's function, or an instance of the user's class."""
        self.model = model
        self.target = target
        self.stateful = bool(getattr(target, "stateful", False))
        self._describer = describer
        self._call, several = entry(target)
        self.place = userfile.place(self._call)
        """The place of the user's predict, ` (file.py, line 12, in predict)`; "": unknown."""
        self._wants_frame = has_parameter(self._call, "frame")
        check_predict(self._call, several, self._wants_frame, self.place)
        self._batch: Callable[..., Any] | None = None
        if not inspect.isfunction(target) and callable(getattr(target, "predict_batch", None)):
            self._batch = target.predict_batch
            self._batch_wants_frame = has_parameter(self._batch, "frame")
            if not several:
                check_predict(
                    self._batch, True, self._batch_wants_frame, userfile.place(self._batch)
                )
        if several:
            self.predict = self._predict_one  # type: ignore[method-assign]

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Kind and text of notices for clients, known after setup."""
        return [] if self._describer is None else self._describer.notices

    def about(self, jpeg: bytes) -> dict[str, str]:
        """What a model is and what it finds in a JPEG, for people; empty for other predictors."""
        return {} if self._describer is None else self._describer.about(jpeg)

    @property
    def max_batch(self) -> int:
        """How many frames one call takes; setup may set it. Raises StartError."""
        if self._batch is None:
            return 1
        most = getattr(self.target, "max_batch", MAX_BATCH)
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise StartError(
                f"the predictor {self.model} has max_batch = {most!r}",
                "it is the most images that predict_batch gets at once",
                "set it to a whole number from 1 on",
            )
        return most

    @property
    def labels(self) -> Any:
        """The names of class numbers, a sequence or mapping; setup may set them."""
        for name in ("labels", "names"):
            labels = getattr(self.target, name, None)
            if labels is not None:
                return labels
        return ()

    def setup(self, device: str = "") -> bool:
        """Run the user's setup; returns whether it takes `device`. Raises what it raises."""
        setup = getattr(self.target, "setup", None)
        if not callable(setup) or inspect.isfunction(self.target):
            return False
        if has_parameter(setup, "device"):
            return setup(device=device) is not False  # a chain's stages may both ignore it
        setup()
        return False

    def predict(self, image: Any, frame: Frame) -> Any:
        """Call the user's predict. Raises whatever it raises."""
        if self._wants_frame:
            return self._call(image, frame=frame)
        return self._call(image)

    def _predict_one(self, image: Any, frame: Frame) -> Any:
        """`predict` for a class that has only `predict_batch`."""
        return self.predict_batch([image], [frame])[0]

    def predict_batch(self, images: Sequence[Any], frames: Sequence[Frame]) -> list[Any]:
        """Call the user's predict_batch; returns one value per image, in order.

        Raises ResultError for a wrong number of values, else whatever the user's method raises.
        """
        assert self._batch is not None
        if self._batch_wants_frame:
            returned = self._batch(list(images), frame=list(frames))
        else:
            returned = self._batch(list(images))
        return one_for_each(returned, len(images))

    def close(self) -> None:
        close = getattr(self.target, "close", None)
        if not callable(close) or inspect.isfunction(self.target):
            return
        try:
            close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's may raise anything
            why = f"{type(error).__name__}: {userfile.told(error)}"
            logs.warning(f"the predictor {self.model} failed in close: {why}")


def load(reference: str) -> Predictor:
    """Import what `reference` names. Raises UsageError when malformed, StartError otherwise."""
    return _load(reference, ())


def _load(reference: str, chains: tuple[str, ...]) -> Predictor:
    """`chains`: the references of the chains whose detector this is."""
    named_by = parse(reference)
    if named_by.kind == "onnx":
        return _onnx(named_by.target)
    if named_by.kind == "builtin":
        module_name = f"framefan_inference.predictors.builtin.{reference}"
        module = _import(reference, lambda: importlib.import_module(module_name))
        return Predictor(reference, _instance(reference, module.Predictor))
    module_name, name = named_by.target, named_by.attribute
    if named_by.kind == "file":
        module = _import(reference, lambda: _load_file(Path(module_name)))
    else:
        userfile.reach(str(Path.cwd()))
        module = _import(reference, lambda: importlib.import_module(module_name))
    try:
        target = getattr(module, name)
    except AttributeError:
        public = [each for each, value in vars(module).items() if _is_candidate(each, value)]
        raise StartError(
            f'"{module_name}" has no "{name}"',
            f"it has: {', '.join(public) or 'no function or class of its own'}",
            f"write {module_name}:NAME with one of these names",
        ) from None
    return _made(name, reference, target, chains)


def _made(name: str, reference: str, target: Any, chains: tuple[str, ...]) -> Predictor:
    """The predictor of the user's function, class, object or chain. Raises StartError."""
    if not isinstance(target, Chain):
        return Predictor(name, _instance(reference, target))
    from framefan_inference.predictors.chained import Chained  # loads OpenCV

    on_crops = _instance(reference, target.on_crops)
    check_on_crops(on_crops)
    detector = _detector(reference, target.detector, chains)
    chained = Chained(target, detector, on_crops)
    predictor = Predictor(name, chained, chained)
    predictor.place = ""  # errors name the place of the user's functions themselves
    return predictor


def _detector(reference: str, given: Any, chains: tuple[str, ...]) -> Predictor:
    """The detector of the chain that `reference` names. Raises StartError."""
    try:
        if isinstance(given, str):
            chains = (*chains, _whole(reference))
            if _whole(given) in chains:
                raise StartError(
                    f'"{given}" is the chain itself',
                    "a chain begins with a detector, which finds what is cropped",
                    "name a detector: the first argument of chain(...)",
                )
            return _load(given, chains)
        return _made(getattr(given, "__name__", type(given).__name__), reference, given, chains)
    except FramefanError as error:
        told = "the detector of the chain: "
        what = error.what if error.what.startswith(told) else told + error.what
        raise StartError(what, error.why, error.fix) from error


def _whole(reference: str) -> str:
    """The same text for the same file, however its path is written."""
    path, colon, name = reference.rpartition(":")
    return f"{Path(path).resolve()}:{name}" if colon and path.endswith(".py") else reference


def set_up(predictor: Predictor, reference: str, device: str) -> bool:
    """Run the predictor's setup; returns whether it takes the device. Raises FramefanError."""
    try:
        uses_device = predictor.setup(device)
        _ = predictor.max_batch  # an invalid one ends the start here
    except FramefanError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise FramefanError(
            f'the predictor "{reference}" failed in setup',
            f"{type(error).__name__}: {userfile.told(error)}",
            "fix its setup()",
        ) from error
    return uses_device


def _onnx(target: str) -> Predictor:
    from framefan_inference.predictors.onnx_models.detector import OnnxDetector  # loads OpenCV

    options = onnx_options(target)
    if not Path(options.path).is_file():
        raise StartError(
            f"the model {options.path} does not exist",
            f"looked in {Path.cwd()}",
            "write onnx:PATH with the path of a model's file",
        )
    detector = OnnxDetector(options)
    predictor = Predictor(Path(options.path).stem, detector, detector)
    predictor.place = ""  # no file of the user's
    return predictor


def files(reference: str) -> list[str]:
    """The file of a predictor, and the loaded modules in its folder and below.

    Empty for a built-in predictor. Files in site-packages are left out.
    """
    module_name, colon, _ = reference.rpartition(":")
    named = Path(module_name).stem if module_name.endswith(".py") else module_name
    main = getattr(sys.modules.get(named), "__file__", None) if colon else None
    if main is None:
        return []
    folder = Path(main).absolute().parent
    loaded = [getattr(each, "__file__", None) for each in list(sys.modules.values())]
    paths = {Path(each).absolute() for each in loaded if isinstance(each, str)}
    near = {
        str(path)
        for path in paths
        if path.suffix == ".py" and folder in path.parents and "site-packages" not in path.parts
    }
    return sorted(near)


def _is_candidate(name: str, value: Any) -> bool:
    is_one = inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, Chain)
    return not name.startswith("_") and is_one


def _import(reference: str, import_it: Callable[[], ModuleType]) -> ModuleType:
    try:
        return import_it()
    except StartError:
        raise
    except ModuleNotFoundError as error:
        if _names(reference, error.name or ""):
            raise StartError(
                f'the predictor module "{error.name}" was not found',
                "it is neither installed nor in the current folder",
                "check the spelling, or run from the folder that holds it",
            ) from error
        raise _failed(reference, error) from error
    except (Exception, SystemExit) as error:  # the user's module may raise anything while it loads
        raise _failed(reference, error) from error


def _names(reference: str, missing: str) -> bool:
    """Whether the missing module is the referenced one or a package that contains it."""
    module = reference.rpartition(":")[0]
    return not module.endswith(".py") and f"{module}.".startswith(f"{missing}.")


def _failed(reference: str, error: BaseException) -> StartError:
    return StartError(
        f'the predictor "{reference}" does not import',
        f"{type(error).__name__}: {userfile.told(error)}",
        OPENCV_FIX if _is_opencv(error) else _INSTALL,
    )


def _is_opencv(error: BaseException) -> bool:
    """Whether the import failed inside OpenCV itself."""
    if not isinstance(error, ImportError) or isinstance(error, ModuleNotFoundError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).parent.name == "cv2" for frame in frames)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise StartError(
            f"the predictor file {path} does not exist",
            f"looked in {Path.cwd()}",
            "write FILE.py:NAME with the path of your file",
        )
    return userfile.load(path)


def _instance(reference: str, target: Any) -> Any:
    if not inspect.isclass(target):
        return target
    try:
        return target()
    except (Exception, SystemExit) as error:  # the user's constructor may raise anything
        raise StartError(
            f'the predictor "{reference}" cannot be instantiated',
            f"{type(error).__name__}: {userfile.told(error)}",
            "fix its constructor; framefan calls it without arguments",
        ) from error
