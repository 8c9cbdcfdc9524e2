"""Every option of a run, once: its name, type and help, for flags, environment and file alike.

`None` means "not given here": configure.py merges the places and knows the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cyclopts import Token

_WHAT = Group("What runs", sort_key=1)
_WHERE = Group("Where it is served", sort_key=2)
_HOW = Group("How it runs", sort_key=3)


def whole(_type: Any, tokens: Sequence[Token]) -> int:
    """A whole number. Left to itself, cyclopts rounds 1.9 to 2. Raises ValueError."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'"{tokens[0].value}" is no whole number') from None


def _flag(
    help_: str,
    group: Group,
    *names: str,
    metavar: str | None = None,
    converter: Callable[[Any, Sequence[Token]], Any] | None = None,
) -> Parameter:
    return Parameter(
        name=names or None,
        help=help_,
        group=group,
        negative="",
        metavar=metavar,
        show_default=False,
        converter=converter,
    )


@dataclass(frozen=True, kw_only=True)
class Options:
    workers: Annotated[
        int | None,
        _flag(
            "Predictor processes; more for a slow predict.  [2]",
            _WHAT,
            "--workers",
            "-w",
            converter=whole,
        ),
    ] = None
    gateways: Annotated[
        int | None,
        _flag(
            "Processes that serve clients; more for thousands of them.  [1]",
            _WHERE,
            converter=whole,
        ),
    ] = None
    predictor: Annotated[
        str | None,
        _flag(
            "A built-in name, package.module:Name, path/to/file.py:Name or onnx:PATH.  [motion]",
            _WHAT,
            "--predictor",
            "-p",
            metavar="REF",
        ),
    ] = None
    mode: Annotated[
        Literal["live", "every"] | None,
        _flag(
            "live: always the newest frame. every: each frame; sources that wait.  [live]", _WHAT
        ),
    ] = None
    fast: Annotated[
        bool | None,
        _flag(
            "Play files as fast as frames are worked off, each of them unless mode is live.", _WHAT
        ),
    ] = None
    loop: Annotated[
        bool | None,
        Parameter(help="Start a file again when it ends.", group=_WHAT, show_default=False),
    ] = None
    track: Annotated[bool | None, _flag("Give detections a track_id.", _WHAT)] = None
    device: Annotated[
        str | None,
        _flag("Where the predictor computes, as it names it: cpu, cuda:0.", _WHAT),
    ] = None
    host: Annotated[
        str | None,
        _flag(
            "Address to listen on; others than this machine's need a token.  [127.0.0.1]", _WHERE
        ),
    ] = None
    port: Annotated[
        int | None,
        _flag("Port of page and WebSocket; 0 takes a free one.  [8765]", _WHERE, converter=whole),
    ] = None
    open: Annotated[bool | None, _flag("Open the page in a browser once it is there.", _WHERE)] = (
        None
    )
    token_file: Annotated[
        str | None,
        _flag(
            "File with the token that clients must show; or FRAMEFAN_TOKEN holds it.",
            _WHERE,
            metavar="FILE",
        ),
    ] = None
    tls_cert: Annotated[str | None, _flag("Certificate chain, PEM.", _WHERE, metavar="FILE")] = None
    tls_key: Annotated[str | None, _flag("Its private key, PEM.", _WHERE, metavar="FILE")] = None
    origin: Annotated[
        list[str] | None,
        _flag("A web origin that may connect too; can be repeated.", _WHERE, metavar="URL"),
    ] = None
    publish: Annotated[
        str | None,
        _flag(
            "Publish results over ZeroMQ as well: ipc://PATH or tcp://HOST:PORT; others than this "
            "machine's need keys.",
            _WHERE,
            metavar="ENDPOINT",
        ),
    ] = None
    publish_keys: Annotated[
        str | None,
        _flag(
            "Its server.key_secret, and clients/ with the public keys of who may read.",
            _WHERE,
            metavar="FOLDER",
        ),
    ] = None
    name: Annotated[
        str | None, _flag("Name of this run; one at a time has it.  [default]", _HOW)
    ] = None
    config: Annotated[
        str | None,
        _flag("TOML file with these options, [limits] and [[camera]].", _HOW, metavar="FILE"),
    ] = None
    duration: Annotated[
        float | None, _flag("Stop by itself after so long.", _HOW, metavar="SECONDS")
    ] = None
    fail_fast: Annotated[
        bool | None,
        _flag("End the run if a source cannot start; else the others run without it.", _HOW),
    ] = None
    reload: Annotated[
        bool | None, _flag("Swap the predictor for itself whenever its file changes.", _WHAT)
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        _flag("How much to tell.  [info]", _HOW),
    ] = None
    log_format: Annotated[
        Literal["text", "json"] | None, _flag("For people, or for machines.  [text]", _HOW)
    ] = None
