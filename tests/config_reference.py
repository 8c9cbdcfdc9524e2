"""docs/configuration.md: every key and default, as `python tests/config_reference.py` writes it."""

from __future__ import annotations

import sys
from typing import Any, Literal, get_args, get_origin

from msgspec import NODEFAULT

from framefan.config.camera_settings import CAMERA
from framefan.config.places import LIMITS
from framefan.config.predictor_settings import PREDICTOR
from framefan.settings.options import OPTIONS, Option, number
from framefan.settings.run import TOKEN_VARIABLE

HEAD = """# Configuration

Every option has a default and can be set in three places: by a flag ([cli.md](cli.md)), by a
variable, or in the file. A flag overrides a variable, and a variable overrides the file. The end of
a key is its unit: `_s` seconds, `_ms` milliseconds, `_bytes` bytes. Written by
`python tests/config_reference.py`; a test compares.

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

- An unknown key or variable is an error, which names the nearest known one.
- Variables count for `run`, `doctor` and `once`. `once` reads no file and ignores what says where
  a run is served.
- An empty variable counts as not set, except `FRAMEFAN_TOKEN`. An overridden value is not checked.
- The file is UTF-8, with or without a byte order mark, with any line ends.
- `framefan reload` refuses a file that is empty or names no camera, because it may be incomplete.
  To run the demo, write `sources = ["demo"]`.
- A source that cannot be opened (such as a missing file) is shown as `failed` and tried again each
  minute; the other cameras run. If no source can be opened, or with `fail_fast`, the run does not
  start.
- `-` and `_` are the same in keys. Relative paths start at the folder where framefan was started.
- Sources on the command line or in `FRAMEFAN_SOURCES` replace all `[[camera]]` tables.
- Instead of the key `predictor`, the file may have `[[predictor]]` tables: several predictors.
- `mode`, `fast` and `loop` outside the tables apply to each camera that does not set them itself.
- `framefan reload` reads the file again. It applies changed cameras, {live} at once;
  other keys take effect at the next start. What `scale` or `swap` changed meanwhile stays, and a
  note says so.
- Lists in a variable are split as in a shell: `FRAMEFAN_SOURCES="front=rtsp://cam/a b.mp4"`.
- A switch is `true` or `false` in the file; in variables, `1` and `0` work as well.
- A number is finite and not negative. 0 means "off" or "no limit" only where the table says so.

## Options

"""
VARIABLES = """
## Other variables

| variable | meaning |
|---|---|
| `{token}` | the token itself, if `token_file` is not set |
| `FRAMEFAN_TEST_...` | used by framefan's tests |
| `XDG_RUNTIME_DIR` | a run's sockets are in its `framefan/NAME`; default `/tmp/framefan-UID` |

Any other variable that begins with `FRAMEFAN_` and is in no table here is an error. Kubernetes sets
such variables for a Service called `framefan` or `framefan-...` (`FRAMEFAN_SERVICE_HOST`,
`FRAMEFAN_PORT=tcp://...`). framefan ignores them if the set for that Service is complete.
`enableServiceLinks: false` in the pod turns them off.
"""


def page() -> str:
    """docs/configuration.md."""
    live = [key for key, option in OPTIONS.items() if option.is_live and key != "sources"]
    lines = ["| key | variable | default | may be | meaning |", "|---|---|---|---|---|"]
    lines += [_row(each, f"`{each.variable}`") for each in OPTIONS.values()]
    lines += [
        "",
        "The file has no keys `config` and `token`; `token_file` names the file with the token.",
    ]
    lines += [
        "",
        "## Cameras",
        "",
        "Keys of each `[[camera]]` table; see [cameras.md](cameras.md).",
    ]
    lines += ["", "| key | default | may be | meaning |", "|---|---|---|---|"]
    lines += map(_row, CAMERA.values())
    lines += [
        "",
        "## Predictors",
        "",
        "Keys of each `[[predictor]]` table; what it does not set is as for the run. See",
        "[several-predictors.md](howto/several-predictors.md).",
        "",
        "| key | may be | meaning |",
        "|---|---|---|",
    ]
    lines += [_row(each, has_default=False) for each in PREDICTOR.values()]
    lines += ["", "## Limits", "", "The table `[limits]`, or `FRAMEFAN_LIMITS_GRACE_S=3`.", ""]
    lines += ["| key | default | may be | meaning |", "|---|---|---|---|"]
    lines += map(_row, LIMITS.values())
    head = HEAD.format(live=", ".join(f"`{key}`" for key in live))
    return head + "\n".join(lines) + "\n" + VARIABLES.format(token=TOKEN_VARIABLE)


def _row(option: Option, *more: str, has_default: bool = True) -> str:
    default = (option.shown_default or _shown(option.default),) if has_default else ()
    cells = (f"`{option.key}`", *more, *default, _may_be(option.kind) or option.range, option.help)
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"


def _may_be(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list; words in the variable"
    return "`true`, `false`" if kind is bool else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return number(value)
    return f"`{value}`" if value and value is not NODEFAULT else ""


if __name__ == "__main__":
    sys.stdout.write(page())
