"""How the user's functions are called, and the refusal of those that cannot be called so."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from framefan.base import userfile
from framefan.errors import StartError
from framefan_inference.predictors.result_error import ResultError, counted, named

if TYPE_CHECKING:
    from collections.abc import Callable


def entry(target: Any) -> tuple[Callable[..., Any], bool]:
    """The callable to use, and whether it takes several images per call."""
    if inspect.isfunction(target) or inspect.isbuiltin(target):
        return target, False
    for name in ("predict", "predict_batch"):
        method = getattr(target, name, None)
        if callable(method):
            return method, name == "predict_batch"
    if callable(target):
        return target, False
    if type(target).__module__ in ("builtins", "numpy"):
        raise StartError(
            f"{named(target)} is no predictor",
            "framefan calls predict(image) once per frame",
            "name a function or class with predict(image)",
        )
    raise StartError(
        f"the predictor {type(target).__name__} has no predict method",
        "framefan calls predict(image) once per frame",
        "add `def predict(self, image): ...` to the class",
    )


def one_for_each(returned: Any, wanted: int) -> list[Any]:
    """The values in a list, tuple, array or iterator. Raises ResultError."""
    told = named(returned)
    is_several = isinstance(returned, Sequence | Iterator) or hasattr(returned, "shape")
    if is_several and not isinstance(returned, str | bytes) and getattr(returned, "shape", 1) != ():
        each = list(returned)
        if len(each) == wanted:
            return each
        told = counted(len(each), "result")
    raise ResultError(
        "wrong_count",
        f"predict_batch returned {told} for {counted(wanted, 'image')}: it must return a list "
        "with one result for each image, in their order",
    )


def has_parameter(call: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(call).parameters
    except (TypeError, ValueError):  # a C function without a signature
        return False


class _Form(NamedTuple):
    """A call that framefan makes, in words."""

    who: str
    """The callable; {} is its name."""
    arguments: tuple[str, ...]
    """Those that are given by position."""
    with_what: str
    when: str
    instead_of_yield: str
    parameters: str
    """The advice for other parameters than these."""


def check_predict(call: Callable[..., Any], several: bool, frame: bool, place: str) -> None:
    """Refuse at the start a predict that would fail for every frame. Raises StartError."""
    argument = "images" if several else "image"
    form = _Form(
        "the predictor {}",
        (argument,),
        f"a frame's {argument}",
        "once per frame",
        "return several detections as a list",
        f"let it take one parameter for the {argument} and, if needed, `frame`; "
        "give other parameters a default",
    )
    _check(call, form, frame, place)


def check_on_crops(call: Any) -> None:
    """Refuse at the start an `on_crops` that would fail for every crop. Raises StartError."""
    if not callable(call):
        name = type(call).__name__
        raise StartError(
            f"on_crops of the chain, {name}, cannot be called",
            f"framefan makes an object of the class and calls {name}(crops, detections) with it",
            "add `def __call__(self, crops, detections): ...` to the class",
        )
    form = _Form(
        "on_crops of the chain, {},",
        ("crops", "detections"),
        "crops and detections",
        "once per picture with crops",
        "return a list with one item for each crop",
        "let it take two parameters, crops and detections; give other parameters a default",
    )
    _check(call, form, False, userfile.place(call))


def _check(call: Callable[..., Any], form: _Form, frame: bool, place: str) -> None:
    """Raises StartError."""
    name = getattr(call, "__name__", type(call).__name__)
    ours = f"{name}({', '.join((*form.arguments, *(['frame'] if frame else [])))})"
    if _is_of_kind(call, inspect.iscoroutinefunction, inspect.isasyncgenfunction):
        raise StartError(
            f"{form.who.format(name)} is `async def`{place}",
            f"framefan calls {ours} in a worker process and uses its return value; "
            "nothing awaits it",
            "use `def` instead of `async def`; call async code inside it with asyncio.run(...)",
        )
    if _is_of_kind(call, inspect.isgeneratorfunction):
        raise StartError(
            f"{form.who.format(name)} is a generator{place}",
            f"framefan calls {ours} {form.when} and uses its return value, not what it yields",
            f"use `return` instead of `yield`; {form.instead_of_yield}",
        )
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # a C function without a signature
        return
    try:
        signature.bind(*[None] * len(form.arguments), **({"frame": None} if frame else {}))
    except TypeError as problem:
        who = form.who.format(f"{name}{signature}")
        raise StartError(
            f"{who} cannot be called with {form.with_what}{place}",
            f"framefan calls {ours}: {problem}",
            form.parameters,
        ) from None


def _is_of_kind(call: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Whether a function, a method or an object's `__call__` is of one of these kinds."""
    own = vars(type(call)).get("__call__")
    return any(kind(each) for kind in kinds for each in (call, own))
