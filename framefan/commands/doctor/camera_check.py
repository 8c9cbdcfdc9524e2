"""The check of cameras in `framefan doctor`: takes one picture from each, as a run would.

Each camera is tested in a separate process (isolated.py), which answers with one line of JSON.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from framefan.commands.doctor.isolated import ask
from framefan.errors import FramefanError, RunError
from framefan.ipc.tryout import Failed, Picture
from framefan.settings.secret import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from framefan.settings.run import CameraSettings

GRACE_S = 5.0
"""Extra time beyond the camera's own timeouts, in which Python starts and loads OpenCV."""
_AT_ONCE = 8
_MODULE = "framefan_capture.tryout"


def take(cameras: Sequence[CameraSettings]) -> Iterator[Picture | FramefanError]:
    """The outcome for each camera, in order; several are tested in parallel."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(_take, cameras)


def _take(camera: CameraSettings) -> Picture | FramefanError:
    limit_s = camera.open_timeout_s + camera.read_timeout_s + GRACE_S
    answer = ask(["-m", _MODULE], camera, limit_s)
    clean = Redaction(camera.source).clean
    if not answer.said:
        last = clean(answer.stderr).strip().splitlines()[-1:]
        ended = "".join(last) or f"without a message (exit code {answer.code})"
        return RunError(
            f"no picture within {limit_s:g} s",
            "it does not answer" if answer.code is None else f"its process ended: {ended}",
            "try again; `framefan once` with this source shows what a run does with it",
        )
    told = msgspec.json.decode(answer.said, type=Picture | Failed)
    if isinstance(told, Picture):
        return told
    return FramefanError(clean(told.what), clean(told.why), clean(told.fix))
