"""Declares every option that has a flag, each once, and the type `Option` for declarations.

An option is a field whose type is annotated with an `Option`. Flags, help, FRAMEFAN_* variables,
keys of the TOML file, checks of values, notes of `framefan reload`, and docs/cli.md and
docs/configuration.md are all derived from these fields. Options without a flag (limits, and most
keys of a camera) are declared in the same way in run.py.

This module must not import msgspec, because the import would slow down `framefan --help`. The
classes here are plain at run time, and run.py turns them into records.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_origin, get_type_hints

from framefan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Struct
else:

    class Struct:
        """Accepts the class arguments of msgspec.Struct and ignores them."""

        def __init_subclass__(cls, **_: object) -> None: ...


ENV = "FRAMEFAN_"
Mode = Literal["live", "every"]
Gate = Literal["off", "motion"]
Words = tuple[str, ...]
PREDICTOR_FORMS = "a built-in name, package.module:Name, path/to/file.py:Name or onnx:PATH"
GROUPS = CAMERAS, RUNS, SERVED, HOW = "Cameras", "What runs", "Where it is served", "How it runs"
"""Groups of flags, in the order of the help."""
_UNITS = {
    "_per_s": "messages per second",
    "_fps": "frames per second",
    "_ms": "milliseconds",
    "_s": "seconds",
    "_bytes": "bytes",
}


class Option(NamedTuple):
    """The declaration of an option, in addition to the field's name, type and default."""

    help: str
    group: str = ""
    """One of GROUPS; empty if it has no flag."""
    least: float = 0
    most: float = math.inf
    """Inclusive bounds of a number, which must also be finite."""
    short: str = ""
    """A second, short flag."""
    metavar: str = ""
    """Placeholder for the value in the help."""
    can_negate: bool = False
    """Whether there is a `--no-...` flag."""
    hidden_as: str = ""
    """The name that `reload` shows instead of the values; empty if the values may be shown."""
    is_live: bool = False
    """Whether `framefan reload` applies it at once; else it takes effect at the next start."""
    in_once: bool = False
    """Whether `framefan once` accepts it too."""
    field: str = ""
    """The Settings field that it sets; `options_of` fills it in if the names are equal."""
    shown_default: str = ""
    """The default as the help shows it, where the real default is not informative."""
    key: str = ""
    """`options_of` fills in this field and the next two."""
    kind: Any = None
    default: Any = None

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENV + self.key.upper()

    @property
    def unit(self) -> str:
        """The unit, derived from the end of the field's name; empty if it has none."""
        return next((unit for end, unit in _UNITS.items() if self.field.endswith(end)), "")

    @property
    def range(self) -> str:
        """The allowed numbers, as text; empty for options that are not numbers."""
        if self.kind not in (int, float):
            return ""
        least, most = number(self.least), number(self.most)
        return f"{least} or more" if self.most == math.inf else f"{least} to {most}"

    def check(self, value: Any, what: str = "") -> None:
        """Raises UsageError, which names `what`, for a number out of range."""
        if not self.range or (self.least <= value <= self.most and value < math.inf):
            return
        why = f"it is finite and {self.range}"
        if self.most < math.inf:
            why = f"it lies between {number(self.least)} and {number(self.most)} {self.unit}"
        raise UsageError(
            f"{what or self.flag} cannot be {number(value)}", why.rstrip(), "choose another"
        )


def number(value: float) -> str:
    """A number as text: all digits of a size, no trailing zeros."""
    return f"{value:.10g}"


def options_of(record: type) -> dict[str, Option]:
    """The options among the fields of a record or of one of the classes below, by key."""
    defaults: Mapping[str, Any] = {}
    if names := getattr(record, "__struct_fields__", None):
        defaults = dict(zip(names, record.__struct_defaults__, strict=True))  # type: ignore[attr-defined]
    found = {}
    for key, hint in get_type_hints(record, include_extras=True).items():
        if get_origin(hint) is Annotated:
            said: Option = hint.__metadata__[0]
            default = defaults[key] if names else getattr(record, key)
            own = {"key": key, "kind": hint.__origin__, "default": default}
            found[key] = said._replace(field=said.field or key, **own)
    return found


class PredictorOptions(Struct, frozen=True, kw_only=True):
    """Fields of Settings, set for the run or for one predictor in its `[[predictor]]` table."""

    workers: Annotated[
        int, Option("Worker processes; more for a slow predict.", RUNS, 1, 256, "-w", is_live=True)
    ] = 2
    predictor: Annotated[
        str,
        Option(
            f"Predictor: {PREDICTOR_FORMS}.",
            RUNS,
            short="-p",
            metavar="REF",
            is_live=True,
            in_once=True,
        ),
    ] = "motion"
    track: Annotated[bool, Option("Add a track_id to each detection.", RUNS, in_once=True)] = False
    device: Annotated[
        str, Option("Device passed to the predictor: cpu, cuda:0.", RUNS, in_once=True)
    ] = ""
    reload: Annotated[bool, Option("Reload the predictor when its file changes.", RUNS)] = False


class RunOptions(PredictorOptions, frozen=True, kw_only=True):
    """Fields of Settings."""

    gateways: Annotated[
        int, Option("Gateway processes; more for many clients.", SERVED, 1, 32, is_live=True)
    ] = 1
    host: Annotated[
        str, Option("Address to listen on; non-loopback addresses need a token.", SERVED)
    ] = "127.0.0.1"
    port: Annotated[
        int, Option("Port of page and WebSocket; 0 takes a free port.", SERVED, most=65535)
    ] = 8765
    tls_cert: Annotated[str, Option("Certificate chain, PEM.", SERVED, metavar="FILE")] = ""
    tls_key: Annotated[str, Option("Key of the certificate, PEM.", SERVED, metavar="FILE")] = ""
    publish: Annotated[
        str,
        Option(
            "Publish results over ZeroMQ too: ipc://PATH or tcp://HOST:PORT; non-loopback "
            "addresses need keys.",
            SERVED,
            metavar="ENDPOINT",
        ),
    ] = ""
    name: Annotated[str, Option("Name of this run; must be unique.", HOW)] = "default"
    fail_fast: Annotated[
        bool, Option("End the run if a source cannot start; else the others run.", HOW)
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Option("Least severe messages to log.", HOW)
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Option("Format of the log; json is for programs.", HOW)
    ] = "text"


class CameraOptions(Struct, frozen=True, kw_only=True):
    """Fields of CameraSettings, set for all cameras or for one camera in its `[[camera]]` table."""

    mode: Annotated[
        Mode, Option("live: the newest frame. every: each frame (pausable sources only).", RUNS)
    ] = "live"
    fast: Annotated[
        bool, Option("Play files as fast as workers process them; implies mode every.", RUNS)
    ] = False
    loop: Annotated[bool, Option("Start a file again when it ends.", RUNS, can_negate=True)] = False
    gate: Annotated[
        Gate, Option("motion: frames in which nothing moves are not predicted.", RUNS)
    ] = "off"


class StartOptions:
    """Options that Settings keeps in another form, or that matter only at the start."""

    sources: Annotated[
        Words,
        Option(
            "demo[?size=1280x720&fps=30&seed=1], a number (webcam), a file, an image pattern, "
            "rtsp://, http(s):// or py:file.py:name. NAME=SOURCE names the camera.",
            CAMERAS,
            hidden_as="the sources",
            is_live=True,
            field="cameras",
            shown_default="demo",
        ),
    ] = ()
    token_file: Annotated[
        str,
        Option(
            "File with the token that clients must send; or set FRAMEFAN_TOKEN.",
            SERVED,
            metavar="FILE",
            hidden_as="the token",
            field="token",
        ),
    ] = ""
    origin: Annotated[
        Words,
        Option(
            "Another web origin that may connect; can be repeated.",
            SERVED,
            metavar="URL",
            field="origins",
        ),
    ] = ()
    publish_keys: Annotated[
        str,
        Option(
            "Folder with server.key_secret, and clients/ with the public keys of the readers.",
            SERVED,
            metavar="FOLDER",
            hidden_as="the keys of what is published",
        ),
    ] = ""
    open: Annotated[bool, Option("Open the page in a browser when it is ready.", SERVED)] = False
    config: Annotated[
        str, Option("TOML file with these options, [limits] and [[camera]].", HOW, metavar="FILE")
    ] = ""
    duration: Annotated[
        float,
        Option(
            "Stop after this many seconds; 0: run on.",
            HOW,
            most=1e9,
            metavar="SECONDS",
            field="duration_s",
        ),
    ] = 0.0


RUN = options_of(RunOptions)
ALL_CAMERAS = options_of(CameraOptions)
OPTIONS = dict(
    sorted(
        (RUN | ALL_CAMERAS | options_of(StartOptions)).items(),
        key=lambda each: GROUPS.index(each[1].group),
    )
)
"""All options with a flag, in the order of the help."""
