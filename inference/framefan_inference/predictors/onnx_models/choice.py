"""Chooses a model's layout and class names, from its outputs and a labels file."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from msgspec import structs

from framefan.errors import StartError
from framefan_inference.predictors.onnx_models import labels
from framefan_inference.predictors.onnx_models.layouts import Classes, Head
from framefan_inference.predictors.onnx_models.recognise import recognise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from framefan_inference.predictors.onnx_models.layouts import Seen


def head_and_labels(seen: Seen, path: str) -> tuple[Head, dict[int, str]]:
    """The layout, and the class names by number.

    `path`: the labels file; empty if there is none. Raises StartError.
    """
    own = seen.said.classes
    seen = structs.replace(seen, classes=Classes(own, own))
    if not path:
        return recognise(seen), dict(seen.said.names)
    named = labels.read(path)
    head = recognise(seen) if own else _by_labels(seen, named)
    if head.classes and not named.fits(head.classes):
        raise labels.do_not_fit(named, head.classes)
    if not head.classes:
        head = structs.replace(head, classes=named.lines)
    return head, named.names


def _by_labels(seen: Seen, named: labels.Labels) -> Head:
    """The layout if the ONNX file names no classes: the number of labels must fit the outputs."""
    try:
        return recognise(structs.replace(seen, classes=Classes(named.least, named.lines)))
    except StartError as error:
        try:
            head = recognise(seen)
        except StartError:
            raise error from None
    raise labels.do_not_fit(named, head.classes)


def wanted(words: Sequence[str], names: Mapping[int, str], count: int) -> list[int] | None:
    """The numbers of the classes to keep; None: all. Raises StartError for an unknown class.

    `count`: the number of classes; 0 if it is unknown.
    """
    if not words:
        return None
    numbers = {name: number for number, name in names.items()}
    found = []
    for word in words:
        if word in numbers:
            found.append(numbers[word])
        elif word.isascii() and word.isdecimal() and (not count or int(word) < count):
            found.append(int(word))
        else:
            raise _no_class(word, numbers, count)
    return found


def _no_class(word: str, numbers: Mapping[str, int], count: int) -> StartError:
    near = difflib.get_close_matches(word, numbers, 1)
    there = ", ".join(list(numbers)[:20]) + (", ..." if len(numbers) > 20 else "")
    return StartError(
        f'the model has no class "{word}"',
        f"its classes are {there}" if numbers else f"it has {count or 'unnamed'} classes, numbered",
        f"did you mean {near[0]}?" if near else "name one of them with classes=, or a number",
    )
