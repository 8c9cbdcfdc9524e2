"""From flags, FRAMEFAN_* variables and a TOML file to one Settings record, checked.

What each place says, and which is the strongest, is read in places.py; all that follow get the
frozen record.

Exit codes live in the error types: what is malformed is a UsageError, what is well-formed but not
there (a file, a certificate) a StartError.
"""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.base import net
from framefan.config import publish
from framefan.config.camera_settings import made_of, named
from framefan.config.options import Options
from framefan.config.places import ENV, Choices, merge
from framefan.errors import StartError, UsageError
from framefan.ipc.gateway_counts import MOST_GATEWAYS
from framefan.settings import predictor_ref
from framefan.settings.run import SOURCES_VARIABLE, TOKEN_VARIABLE, Limits, Settings, run_dir
from framefan.settings.secret import Secret, SourceText

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


def configure(
    given: Sequence[str], options: Options, environment: Mapping[str, str]
) -> tuple[Settings, bool]:
    """The run's settings, and whether to open the page. Raises UsageError or StartError."""
    merged, _ = merge(said(given, options), environment)
    return _settings(merged), bool(merged.values.get("open", False))


def said(given: Sequence[str], options: Options) -> dict[str, Any]:
    """What the command line says, by the keys of Options, and `sources`."""
    flags = {key: value for key, value in dataclasses.asdict(options).items() if value is not None}
    return flags | ({"sources": list(given)} if given else {})


class Invocation(msgspec.Struct, frozen=True):
    """How the run was started: `framefan reload` does it again, with what the file says by then."""

    given: tuple[str, ...]
    options: Options
    environment: dict[str, str]

    @property
    def config(self) -> str:
        return self.options.config or self.environment.get(f"{ENV}CONFIG", "").strip()

    @property
    def token_file(self) -> str:
        """Where the token comes from, if it is a file. Raises UsageError or StartError."""
        merged, _ = merge(said(self.given, self.options), self.environment)
        return str(merged.values.get("token_file", ""))

    def read_again(self) -> tuple[Settings, list[str]]:
        """The settings, and what a person should know. Raises UsageError or StartError.

        A start without cameras means the demo. A reload does not: the file of a run with cameras is
        then half written, or another one.
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
                "it may be half written, so the run keeps what it has",
                'write [[camera]] tables; for the demo: sources = ["demo"]',
            )
        notes = []
        if named and file.cameras:
            notes = [
                f"the sources given at the start go before {self.config}: its [[camera]] are unused"
            ]
        return _settings(merged), notes


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
    fail_fast = bool(values.get("fail_fast", False))
    folder = str(run_dir(name))
    published, keys = publish.asked(
        values.get("publish", ""), values.get("publish_keys", ""), folder
    )
    settings = Settings(
        name=name,
        run_dir=folder,
        cameras=made_of(_tables(choices), fail_fast),
        workers=check_workers(values.get("workers", defaults.workers)),
        gateways=check_gateways(values.get("gateways", defaults.gateways)),
        predictor=predictor,
        device=values.get("device", ""),
        publish=published,
        publish_keys=keys,
        track=values.get("track", False),
        reload=bool(values.get("reload", False)),
        fail_fast=fail_fast,
        host=host,
        port=int(_within("--port", values.get("port", defaults.port), 0, 65535)),
        token=token,
        tls_cert=_readable("the certificate", values.get("tls_cert", "")),
        tls_key=_readable("the certificate's key", values.get("tls_key", "")),
        origins=tuple(_origin(text, token) for text in values.get("origin", ())),
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
        where, text = f"the token file {path}", Path(path).read_text("utf-8-sig", "replace")
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
    """An origin as browsers send it. Raises UsageError for what no browser would."""
    if text in ("null", "file://"):  # of pages that were opened from a file
        if not token:
            raise UsageError(
                f"--origin {text} without a token",
                "pages of any site can have that origin, in a sandboxed frame",
                "add --token-file FILE, or serve the page over http and allow its origin",
            )
        return text
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
    if not values.get("sources"):
        return [common | {"name": "demo", "source": SourceText("demo")}]
    return [common | named(text) for text in values["sources"]]
