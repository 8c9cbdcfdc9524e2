"""From flags, FRAMEFAN_* variables and a TOML file to one Settings record, checked.

The nearer to the person, the stronger: flag > environment > file > default. This is the only
place that reads the environment or the file; all that follow get the frozen record.

Exit codes live in the error types: what is malformed is a UsageError, what is well-formed but not
there (a file, a certificate) a StartError.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from framefan import listen, predictors, publish
from framefan.camera_settings import converted, made_of, named
from framefan.errors import StartError, UsageError
from framefan.gateway_counts import MOST_GATEWAYS
from framefan.options import Options
from framefan.secret import Secret
from framefan.settings import TOKEN_VARIABLE, CameraSettings, Limits, Settings, run_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ENV = "FRAMEFAN_"
_ENV_LIMITS = "limits_"
_ENV_OTHERS = "test_"
"""Variables with this after the prefix steer the test suite."""
_TYPES: dict[str, Any] = get_type_hints(Options) | {"sources": list[str]}
_LISTS = ("sources", "origin")
_CAMERA = tuple(CameraSettings.__struct_fields__)
_LIMITS = tuple(Limits.__struct_fields__)
_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@]+)/?")
_LEAST = {
    "bus_hwm": 1,  # ZeroMQ takes 0 for no bound at all
    "picture_bytes": 1 << 20,  # a quarter of it has to hold one picture
    "no_progress_s": 1,
    "predict_s": 0.01,
    "worker_start_s": 0.01,
    "state_every_s": 0.01,
}
"""Limits for which 0 would mean the opposite, or a run that kills its own processes."""


class Choices(msgspec.Struct):
    """What one place or all of them together say; keys are those of Options, and `sources`."""

    values: dict[str, Any] = msgspec.field(default_factory=dict)
    limits: dict[str, Any] = msgspec.field(default_factory=dict)
    cameras: list[dict[str, Any]] = msgspec.field(default_factory=list)


def configure(
    given: Sequence[str], options: Options, environment: Mapping[str, str]
) -> tuple[Settings, bool]:
    """The run's settings, and whether to open the page. Raises UsageError or StartError."""
    flags = {key: value for key, value in dataclasses.asdict(options).items() if value is not None}
    if given:
        flags["sources"] = list(given)
    merged = from_environment(environment)
    merged.values |= flags
    if path := merged.values.pop("config", None):
        file = from_file(path)
        merged.values = file.values | merged.values
        merged.limits = file.limits | merged.limits
        if "sources" not in merged.values:
            merged.cameras = file.cameras
    return _settings(merged), bool(merged.values.get("open", False))


class Invocation(msgspec.Struct, frozen=True):
    """How the run was started: `framefan reload` does it again, with what the file says by then."""

    given: tuple[str, ...]
    options: Options
    environment: dict[str, str]

    @property
    def config(self) -> str:
        return self.options.config or self.environment.get(_variable("", "config"), "")

    def read_again(self) -> tuple[Settings, list[str]]:
        """The settings, and what a person should know. Raises UsageError or StartError."""
        if not self.config:
            raise UsageError(
                "this run was started without --config",
                "there is no file to read again",
                "write its cameras into a file, as [[camera]], and start it with --config FILE",
            )
        settings, _ = configure(self.given, self.options, self.environment)
        return settings, self._notes()

    def _notes(self) -> list[str]:
        named = self.given or self.environment.get(_variable("", "sources"))
        file = from_file(self.config)
        if named and file.cameras:
            return [
                f"the sources given at the start go before {self.config}: its [[camera]] are unused"
            ]
        if not named and not file.cameras and "sources" not in file.values:
            return [f"{self.config} names no camera: that means the demo, as at the start"]
        return []


# ---- the places ------------------------------------------------------------------------------


def from_environment(environment: Mapping[str, str]) -> Choices:
    """FRAMEFAN_WORKERS=4, FRAMEFAN_SOURCES="a.mp4 b.mp4", FRAMEFAN_LIMITS_GRACE_S=3."""
    choices = Choices()
    for variable, text in environment.items():
        key = variable.removeprefix(ENV).lower()
        if not variable.startswith(ENV) or key.startswith(_ENV_OTHERS):
            continue
        if variable == TOKEN_VARIABLE:
            choices.values["token"] = text
            continue
        value: Any = text
        if key.startswith(_ENV_LIMITS):
            key = key.removeprefix(_ENV_LIMITS)
            _known(key, _LIMITS, f"the variable {variable}", lambda near: _variable("limits", near))
            choices.limits[key] = converted(variable, value, _limit_type(key), strict=False)
            continue
        _known(key, _TYPES, f"the variable {variable}", lambda near: _variable("", near))
        if key in _LISTS:
            value = _words(variable, text)
        choices.values[key] = converted(variable, value, _TYPES[key], strict=False)
    return choices


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


def from_file(path: str) -> Choices:
    """The same keys in TOML, `-` as good as `_`, and the tables [limits] and [[camera]]."""
    content = _underscored(path, _read_toml(path))
    choices = Choices()
    for key, value in _table(path, "limits", content.pop("limits", {})).items():
        _known(key, _LIMITS, f"the key limits.{key} in {path}")
        choices.limits[key] = converted(f"limits.{key} in {path}", value, _limit_type(key))
    cameras = content.pop("camera", [])
    if not isinstance(cameras, list):
        raise UsageError(
            f"camera in {path} is no list of tables",
            "there can be more than one camera",
            "write [[camera]]",
        )
    for camera in cameras:
        table = _table(path, "camera", camera)
        for key in table:
            _known(key, _CAMERA, f"the key camera.{key} in {path}")
        choices.cameras.append(table)
    usable = {*_TYPES, "limits", "camera"} - {"config"}  # one file does not name another
    for key, value in content.items():
        _known(key, usable, f"the key {key} in {path}")
        shown = key != "sources"  # which may hold passwords
        choices.values[key] = converted(f"{key} in {path}", value, _TYPES[key], shown=shown)
    return choices


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise StartError(
            f"cannot read the configuration {path}", error.strerror or "", "check its path"
        ) from error
    except ValueError as error:  # no TOML, or no text
        raise UsageError(f"{path} is not TOML", str(error), "mend that line") from error


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


# ---- the record ------------------------------------------------------------------------------


def _settings(choices: Choices) -> Settings:
    values = choices.values
    predictor = values.get("predictor", "motion")
    check_predictor(predictor)
    host = values.get("host", "127.0.0.1")
    token = Secret(_token(values))
    _check_host(host, token)
    defaults = Settings()
    name = values.get("name", defaults.name)
    folder = str(run_dir(name))
    published, keys = publish.asked(
        values.get("publish", ""), values.get("publish_keys", ""), folder
    )
    settings = Settings(
        name=name,
        run_dir=folder,
        cameras=made_of(_tables(choices)),
        workers=check_workers(values.get("workers", defaults.workers)),
        gateways=check_gateways(values.get("gateways", defaults.gateways)),
        predictor=predictor,
        device=values.get("device", ""),
        publish=published,
        publish_keys=keys,
        track=values.get("track", False),
        reload=bool(values.get("reload", False)),
        host=host,
        port=int(_within("--port", values.get("port", defaults.port), 0, 65535)),
        token=token,
        tls_cert=_readable("the certificate", values.get("tls_cert", "")),
        tls_key=_readable("the certificate's key", values.get("tls_key", "")),
        origins=tuple(_origin(text) for text in values.get("origin", ())),
        duration_s=_within("--duration", values.get("duration", 0.0), 0, 1e9),
        log_level=values.get("log_level", defaults.log_level),
        log_format=values.get("log_format", defaults.log_format),
        limits=_limits(choices.limits),
    )
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError(
            "a certificate and its key go together",
            "only one is given",
            "give --tls-cert and --tls-key",
        )
    return settings


def _within(what: str, value: Any, least: float, most: float) -> Any:
    if not least <= value <= most:
        raise UsageError(
            f"{what} cannot be {value:g}",
            f"it lies between {least:g} and {most:g}",
            "choose another",
        )
    return value


def _limits(values: dict[str, Any]) -> Limits:
    for key, value in values.items():
        least = _LEAST.get(key, 0)
        if not least <= value < math.inf:
            raise UsageError(
                f"limits.{key} cannot be {value:g}",
                "it is a size, a time or a number of things",
                f"choose one that is finite and {least:g} or more",
            )
    return Limits(**values)


def check_workers(number: int, where: str = "--workers") -> int:
    """Raises UsageError for a number of workers that a run cannot have."""
    return int(_within(where, number, 1, 256))


def check_gateways(number: int, where: str = "--gateways") -> int:
    """Raises UsageError for a number of gateways that a run cannot have."""
    return int(_within(where, number, 1, MOST_GATEWAYS))


def check_predictor(text: str) -> None:
    """What can be seen of it from outside. Raises UsageError or StartError."""
    reference = predictors.parse(text)
    if reference.kind == "onnx":
        model = predictors.onnx_options(reference.target)
        _readable("the model", model.path)
        _readable("the labels", model.labels)
    if reference.kind == "file":
        _readable("the predictor", reference.target)


def _check_host(host: str, token: Secret) -> None:
    if not listen.is_loopback(host) and not token:
        raise UsageError(
            f"--host {host} without a token",
            "whoever reaches this machine could watch the cameras' results",
            "write a secret into a file and add --token-file FILE, or use --host 127.0.0.1",
        )


def _token(values: dict[str, Any]) -> str:
    """The file's, or else the environment's."""
    path = values.get("token_file", "")
    if not path and "token" not in values:
        return ""
    where, text = f"the variable {TOKEN_VARIABLE}", values.get("token", "")
    if path:
        _readable("the token file", path)
        where, text = f"the token file {path}", Path(path).read_text(errors="replace")
    token = str(text).strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        make = "python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        raise StartError(
            f"{where} holds no token",
            "a token is one word of printable ASCII",
            f"make one: {make} > {path}" if path else f"make one: {make}",
        )
    return token


def _origin(text: str) -> str:
    """An origin as browsers send it. Raises UsageError for what no browser would."""
    found = _ORIGIN.fullmatch(text)
    if not found:
        raise UsageError(
            f"--origin {text} is no origin",
            "an origin is what a page's address begins with, up to the port",
            "write it like https://example.org or http://localhost:3000",
        )
    return found[1].lower()


def _readable(what: str, path: str) -> str:
    if not path:
        return ""
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise StartError(
            f"cannot read {what}: {path}", error.strerror or str(error), "check the path"
        ) from error


def _tables(choices: Choices) -> list[dict[str, Any]]:
    """What is said of each camera, with what is said of all of them filled in."""
    values = choices.values
    common = {key: values[key] for key in ("mode", "fast", "loop") if key in values}
    if choices.cameras:
        return [common | table for table in choices.cameras]
    return [common | named(text) for text in values.get("sources") or ["demo"]]
