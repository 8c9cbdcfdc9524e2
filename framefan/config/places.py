"""What flags, FRAMEFAN_* variables and a TOML file say, before anything of it becomes settings.

The nearer to the person, the stronger: flag > environment > file. What a stronger place says is not
even looked at in a weaker one. This is the only place that reads the environment or the file.
"""

from __future__ import annotations

import difflib
import shlex
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from framefan.config import service_links, toml_file
from framefan.config.camera_settings import converted
from framefan.config.options import Options
from framefan.errors import UsageError
from framefan.settings.run import TOKEN_VARIABLE, CameraSettings, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENV = "FRAMEFAN_"
_ENV_LIMITS = "limits_"
_ENV_OTHERS = "test_"
"""Variables with this after the prefix steer the test suite."""
_TYPES: dict[str, Any] = get_type_hints(Options) | {"sources": list[str]}
_LISTS = ("sources", "origin")
_CAMERA = tuple(CameraSettings.__struct_fields__)
_LIMITS = tuple(Limits.__struct_fields__)


class Choices(msgspec.Struct):
    """What one place or all of them together say; keys are those of Options, and `sources`."""

    values: dict[str, Any] = msgspec.field(default_factory=dict)
    limits: dict[str, Any] = msgspec.field(default_factory=dict)
    cameras: list[dict[str, Any]] = msgspec.field(default_factory=list)
    is_empty: bool = False
    """Of a file: it holds no key at all."""


def merge(flags: dict[str, Any], environment: Mapping[str, str]) -> tuple[Choices, Choices]:
    """All places together, and what the file alone says. Raises UsageError or StartError."""
    merged = from_environment(environment, flags)
    merged.values |= flags
    path = merged.values.pop("config", None)
    if not path:
        return merged, Choices()
    file = from_file(path, merged)
    if "sources" not in merged.values:
        merged.cameras = file.cameras
    merged.values = file.values | merged.values
    merged.limits = file.limits | merged.limits
    return merged, file


# ---- the environment -------------------------------------------------------------------------


def from_environment(environment: Mapping[str, str], stronger: Iterable[str] = ()) -> Choices:
    """FRAMEFAN_WORKERS=4, FRAMEFAN_SOURCES="a.mp4 b.mp4", FRAMEFAN_LIMITS_GRACE_S=3.

    Keys that are `stronger` are left out, like empty variables and those that Kubernetes makes of a
    Service. Raises UsageError.
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
    if key.startswith(_ENV_LIMITS) and key.removeprefix(_ENV_LIMITS) in _LIMITS:
        limit = key.removeprefix(_ENV_LIMITS)
        choices.limits[limit] = converted(variable, text, _limit_type(limit), strict=False)
        return
    service_links.check(variable, text, is_known=key in _TYPES)
    if key.startswith(_ENV_LIMITS):
        key = key.removeprefix(_ENV_LIMITS)
        _known(key, _LIMITS, f"the variable {variable}", lambda near: _variable("limits", near))
    _known(key, _TYPES, f"the variable {variable}", lambda near: _variable("", near))
    value: Any = _words(variable, text) if key in _LISTS else text
    choices.values[key] = converted(variable, value, _TYPES[key], strict=False)


def _words(variable: str, text: str) -> list[str]:
    """As a shell parts them. Raises UsageError, which repeats nothing of the text."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"{variable} cannot be parted into words",
            " ".join(str(error).lower().split()),
            "close each quote in it",
        ) from error


def _variable(group: str, key: str) -> str:
    return ENV + f"{group}_{key}".strip("_").upper()


# ---- the file --------------------------------------------------------------------------------


def from_file(path: str, stronger: Choices | None = None) -> Choices:
    """The same keys in TOML, `-` as good as `_`, and the tables [limits] and [[camera]].

    A key that is said in a `stronger` place is left out. Raises UsageError or StartError.
    """
    over = stronger or Choices()
    content = _underscored(path, toml_file.read(path))
    choices = Choices(is_empty=not content)
    for key, value in _table(path, "limits", content.pop("limits", {})).items():
        if key not in over.limits:
            _known(key, _LIMITS, f"the key limits.{key} in {path}")
            choices.limits[key] = converted(f"limits.{key} in {path}", value, _limit_type(key))
    cameras = content.pop("camera", [])
    choices.cameras = cameras if "sources" in over.values else _cameras(path, cameras)
    usable = {*_TYPES, "limits", "camera"} - {"config"}  # one file does not name another
    for key, value in content.items():
        if key in over.values:
            continue
        _known(key, usable, f"the key {key} in {path}")
        shown = key != "sources"  # which may hold passwords
        choices.values[key] = converted(f"{key} in {path}", value, _TYPES[key], shown=shown)
    return choices


def _cameras(path: str, cameras: Any) -> list[dict[str, Any]]:
    if not isinstance(cameras, list):
        raise UsageError(
            f"camera in {path} is no list of tables",
            "there can be more than one camera",
            "write [[camera]]",
        )
    tables = [_table(path, "camera", camera) for camera in cameras]
    for table in tables:
        for key in table:
            _known(key, _CAMERA, f"the key camera.{key} in {path}")
    return tables


def _table(path: str, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(
            f"{name} in {path} is no table",
            f"it is of type {type(value).__name__}",
            f"write [{name}] and its keys below",
        )
    return _underscored(path, value)


def _underscored(path: str, table: dict[str, Any]) -> dict[str, Any]:
    found = {key.replace("-", "_"): value for key, value in table.items()}
    if len(found) < len(table):
        twice = next(key for key in table if "-" in key and key.replace("-", "_") in table)
        raise UsageError(
            f"the key {twice} stands twice in {path}",
            "`-` and `_` are the same there",
            "leave one of them out",
        )
    return found


def _known(key: str, valid: Iterable[str], what: str, spell: Any = str) -> None:
    if key in valid:
        return
    usable = sorted(valid)
    near = difflib.get_close_matches(key, usable, 1, 0.5)
    raise UsageError(
        f"framefan does not know {what}",
        f"known: {', '.join(map(spell, usable))}",
        f"did you mean {spell(near[0])}?" if near else "leave it out, or write one of those",
    )


def _limit_type(key: str) -> Any:
    return get_type_hints(Limits)[key]
