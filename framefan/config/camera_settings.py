"""Makes the settings of each camera: fills in names, parses sources and checks that files exist."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec

from framefan.errors import StartError, UsageError, did_you_mean
from framefan.settings import patterns, source_spec, source_url
from framefan.settings.demo import parse_demo
from framefan.settings.options import options_of
from framefan.settings.run import NAME, CameraSettings
from framefan.settings.secret import SourceText

if TYPE_CHECKING:
    from collections.abc import Container

    from framefan.settings.source_spec import SourceSpec

CAMERA = options_of(CameraSettings)
"""The keys of a `[[camera]]` table."""
COMMANDS = (
    "run",
    "doctor",
    "once",
    "status",
    "reload",
    "scale",
    "swap",
    "top",
    "watch",
    "examples",
    "predictors",
    "completion",
)
"""The commands: a misspelt one looks like a source file that does not exist."""


def made_of(tables: list[dict[str, Any]], fail_fast: bool = False) -> tuple[CameraSettings, ...]:
    """The settings of all cameras; the keys of the tables are fields of CameraSettings.

    Raises UsageError. Raises StartError if every camera's source is missing, or with `fail_fast` if
    one is. Otherwise the capture of a missing source reports it as the camera's state.
    """
    tables = [dict(table) for table in tables]
    _fill_names(tables)
    cameras = tuple(_camera(table) for table in tables)
    names = [camera.name for camera in cameras]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f'two cameras are named "{name}"', "clients identify cameras by name", "rename one"
            )
    missing = [error for camera in cameras if (error := _missing(camera))]
    if missing and (fail_fast or len(missing) == len(cameras)):
        raise missing[0]
    return cameras


def named(text: str) -> dict[str, Any]:
    """The table for a SOURCE or NAME=SOURCE of the command line."""
    name, source = (None, text) if source_spec.is_file(text) else source_spec.split_name(text)
    return {"source": source} if name is None else {"name": name, "source": source}


def _fill_names(tables: list[dict[str, Any]]) -> None:
    """Name unnamed cameras demo, demo2, ... or cam1, cam2, ..., without repeating a given name."""
    demos = itertools.chain(["demo"], (f"demo{number}" for number in itertools.count(2)))
    others = (f"cam{number}" for number in itertools.count(1))
    given = {str(table["name"]) for table in tables if "name" in table}
    for table in tables:
        if "name" not in table:
            names = demos if source_spec.is_demo(str(table.get("source", ""))) else others
            table["name"] = next(name for name in names if name not in given)


def _camera(table: dict[str, Any]) -> CameraSettings:
    name = str(table["name"])
    if not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot name a camera',
            "names are 1 to 32 of a-z, 0-9, _ and -, starting with a letter or digit",
            "write NAME=SOURCE with such a name",
        )
    camera = _record(name, table)
    spec = camera.source.spec
    if spec.kind in ("rtsp", "http"):
        source_url.checked(spec.value)
    if spec.kind == "demo":
        parse_demo(spec.value)
    if camera.fast and spec.can_wait and "mode" not in table:
        camera = msgspec.structs.replace(camera, mode="every")
    # Whether the source of an HTTP address can pause is known only once it is opened.
    if camera.mode == "every" and not spec.can_wait and spec.kind != "http":
        raise UsageError(
            f"--mode every is not possible with {camera.source}",
            "a live stream cannot pause: frames that are not read in time are lost",
            "use --mode live, or record the stream and use the file",
        )
    _check_fields(camera, spec, given=table)
    if spec.kind in ("rtsp", "http") and "no_progress_s" not in table:
        camera = msgspec.structs.replace(camera, no_progress_s=_patience(camera))
    return _found(camera, spec)


def _record(name: str, table: dict[str, Any]) -> CameraSettings:
    """Convert field by field, so that an error names the wrong field and shows no other value."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key == "source":
            values[key] = _source(name, value)
        else:
            values[key] = converted(f"{key} of the camera {name}", value, CAMERA[key].kind)
    if "source" not in values:
        raise UsageError(
            f"the camera {name} has no source",
            f"a source is {source_spec.KNOWN}",
            'add a line like: source = "rtsp://..."',
        )
    return CameraSettings(**values)


def _source(name: str, value: Any) -> SourceText:
    if isinstance(value, SourceText):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return SourceText.found(source_spec.SourceSpec("webcam", str(value)))
    if not isinstance(value, str):
        raise UsageError(
            f"the source of the camera {name} is not text",
            f"a source is {source_spec.KNOWN}",
            'write it in quotes: source = "rtsp://..."',
        )
    return SourceText.found(source_spec.resolve(value))


def _found(camera: CameraSettings, spec: SourceSpec) -> CameraSettings:
    """The camera with an expanded path. Raises StartError for a path that looks like an option."""
    if spec.kind not in ("file", "pattern", "callable"):
        return camera
    value = spec.value
    if not source_spec.is_file(value):
        value = os.path.expanduser(value)  # noqa: PTH111 - `./` stays
    if value.startswith("-"):  # more likely an option than a file that does not exist yet
        _check_file(value)
    source = SourceText.found(source_spec.SourceSpec(spec.kind, value))
    return msgspec.structs.replace(camera, source=source)


def _missing(camera: CameraSettings) -> StartError | None:
    """Why the source cannot be opened, judging by its path; None: no problem found."""
    spec = camera.source.spec
    try:
        if spec.kind == "pattern":
            _check_pattern(Path(spec.value), str(camera.source))
        elif spec.kind == "callable":
            _check_file(source_spec.target(camera.source.reveal())[0])
        elif spec.kind == "file":
            _check_file(spec.value)
    except StartError as error:
        return error
    return None


# ---- checks of the fields -----------------------------------------------------------------------


def _check_fields(camera: CameraSettings, spec: SourceSpec, given: Container[str]) -> None:
    for key, option in CAMERA.items():
        option.check(getattr(camera, key), f"{key} of the camera {camera.name}")
    source_spec.parse_size(camera.max_size)
    if "transport" in given and spec.kind != "rtsp":
        raise UsageError(
            f"the camera {camera.name} has a transport and is no RTSP camera",
            f"its source is {camera.source}",
            "remove transport: it is for rtsp:// only",
        )
    if camera.backoff_cap_s < camera.backoff_first_s:
        raise UsageError(
            f"backoff_cap_s of the camera {camera.name} is less than its backoff_first_s",
            f"waits grow from {camera.backoff_first_s:g} s to {camera.backoff_cap_s:g} s",
            f"set backoff_cap_s to {camera.backoff_first_s:g} or more",
        )
    waits_s = 2 * max(camera.open_timeout_s, camera.read_timeout_s)
    if (
        spec.kind in ("rtsp", "http")
        and "no_progress_s" in given
        and camera.no_progress_s <= waits_s
    ):
        raise UsageError(
            f"no_progress_s of the camera {camera.name} cannot be {camera.no_progress_s:g}",
            f"its timeouts let it wait up to {waits_s:g} s, so it would be killed while it waits",
            f"remove it (the default is {_patience(camera):g} s), or choose more than {waits_s:g}",
        )


def _patience(camera: CameraSettings) -> float:
    """How long a capture may make no progress: more than OpenCV's wait of up to two timeouts."""
    return max(15.0, 2 * max(camera.open_timeout_s, camera.read_timeout_s) + 5.0)


def _check_pattern(pattern: Path, shown: str) -> None:
    if patterns.matching(pattern):
        return
    folder = patterns.folder(pattern)
    place = source_spec.printable(str(folder.absolute()))
    raise StartError(
        f"no image matches {shown}",
        f"no file below {place} has such a name" if folder.is_dir() else f"there is no {place}",
        "check the folder and the pattern: * is any text, %d a number, ** any folders",
    )


def _check_file(path: str) -> None:
    """Raises StartError if it cannot be read. A named pipe is not opened, because its writer would
    see it being closed.
    """
    shown = source_spec.printable(path)
    if Path(path).is_dir():
        raise StartError(
            f"{shown} is a folder", "a source is one file", f"use a pattern: '{shown}/*.jpg'"
        )
    try:
        if Path(path).is_fifo() and os.access(path, os.R_OK):
            return
        with Path(path).open("rb"):
            return
    except OSError as error:
        if path in ("help", "version"):
            advice = f"did you mean `framefan --{path}`?"
        elif path.startswith("-"):
            advice = "put options before `--`: every word after it is a source"
        else:
            form = "the command `framefan {}`"
            advice = did_you_mean(path, COMMANDS, form, otherwise="check the path")
        why = error.strerror or str(error)
        raise StartError(f"cannot read the source {shown}", why, advice) from error


def converted(what: str, value: Any, kind: Any, strict: bool = True, shown: bool = True) -> Any:
    """`value` as a `kind`. Raises UsageError, which names `what`, and the value if `shown`."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        said = f": {value!r}" if shown else f" of type {type(value).__name__}"
        raise UsageError(f"{what} has a wrong value{said}", str(error), _may_be(kind)) from error


def _may_be(kind: Any) -> str:
    words = [word for each in (kind, *get_args(kind)) for word in _literal(each)]
    return f"it may be {' or '.join(words)}" if words else "use a value of that type"


def _literal(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()
