"""Every option that has a flag, each declared once, and what a declaration says.

An option is a field with an `Option` beside its type. Flags, help, FRAMEFAN_* variables, keys of
the TOML file, checks of values, notes of `framefan reload`, and docs/cli.md and
docs/configuration.md are all derived from these fields. Options without a flag (limits, and most
keys of a camera) are declared in the same way in run.py.

This module must not import msgspec, because `framefan --help` has no time for it: the classes here
are plain at run time, and run.py makes records of them.
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
        """Takes the arguments of msgspec's, and ignores them."""

        def __init_subclass__(cls, **_: object) -> None: ...


ENV = "FRAMEFAN_"
Mode = Literal["live", "every"]
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
    """What a field's declaration says of it, beside its name, type and default."""

    help: str
    group: str = ""
    """One of GROUPS; empty: it has no flag."""
    least: float = 0
    most: float = math.inf
    """Bounds of a number, both allowed; it is always finite."""
    short: str = ""
    """A second, short flag."""
    metavar: str = ""
    """What stands for the value in the help."""
    can_negate: bool = False
    """Whether there is a `--no-...` flag."""
    hidden_as: str = ""
    """What `reload` calls it instead of showing its values; empty: they may be shown."""
    is_live: bool = False
    """Whether `framefan reload` applies it at once; else it takes effect at the next start."""
    in_once: bool = False
    """Whether `framefan once` takes it too."""
    record_field: str = ""
    """The field of Settings that is made from it, where that has another name."""
    shown_default: str = ""
    """For people, where the default itself does not say it."""
    key: str = ""
    """This and the following: filled in by `options_of`."""
    kind: Any = None
    default: Any = None

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENV + self.key.upper()

    @property
    def field(self) -> str:
        """The field of Settings, if it has one."""
        return self.record_field or self.key

    @property
    def unit(self) -> str:
        """It is the end of the field's name."""
        return next((unit for end, unit in _UNITS.items() if self.field.endswith(end)), "")

    @property
    def range(self) -> str:
        """What a number may be, in words; empty for all else."""
        if self.kind not in (int, float):
            return ""
        if self.most == math.inf:
            return f"{number(self.least)} or more"
        return f"{number(self.least)} to {number(self.most)}"

    def check(self, value: Any, what: str = "") -> None:
        """Raises UsageError, which names `what`, for a number that is out of range."""
        if not self.range or (self.least <= value <= self.most and value < math.inf):
            return
        is_bounded = self.most < math.inf
        lies = f"between {number(self.least)} and {number(self.most)}" if is_bounded else self.range
        raise UsageError(
            f"{what or self.flag} cannot be {number(value)}",
            f"it lies {lies} {self.unit}".rstrip() if is_bounded else f"it is finite and {lies}",
            "choose another",
        )


def number(value: float) -> str:
    """A number for people: all digits of a size, no zeros behind the point."""
    return f"{value:.10g}"


def options_of(record: type) -> dict[str, Option]:
    """The options among the fields of a record or of a class below, by their keys."""
    defaults: Mapping[str, Any] = vars(record)
    if names := getattr(record, "__struct_fields__", None):
        defaults = dict(zip(names, record.__struct_defaults__, strict=True))  # type: ignore[attr-defined]
    return {
        key: hint.__metadata__[0]._replace(key=key, kind=hint.__origin__, default=defaults[key])
        for key, hint in get_type_hints(record, include_extras=True).items()
        if get_origin(hint) is Annotated
    }


class RunOptions(Struct, frozen=True, kw_only=True):
    """Fields of Settings."""

    workers: Annotated[
        int,
        Option(
            "Number of worker processes that run predict; increase it if predict is slow.",
            RUNS,
            least=1,
            most=256,
            short="-w",
            is_live=True,
        ),
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
        str, Option("Device passed to the predictor, such as cpu or cuda:0.", RUNS, in_once=True)
    ] = ""
    reload: Annotated[bool, Option("Reload the predictor when its file changes.", RUNS)] = False
    gateways: Annotated[
        int,
        Option(
            "Number of processes that serve clients; increase it for thousands of clients.",
            SERVED,
            least=1,
            most=32,
            is_live=True,
        ),
    ] = 1
    host: Annotated[
        str, Option("Address to listen on; non-loopback addresses need a token.", SERVED)
    ] = "127.0.0.1"
    port: Annotated[
        int, Option("Port of the page and the WebSocket; 0 takes a free port.", SERVED, most=65535)
    ] = 8765
    tls_cert: Annotated[str, Option("Certificate chain, PEM.", SERVED, metavar="FILE")] = ""
    tls_key: Annotated[str, Option("Key of the certificate, PEM.", SERVED, metavar="FILE")] = ""
    publish: Annotated[
        str,
        Option(
            "Also publish results over ZeroMQ, at ipc://PATH or tcp://HOST:PORT; non-loopback "
            "addresses need keys.",
            SERVED,
            metavar="ENDPOINT",
        ),
    ] = ""
    name: Annotated[str, Option("Name of this run; must be unique.", HOW)] = "default"
    fail_fast: Annotated[
        bool, Option("End the run if a source cannot start; else the others run without it.", HOW)
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Option("Least severe messages to log.", HOW)
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Option("Format of the log; json is for programs.", HOW)
    ] = "text"


class CameraOptions(Struct, frozen=True, kw_only=True):
    """Fields of CameraSettings: for all cameras, or for one in its own table of the file."""

    mode: Annotated[
        Mode,
        Option(
            "live: process the newest frame. every: process each frame (pausable sources only).",
            RUNS,
        ),
    ] = "live"
    fast: Annotated[
        bool,
        Option(
            "Play files as fast as workers can process them; implies every, unless mode is given.",
            RUNS,
        ),
    ] = False
    loop: Annotated[bool, Option("Start a file again when it ends.", RUNS, can_negate=True)] = False


class StartOptions:
    """What is given in one form and kept in another, or is of use at the start alone."""

    sources: Annotated[
        tuple[str, ...],
        Option(
            "demo[?size=1280x720&fps=30&seed=1], a number (webcam), a file, an image pattern, "
            "rtsp://, http(s):// or py:file.py:name. NAME=SOURCE names the camera.",
            CAMERAS,
            hidden_as="the sources",
            is_live=True,
            record_field="cameras",
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
            record_field="token",
        ),
    ] = ""
    origin: Annotated[
        tuple[str, ...],
        Option(
            "Another web origin that may connect; can be repeated.",
            SERVED,
            metavar="URL",
            record_field="origins",
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
            "Stop after this many seconds; 0: run until stopped.",
            HOW,
            most=1e9,
            metavar="SECONDS",
            record_field="duration_s",
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
"""All that have a flag, in the order of the help."""
