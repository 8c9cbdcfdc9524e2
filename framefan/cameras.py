"""From what a person said of each camera to its settings: names, sources, files looked for."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import msgspec

from framefan import sources
from framefan.errors import StartError, UsageError
from framefan.secret import SourceText
from framefan.settings import NAME, CameraSettings

COMMANDS = ("run", "doctor", "once", "status", "watch", "predictors")
"""Of the command line: one that was misspelt looks like a file that is not there."""


def made_of(tables: list[dict[str, Any]]) -> tuple[CameraSettings, ...]:
    """Keys of the tables are fields of CameraSettings. Raises UsageError or StartError."""
    tables = [dict(table) for table in tables]
    _fill_names(tables)
    cameras = tuple(_camera(table) for table in tables)
    names = [camera.name for camera in cameras]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f'two cameras are named "{name}"', "clients tell them by their names", "rename one"
            )
    return cameras


def named(text: str) -> dict[str, Any]:
    """The table of a SOURCE or NAME=SOURCE of the command line."""
    name, source = sources.split_name(text)
    return {"source": source} if name is None else {"name": name, "source": source}


def _fill_names(tables: list[dict[str, Any]]) -> None:
    """demo, demo2, ... and cam1, cam2, ... for those without a name."""
    demos = others = 0
    for table in tables:
        if "name" in table:
            continue
        source = table.get("source", "")
        if source == "demo" or str(source).startswith("demo?"):
            demos += 1
            table["name"] = f"demo{demos}" if demos > 1 else "demo"
        else:
            others += 1
            table["name"] = f"cam{others}"


def _camera(table: dict[str, Any]) -> CameraSettings:
    name = str(table["name"])
    if not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot name a camera',
            "names are 1 to 32 of a-z, 0-9, _ and -, starting with a letter or digit",
            "write NAME=SOURCE with such a name",
        )
    camera: CameraSettings = converted(f"the camera {name}", _with_secret(table), CameraSettings)
    spec = sources.parse(camera.source.reveal())
    if camera.mode == "every" and not spec.can_wait:
        raise UsageError(
            f"--mode every does not go with {camera.source}",
            "a live stream does not wait: what is not read in time is gone",
            "use --mode live, or record the stream and give the file",
        )
    if spec.kind in ("file", "pattern"):
        path = str(Path(spec.value).expanduser())
        _check_file(path, spec.kind)
        camera = msgspec.structs.replace(camera, source=SourceText(path))
    return camera


def _with_secret(table: dict[str, Any]) -> dict[str, Any]:
    source = table.get("source")
    return table | {"source": SourceText(source)} if isinstance(source, str) else table


def _check_file(path: str, kind: str) -> None:
    if kind == "pattern":
        import glob
        import re

        if not glob.glob(re.sub(r"%0?\d*d", "*", path)):  # noqa: PTH207 - patterns may be absolute
            raise StartError(
                f"no image matches {path}",
                "no file has such a name",
                "check the folder and the pattern",
            )
        return
    if Path(path).is_dir():
        raise StartError(
            f"{path} is a folder", "a source is one file", f"give a pattern: '{path}/*.jpg'"
        )
    try:
        with Path(path).open("rb"):
            return
    except OSError as error:
        advice = "check the path"
        if near := difflib.get_close_matches(path, COMMANDS, 1):
            advice = f"did you mean the command `framefan {near[0]}`?"
        raise StartError(
            f"cannot read the source {path}", error.strerror or str(error), advice
        ) from error


def converted(what: str, value: Any, kind: Any, strict: bool = True) -> Any:
    """`value` as that type. Raises UsageError, which names `what`."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{what} has a wrong value: {value!r}", str(error), "give it a value of that kind"
        ) from error
