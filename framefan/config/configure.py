"""Turns flags, FRAMEFAN_* variables and a TOML file into one checked Settings record.

places.py reads the three places and decides which takes precedence. All later code gets the frozen
record.

Exit codes belong to the error types: malformed input is a UsageError; a file or certificate that
is well-formed but missing is a StartError.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.base import net
from framefan.config import predictor_settings, publish, small_file
from framefan.config.camera_settings import made_of, named
from framefan.config.options import Options, given
from framefan.config.places import LIMITS, Choices, merge
from framefan.errors import StartError, UsageError
from framefan.settings import predictor_ref
from framefan.settings.options import ALL_CAMERAS, OPTIONS, RUN
from framefan.settings.run import SOURCES_VARIABLE, TOKEN_VARIABLE, Limits, Settings
from framefan.settings.run import run_dir as folder
from framefan.settings.secret import Secret, SourceText

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@]+)/?")


def configure(
    sources: Sequence[str], options: Options, environment: Mapping[str, str]
) -> tuple[Settings, bool]:
    """The run's settings, and whether to open the page. Raises UsageError or StartError."""
    merged, _ = merge(said(sources, options), environment)
    return _settings(merged), _said(merged, "open")


def said(sources: Sequence[str], options: Options) -> dict[str, Any]:
    """The values of the command line, by the keys of OPTIONS."""
    return given(options) | ({"sources": list(sources)} if sources else {})


class Invocation(msgspec.Struct, frozen=True):
    """How the run was started: `framefan reload` repeats it with the file's new content."""

    given: tuple[str, ...]
    options: Options
    environment: dict[str, str]

    @property
    def config(self) -> str:
        return self.options.config or self.environment.get(OPTIONS["config"].variable, "").strip()

    @property
    def token_file(self) -> str:
        """The path of the token file, if one is used. Raises UsageError or StartError."""
        merged, _ = merge(said(self.given, self.options), self.environment)
        return str(merged.values.get("token_file", ""))

    def read_again(self) -> tuple[Settings, list[str]]:
        """The settings, and notes for the user. Raises UsageError or StartError.

        A start without cameras runs the demo. A reload without cameras is an error: the file is
        probably incomplete, or the wrong one.
        """
        if not self.config:
            raise UsageError(
                "this run was started without --config",
                "there is no file to read again",
                "write its cameras into a file, as [[camera]], and start it with --config FILE",
            )
        merged, file = merge(said(self.given, self.options), self.environment)
        named = self.given or self.environment.get(SOURCES_VARIABLE, "").strip()
        if file.is_empty or not (named or file.cameras or file.values.get("sources")):
            raise UsageError(
                f"{self.config} is empty" if file.is_empty else f"{self.config} names no camera",
                "it may be incomplete, so the run keeps its cameras",
                'write [[camera]] tables; for the demo: sources = ["demo"]',
            )
        notes = []
        if named and file.cameras:
            notes = [
                f"the sources given at the start override the [[camera]] tables of {self.config}"
            ]
        return _settings(merged), notes


# ---- the record ------------------------------------------------------------------------------


def _settings(choices: Choices) -> Settings:
    values = {key: _said(choices, key) for key in OPTIONS}
    for key, value in values.items():
        OPTIONS[key].check(value)
    for key, value in choices.limits.items():
        LIMITS[key].check(value, f"limits.{key}")
    check_predictor(values["predictor"])
    token = Secret(_token(choices.values))
    _check_host(values["host"], token)
    run_dir = folder(values["name"])
    limits = Limits(**choices.limits)
    has_own = "predictor" in choices.values
    predictors = predictor_settings.made_of(choices.predictors, values, limits, has_own)
    for each in predictors:
        check_predictor(each.predictor)
    cameras = made_of(_tables(choices), values["fail_fast"])
    settings = Settings(
        **{key: values[key] for key in RUN},
        run_dir=str(run_dir),
        publish_keys=publish.checked(values["publish"], values["publish_keys"], run_dir),
        cameras=predictor_settings.assign(cameras, predictors),
        predictors=predictors,
        token=token,
        origins=tuple(_origin(text, token) for text in values["origin"]),
        duration_s=values["duration"],
        limits=limits,
    )
    _readable("the certificate", settings.tls_cert)
    _readable("the certificate's key", settings.tls_key)
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError(
            "a certificate and its key go together",
            "only one is given",
            "give --tls-cert and --tls-key",
        )
    return settings


def _said(choices: Choices, key: str) -> Any:
    return choices.values.get(key, OPTIONS[key].default)


def check_predictor(text: str) -> None:
    """Check the reference without loading the predictor. Raises UsageError or StartError."""
    reference = predictor_ref.parse(text)
    if reference.kind == "onnx":
        model = predictor_ref.onnx_options(reference.target)
        _readable("the model", model.path)
        _readable("the labels", model.labels)
    if reference.kind == "file":
        _readable("the predictor", reference.target)


def _check_host(host: str, token: Secret) -> None:
    if not net.is_loopback(host) and not token:
        raise UsageError(
            f"--host {host} without a token",
            "anyone who can reach this machine could watch the cameras' results",
            "write a secret into a file and add --token-file FILE, or use --host 127.0.0.1",
        )


def _token(values: dict[str, Any]) -> str:
    """The token from the token file, or else from the environment."""
    path = values.get("token_file", "")
    if not path and "token" not in values:
        return ""
    where, text = f"the variable {TOKEN_VARIABLE}", values.get("token", "")
    if path:
        where, text = f"the token file {path}", _content("the token file", path)
    token = str(text).strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        make = "python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        raise StartError(
            f"{where} holds no token",
            "a token is one word of printable ASCII",
            f"make one: {make} > {path}" if path else f"make one: {make}",
        )
    return token


def _origin(text: str, token: Secret) -> str:
    """An origin as browsers send it. Raises UsageError for text that no browser would send."""
    if text in ("null", "file://"):  # the origin of pages opened from a file
        if not token:
            raise UsageError(
                f"--origin {text} without a token",
                "a page of any site can have that origin, in a sandboxed frame",
                "add --token-file FILE, or serve the page over http and allow its origin",
            )
        return text
    found = _ORIGIN.fullmatch(text)
    if not found:
        raise UsageError(
            f"--origin {text} is not an origin",
            "an origin is the beginning of a page's address, up to the port",
            "write it like https://example.org or http://localhost:3000",
        )
    return found[1].lower()


def _readable(what: str, path: str) -> None:
    """Raises StartError for a path that cannot be read; an empty path is fine.

    Several processes read the file, and a pipe gives its content only once.
    """
    if not path:
        return
    try:
        if Path(path).is_fifo():
            raise StartError(
                f"{what} is a pipe: {path}",
                "it is read more than once, and a pipe gives its content once",
                "write it into a file and name that file",
            )
        with Path(path).open("rb"):
            return
    except OSError as error:
        raise _unreadable(what, path, error) from error


def _content(what: str, path: str) -> str:
    """The text of a file, which may be a pipe. Raises StartError."""
    try:
        return small_file.read(path).decode("utf-8-sig", "replace")
    except OSError as error:
        raise _unreadable(what, path, error) from error


def _unreadable(what: str, path: str, error: OSError) -> StartError:
    return StartError(f"cannot read {what}: {path}", error.strerror or str(error), "check the path")


def _tables(choices: Choices) -> list[dict[str, Any]]:
    """The values for each camera, completed with the values for all cameras."""
    values = choices.values
    common = {key: values[key] for key in ALL_CAMERAS if key in values}
    if choices.cameras:
        return [common | table for table in choices.cameras]
    if not values.get("sources"):
        return [common | {"name": "demo", "source": SourceText("demo")}]
    return [common | named(text) for text in values["sources"]]
