"""One picture from each camera, taken as a run takes it: what `framefan doctor` says of them.

Each is tried in a process of its own (apart.py), which answers by one line of JSON.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from framefan.doctor.apart import ask
from framefan.errors import FramefanError, RunError
from framefan.secret import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from framefan.settings import CameraSettings

GRACE_S = 5.0
"""Beyond the camera's own timeouts: Python starts, and loads OpenCV."""
_AT_ONCE = 8
_CODE = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w", 1)
os.dup2(2, 1)  # what a function of the user's prints is no answer
import msgspec
from framefan import clock, host
from framefan.errors import FramefanError, SourceError
from framefan.settings import CameraSettings
from framefan_capture.kinds import make

def first(camera, source, until):
    while source.grab(0):
        try:
            return source.retrieve(None)
        except SourceError as error:
            if error.reason != "corrupt" or clock.now() > until:
                raise
    said = f"{camera.source} has no picture", "it ended before the first good one"
    raise SourceError("unreadable", *said, "check that it is what you meant")

host.die_with_parent(int(sys.argv[1]))
camera = msgspec.json.decode(sys.stdin.buffer.read(), type=CameraSettings)
began = clock.now()
try:
    source = make(camera)
    source.open()
    until = began + camera.open_timeout_s + camera.read_timeout_s
    height, width = first(camera, source, until).shape[:2]
except FramefanError as error:
    print(json.dumps({"error": [error.what, error.why, error.fix]}), file=answers)
else:
    seen = {"width": width, "height": height, "after_s": clock.now() - began}
    print(json.dumps(seen), file=answers)
    source.close()
os._exit(0)  # threads of a camera's SDK would keep it
"""


class Picture(msgspec.Struct, frozen=True):
    width: int
    height: int
    after_s: float


def take(cameras: Sequence[CameraSettings]) -> Iterator[Picture | FramefanError]:
    """What became of each, in their order; several are tried side by side."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(_take, cameras)


def _take(camera: CameraSettings) -> Picture | FramefanError:
    limit_s = camera.open_timeout_s + camera.read_timeout_s + GRACE_S
    answer = ask(["-c", _CODE], camera, limit_s)
    clean = Redaction(camera.source).clean
    if not answer.said:
        last = clean(answer.stderr).strip().splitlines()[-1:]
        ended = "".join(last) or f"without a word (exit code {answer.code})"
        return RunError(
            f"no picture within {limit_s:g} s",
            "it does not answer" if answer.code is None else f"its process ended: {ended}",
            "try it again; `framefan once` with it shows what a run makes of it",
        )
    facts = json.loads(answer.said)
    if "error" not in facts:
        return msgspec.convert(facts, Picture)
    return FramefanError(*map(clean, facts["error"]))
