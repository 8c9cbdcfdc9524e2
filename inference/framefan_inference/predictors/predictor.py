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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from framefan.base import logs, userfile
from framefan.errors import OPENCV_FIX, FramefanError, StartError, UsageError
from framefan.predictors import Chain
from framefan.settings.predictor_ref import onnx_options
from framefan_inference.predictors.frame import Frame
from framefan_inference.predictors.result_error import ResultError

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
        self._call, several = _entry(target)
        self.place = userfile.place(self._call)
        """The place of the user's predict, ` (file.py, line 12, in predict)`; "": unknown."""
        self._wants_frame = _has_frame_parameter(self._call)
        _check_call(self._call, several, self._wants_frame, self.place)
        self._batch: Callable[..., Any] | None = None
        if not inspect.isfunction(target) and callable(getattr(target, "predict_batch", None)):
            self._batch = target.predict_batch
            self._batch_wants_frame = _has_frame_parameter(self._batch)
            if not several:
                _check_call(self._batch, True, self._batch_wants_frame, userfile.place(self._batch))
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
        if _has_parameter(setup, "device"):
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
        return _one_for_each(returned, len(images))

    def close(self) -> None:
        close = getattr(self.target, "close", None)
        if not callable(close) or inspect.isfunction(self.target):
            return
        try:
            close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's may raise anything
            why = f"{type(error).__name__}: {userfile.told(error)}"
            logs.warning(f"the predictor {self.model} failed in close: {why}")


def _entry(target: Any) -> tuple[Callable[..., Any], bool]:
    """The callable to use, and whether it takes several images per call."""
    if inspect.isfunction(target) or inspect.isbuiltin(target):
        return target, False
    for name in ("predict", "predict_batch"):
        method = getattr(target, name, None)
        if callable(method):
            return method, name == "predict_batch"
    if callable(target):
        return target, False
    raise StartError(
        f"the predictor {type(target).__name__} has no predict method",
        "framefan calls predict(image) once per frame",
        "add `def predict(self, image): ...` to the class",
    )


def _one_for_each(returned: Any, wanted: int) -> list[Any]:
    """The values in a list, tuple, array or iterator. Raises ResultError."""
    told = f"a {type(returned).__name__}"
    is_several = isinstance(returned, Sequence | Iterator) or hasattr(returned, "shape")
    if is_several and not isinstance(returned, str | bytes) and getattr(returned, "shape", 1) != ():
        each = list(returned)
        if len(each) == wanted:
            return each
        told = f"{len(each)} results"
    raise ResultError(
        "wrong_count",
        f"predict_batch returned {told} for {wanted} images: it must return a list with one result "
        "for each image, in their order",
    )


def _has_frame_parameter(call: Callable[..., Any]) -> bool:
    return _has_parameter(call, "frame")


def _has_parameter(call: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(call).parameters
    except (TypeError, ValueError):  # a C function without a signature
        return False


def _check_call(call: Callable[..., Any], several: bool, frame: bool, place: str) -> None:
    """Refuse at the start a callable that would fail for every frame. Raises StartError."""
    name = getattr(call, "__name__", type(call).__name__)
    argument = "images" if several else "image"
    ours = f"{name}({argument}, frame)" if frame else f"{name}({argument})"
    if _is_of_kind(call, inspect.iscoroutinefunction, inspect.isasyncgenfunction):
        raise StartError(
            f"the predictor {name} is `async def`{place}",
            f"framefan calls {ours} in a worker process and uses its return value; "
            "nothing awaits it",
            "use `def` instead of `async def`; call async code inside it with asyncio.run(...)",
        )
    if _is_of_kind(call, inspect.isgeneratorfunction):
        raise StartError(
            f"the predictor {name} is a generator{place}",
            f"framefan calls {ours} once per frame and uses its return value, not what it yields",
            "use `return` instead of `yield`; return several detections as a list",
        )
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # a C function without a signature
        return
    try:
        signature.bind(None, **({"frame": None} if frame else {}))
    except TypeError as problem:
        raise StartError(
            f"the predictor {name}{signature} cannot be called with a frame's {argument}{place}",
            f"framefan calls {ours}: {problem}",
            f"let it take one parameter for the {argument} and, if needed, `frame`; "
            "give other parameters a default",
        ) from None


def _is_of_kind(call: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Whether a function, a method or an object's `__call__` is of one of these kinds."""
    own = vars(type(call)).get("__call__")
    return any(kind(each) for kind in kinds for each in (call, own))


def load(reference: str) -> Predictor:
    """Import what `reference` names. Raises UsageError when malformed, StartError otherwise."""
    if reference.startswith("onnx:"):
        return _onnx(reference.removeprefix("onnx:"))
    module_name, colon, name = reference.rpartition(":")
    if not colon:
        module_name, name = f"framefan_inference.predictors.builtin.{reference}", "Predictor"
        module = _import(reference, lambda: importlib.import_module(module_name))
        return Predictor(reference, _instance(reference, getattr(module, name)))
    if not module_name or not name.isidentifier():
        raise UsageError(
            f'"{reference}" is not a predictor reference',
            "a reference is the name of a built-in, package.module:Name or path/to/file.py:Name",
            "run `framefan predictors` to see the built-in ones",
        )
    if module_name.endswith(".py"):
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
            f"use --predictor {module_name}:NAME with one of these names",
        ) from None
    return _made(name, reference, target)


def _made(name: str, reference: str, target: Any) -> Predictor:
    """The predictor of the user's function, class, object or chain. Raises StartError."""
    if not isinstance(target, Chain):
        return Predictor(name, _instance(reference, target))
    from framefan_inference.predictors.chained import Chained  # loads OpenCV

    first = target.detector
    if isinstance(first, str):
        detector = load(first)
    else:
        detector = _made(getattr(first, "__name__", type(first).__name__), reference, first)
    chained = Chained(target, detector, _instance(reference, target.on_crops))
    predictor = Predictor(name, chained, chained)
    predictor.place = ""  # errors name the place of the user's functions themselves
    return predictor


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
            "check the path given to --predictor",
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
            "check the path given to --predictor",
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
