"""docs/configuration.md: every key and default, as `python tests/config_reference.py` writes it.

Meanings of options are those of the help; those of limits stand here, and a test sees that each
limit has one.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Literal, get_args, get_origin

import msgspec

from framefan.commands.cli import app
from framefan.config.camera_settings import _RANGES
from framefan.settings.run import TOKEN_VARIABLE, CameraSettings, Limits, Settings

RENAMED = {"origin": "origins", "duration": "duration_s"}
"""Options whose field of Settings has another name."""
OPTIONS: dict[str, str] = {
    "config": "no key of the file itself",
    "workers": "1 to 256",
    "port": "0 to 65535",
    "origin": "a list in the file, words in the variable",
    "duration": "seconds; 0: until stopped",
}
CAMERA: dict[str, str] = {
    "name": "1 to 32 of a-z, 0-9, `_` and `-`; `demo`, or `cam1` and so on, if left out",
    "source": "what is read, as on the command line; a whole number is a webcam",
    "mode": "`live`: always the newest frame; `every`: each frame of a source that waits",
    "fast": "as fast as frames are worked off; `mode` is then `every` unless it is given",
    "loop": "a file begins again when it ends",
    "max_fps": "frames beyond so many a second are left out before they are decoded; 0: none are",
    "max_size": "`1280x720`: larger pictures are scaled down to fit",
    "transport": "what RTSP carries its pictures over; for RTSP cameras alone",
    "open_timeout_s": "how long to wait for an answer",
    "read_timeout_s": "how long to wait for a picture",
    "stalled_s": "no frame for so long is told as `stalled`",
    "frozen_s": "the same picture for so long is told as `frozen`; 0: never",
    "no_progress_s": "a capture that stands still for so long is killed; left out for a network "
    "camera with long timeouts, it is twice the longer one and 5 more",
    "backoff_first_s": "the first wait after a failure; waits double from it",
    "backoff_cap_s": "the longest wait between two tries; not less than `backoff_first_s`",
}
LIMITS: dict[str, str] = {
    "spare_slots": "frames of each camera that fit in memory, beyond one for each worker",
    "order_wait_s": "in `live`, how long a result waits for an earlier one before that is lost as "
    "`late`; twice the recent p95 of predict, if that is longer",
    "worker_start_s": "a worker that is not ready after so long is killed",
    "predict_s": "a worker whose `predict` takes longer is killed; its frame "
    "is lost as `predict_timeout`",
    "batch_wait_ms": "a frame waits no longer for others to share a call of "
    "`predict_batch`; 0: not at all",
    "circuit_deaths": "workers that end with frames of one camera in hand before "
    "it is left out; 0: never",
    "circuit_within_s": "the time within which those deaths are counted",
    "circuit_retry_s": "how long a camera is left out before one frame is tried",
    "worker_memory_bytes": "a worker that has more, without shared memory, is replaced; 0: none is",
    "no_progress_s": "a gateway or pool that stands still for so long is killed",
    "restarts": "a process that ends so often within `restarts_within_s` has failed",
    "restarts_within_s": "the time within which restarts are counted; a failed "
    "process is tried again after it",
    "restart_first_s": "the first wait before a restart; waits double from it",
    "restart_cap_s": "the longest wait before a restart",
    "result_bytes": "what `predict` returns may not be larger; else it is an error, `too_large`",
    "bus_hwm": "messages that the bus keeps for a reader that is behind",
    "picture_bytes": "pictures that the pool keeps for each reader of the bus that is behind; no "
    "picture is larger than a quarter of it",
    "grace_s": "how long a stop waits before it kills",
    "every_messages": "messages that an `every` client may be behind",
    "every_bytes": "bytes that an `every` client may be behind",
    "history_s": "how long results are kept for clients that come late or come back",
    "history_bytes": "how much of each camera is kept for them, in each gateway",
    "stall_s": "a client that has bytes waiting and takes none for so long is disconnected",
    "silence_s": "a client of which nothing came for so long, no pong either, is closed with 4409",
    "unsent_bytes": "bytes of one client that the kernel may hold unsent",
    "client_buffer_bytes": "answers that may wait for a client that does not read them",
    "gateway_buffer_bytes": "what may wait for all clients of the run; beyond it those furthest "
    "behind are disconnected",
    "inbound_bytes": "the largest message of a client",
    "inbound_per_s": "messages a second that a client may send",
    "handshake_s": "the time for a handshake, and again for a token in the first message",
    "max_clients": "clients of the run at once; fewer where the system allows fewer open files",
    "clients_per_address": "clients of the run at once from one address; 0: as many as may be",
    "max_handshakes": "connections that may be silent for longer than a second before they ask, "
    "or before they show their token; above it the oldest goes",
    "state_every_s": "how often the pool tells its state",
    "state_lost_s": "no state for so long is told as `silent`",
}
SOURCES = (
    "| `sources` | `FRAMEFAN_SOURCES` | `demo` | What is read, where there are no `[[camera]]` "
    "tables (a list in the file, words in the variable) |"
)
HEAD = """# Configuration

Every setting has a default, and three places to be set in. The nearer one wins: a flag
([cli.md](cli.md)), then a variable, then the file. Times are seconds and sizes bytes unless a name
says otherwise. Written by `python tests/config_reference.py`; a test compares.

    framefan run --config framefan.toml

```toml
workers = 4
predictor = "model.py:predict"

[limits]
history_s = 120

[[camera]]
name = "front"
source = "rtsp://user:password@10.0.0.5/live"
max_fps = 10
```

- A key or variable that framefan does not know is refused, with the nearest one that it knows.
- An empty variable counts as not set, except `FRAMEFAN_TOKEN`. A value that a nearer place
  overrides is not checked.
- The file is UTF-8, with or without a byte order mark, with any line ends.
- `framefan reload` refuses a file that is empty or names no camera, because it may be half written.
  A file that means the demo says so: `sources = ["demo"]`.
- A source that cannot be played (a file that is not there) is shown as `failed` and tried again
  each minute; the other cameras run. If none can be played, or with `fail_fast`, the run does not
  start.
- Options may have `-` for `_` in the file, too. Paths are as seen from the folder of the start.
- Sources on the command line or in `FRAMEFAN_SOURCES` take the place of all `[[camera]]` tables.
- `mode`, `fast` and `loop` beside the tables hold for each camera that does not say otherwise.
- `framefan reload` reads the file again. Cameras, `workers`, `gateways` and `predictor` change at
  once, other keys at the next start.
- Words in a variable are parted as a shell does it: `FRAMEFAN_SOURCES="front=rtsp://cam/a b.mp4"`.
- Yes and no are `true` and `false` in the file, and `1` and `0` in variables as well.

## Options

"""
VARIABLES = """
## Variables of their own

| variable | meaning |
|---|---|
| `{token}` | the token itself, where `token_file` names none |
| `FRAMEFAN_TEST_...` | left to framefan's own tests |
| `XDG_RUNTIME_DIR` | where a run has its sockets, in `framefan/NAME`; else `/tmp/framefan-UID` |

Any other variable that begins with `FRAMEFAN_` and stands in no table here is an error. Variables
that Kubernetes makes of a Service called `framefan` or `framefan-...` (`FRAMEFAN_SERVICE_HOST`,
`FRAMEFAN_PORT=tcp://...`) are left out, if all of that Service's are there. `enableServiceLinks:
false` in the pod keeps them away.
"""


def page() -> str:
    """docs/configuration.md."""
    lines = ["| key | variable | default | meaning |", "|---|---|---|---|", SOURCES]
    lines += map(_option, _options())
    lines += ["", "`token` is no key of the file: `token_file` names a file that holds it."]
    lines += [
        "",
        "## Cameras",
        "",
        "Each `[[camera]]` table; [cameras.md](cameras.md) tells more.",
        "",
    ]
    lines += ["| key | default | may be | meaning |", "|---|---|---|---|"]
    lines += [_camera(field) for field in msgspec.structs.fields(CameraSettings)]
    lines += [
        "",
        "## Limits",
        "",
        "The table `[limits]`, or `FRAMEFAN_LIMITS_GRACE_S=3`. None is negative; 0 switches off",
        "only what says so.",
        "",
    ]
    lines += ["| key | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(Limits):
        lines.append(f"| `{field.name}` | {_shown(field.default)} | {LIMITS[field.name]} |")
    return HEAD + "\n".join(lines) + "\n" + VARIABLES.format(token=TOKEN_VARIABLE)


def _options() -> list[Any]:
    shown = app["run"].assemble_argument_collection()
    return [each for each in shown if each.show and each.index is None]


def _option(argument: Any) -> str:
    key = argument.field_info.name
    meaning = re.sub(r" *\[[^\[\]]*\]$", "", str(argument.parameter.help))
    choices = [c for k in get_args(argument.hint) if get_origin(k) is Literal for c in get_args(k)]
    may_be = OPTIONS.get(key) or " or ".join(f"`{each}`" for each in choices)
    told = f"{meaning} ({may_be})" if may_be else meaning
    return f"| `{key}` | `FRAMEFAN_{key.upper()}` | {_shown(_default(key))} | {told} |"


def _default(key: str) -> Any:
    field = RENAMED.get(key, key)
    for record in (Settings(), CameraSettings(name="", source=msgspec.UNSET)):  # type: ignore[arg-type]
        if hasattr(record, field):
            return getattr(record, field)
    return False if key == "open" else ""


def _camera(field: msgspec.structs.FieldInfo) -> str:
    may_be = ""
    if field.name in _RANGES:
        least, most, _ = _RANGES[field.name]
        may_be = f"{least:g} to {most:g}"
    elif get_origin(field.type) is Literal:
        may_be = ", ".join(f"`{each}`" for each in get_args(field.type))
    elif field.type is bool:
        may_be = "`true`, `false`"
    default = "" if field.default is msgspec.NODEFAULT else _shown(field.default)
    return f"| `{field.name}` | {default} | {may_be} | {CAMERA[field.name]} |"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"{value:g}" if value < 1024 else str(int(value))
    return f"`{value}`" if value else ""


if __name__ == "__main__":
    sys.stdout.write(page())
