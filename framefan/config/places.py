"""Reads option values from flags, FRAMEFAN_* variables and a TOML file, and merges them.

Precedence: flag > environment > file. A key that is set in a stronger place is not checked in a
weaker one. Only this module reads options from the environment and the file.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, get_origin

import msgspec

from framefan.config import service_links, toml_file
from framefan.config.camera_settings import CAMERA, converted
from framefan.config.predictor_settings import PREDICTOR
from framefan.errors import UsageError, did_you_mean
from framefan.settings.options import ENV, OPTIONS, options_of
from framefan.settings.run import TOKEN_VARIABLE, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LIMITS = options_of(Limits)
_ENV_LIMITS = "limits_"
_ENV_OTHERS = "test_"
"""Variables with this after the prefix configure the test suite."""


class Choices(msgspec.Struct):
    """The values of one place, or of all places merged; the keys are those of OPTIONS."""

    values: dict[str, Any] = msgspec.field(default_factory=dict)
    limits: dict[str, Any] = msgspec.field(default_factory=dict)
    cameras: list[dict[str, Any]] = msgspec.field(default_factory=list)
    predictors: list[dict[str, Any]] = msgspec.field(default_factory=list)
    is_empty: bool = False
    """Whether this is a file without any key."""


def merge(flags: dict[str, Any], environment: Mapping[str, str]) -> tuple[Choices, Choices]:
    """The values of all places merged, and those of the file. Raises UsageError or StartError."""
    merged = from_environment(environment, flags)
    merged.values |= flags
    path = merged.values.pop("config", None)
    if not path:
        return merged, Choices()
    file = from_file(path, merged)
    if "sources" not in merged.values:
        merged.cameras = file.cameras
    merged.predictors = file.predictors
    merged.values = file.values | merged.values
    merged.limits = file.limits | merged.limits
    return merged, file


# ---- the environment -------------------------------------------------------------------------


def from_environment(environment: Mapping[str, str], stronger: Iterable[str] = ()) -> Choices:
    """FRAMEFAN_WORKERS=4, FRAMEFAN_SOURCES="a.mp4 b.mp4", FRAMEFAN_LIMITS_GRACE_S=3.

    Keys in `stronger` are left out, and so are empty variables and the variables that Kubernetes
    sets for a Service. Raises UsageError.
    """
    choices = Choices()
    foreign = service_links.found(environment)
    for variable, text in environment.items():
        if not variable.startswith(ENV) or variable in foreign:
            continue
        key = variable.removeprefix(ENV).lower()
        if variable == TOKEN_VARIABLE:
            choices.values["token"] = text
        elif text.strip() and not key.startswith(_ENV_OTHERS) and key not in stronger:
            _take(choices, variable, key, text)
    return choices


def _take(choices: Choices, variable: str, key: str, text: str) -> None:
    prefix, table, place = ENV, OPTIONS, choices.values
    if key.startswith(_ENV_LIMITS):
        key = key.removeprefix(_ENV_LIMITS)
        prefix, table, place = ENV + _ENV_LIMITS.upper(), LIMITS, choices.limits
    service_links.check(variable, text, is_known=key in table)
    names = [each.upper() for each in table]
    _known(key.upper(), names, f"the variable {variable}", prefix)
    kind = table[key].kind
    value = _words(variable, text) if get_origin(kind) is tuple else text
    place[key] = converted(variable, value, kind, strict=False)


def _words(variable: str, text: str) -> list[str]:
    """Split as in a shell. Raises UsageError, which does not quote the text."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"{variable} cannot be split into words",
            " ".join(str(error).lower().split()),
            "close each quote in it",
        ) from error


# ---- the file --------------------------------------------------------------------------------


def from_file(path: str, stronger: Choices | None = None) -> Choices:
    """The same keys in TOML, with `-` or `_`, and the tables [limits], [[camera]], [[predictor]].

    A key that is set in a `stronger` place is left out. Raises UsageError or StartError.
    """
    over = stronger or Choices()
    content = _underscored(path, toml_file.read(path))
    choices = Choices(is_empty=not content)
    for key, value in _table(path, "limits", content.pop("limits", {})).items():
        if key not in over.limits:
            _known(key, LIMITS, f"the key limits.{key} in {path}")
            choices.limits[key] = converted(f"limits.{key} in {path}", value, LIMITS[key].kind)
    cameras = content.pop("camera", [])
    is_over = "sources" in over.values
    choices.cameras = cameras if is_over else _tables(path, "camera", cameras, CAMERA)
    if isinstance(content.get("predictor"), list | dict):  # else it is the predictor of the run
        choices.predictors = _tables(path, "predictor", content.pop("predictor"), PREDICTOR)
    usable = {*OPTIONS, "limits", "camera"} - {"config"}  # one file does not name another
    for key, value in content.items():
        if key in over.values:
            continue
        _known(key, usable, f"the key {key} in {path}")
        option = OPTIONS[key]
        what, is_shown = f"{key} in {path}", not option.hidden_as
        choices.values[key] = converted(what, value, option.kind, shown=is_shown)
    return choices


def _tables(path: str, name: str, tables: Any, known: Iterable[str]) -> list[dict[str, Any]]:
    """The tables of that name. Raises UsageError."""
    if not isinstance(tables, list):
        raise UsageError(
            f"{name} in {path} is not a list of tables",
            f"there can be more than one {name}",
            f"write [[{name}]]",
        )
    found = [_table(path, name, table) for table in tables]
    for table in found:
        for key in table:
            _known(key, known, f"the key {name}.{key} in {path}")
    return found


def _table(path: str, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(
            f"{name} in {path} is not a table",
            f"it is of type {type(value).__name__}",
            f"write [{name}] and its keys below",
        )
    return _underscored(path, value)


def _underscored(path: str, table: dict[str, Any]) -> dict[str, Any]:
    found = {key.replace("-", "_"): value for key, value in table.items()}
    if len(found) < len(table):
        twice = next(key for key in table if "-" in key and key.replace("-", "_") in table)
        raise UsageError(
            f"the key {twice} is in {path} twice",
            "`-` and `_` are the same there",
            "remove one of them",
        )
    return found


def _known(key: str, known: Iterable[str], what: str, prefix: str = "") -> None:
    """Raises UsageError for a key that is not in `known`; `prefix` precedes each known key."""
    known = sorted(known)
    if key not in known:
        raise UsageError(
            f"framefan does not know {what}",
            f"known: {', '.join(prefix + each for each in known)}",
            did_you_mean(key, known, prefix + "{}", "remove it, or use one of those"),
        )
