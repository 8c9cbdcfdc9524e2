"""Opens one camera once in a process of its own, for `framefan doctor`.

    python -m framefan_capture.tryout PID   < CameraSettings as JSON   > one line of JSON

It opens the source as a run does, and prints the size of the first good picture, or the error.
Output of the user's code goes to stderr. The process ends when the process PID ends.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from framefan.base import clock, host
from framefan.errors import FramefanError, SourceError
from framefan.ipc.tryout import Failed, Picture
from framefan.settings.run import CameraSettings
from framefan_capture.kinds import make

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framefan_capture.source import Source


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)
    host.die_with_parent(int(sys.argv[1]))
    camera = msgspec.json.decode(sys.stdin.buffer.read(), type=CameraSettings)
    answer: Picture | Failed
    source: Source | None = None
    try:
        source = make(camera)
        answer = attempt(camera, source)
    except FramefanError as error:
        answer, source = Failed(error.what, error.why, error.fix), None
    answers.write(msgspec.json.encode(answer))
    if source is not None:
        source.close()
    os._exit(0)  # threads of a camera's SDK would keep the process alive


def attempt(camera: CameraSettings, source: Source) -> Picture:
    """Open `source` and return its first good picture. Raises FramefanError."""
    began = clock.now()
    source.open()
    until = began + camera.open_timeout_s + camera.read_timeout_s
    while source.grab(0):
        try:
            image = source.retrieve(None)
        except SourceError as error:
            if error.reason != "corrupt" or clock.now() > until:
                raise
        else:
            after_s = clock.now() - began
            return Picture(image.shape[1], image.shape[0], after_s, _jpeg(image))
    raise SourceError(
        "unreadable",
        f"{camera.source} has no good picture",
        "the source ended before the first one",
        "check that it is what you meant",
    )


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encode a picture as JPEG; b"" if that fails."""
    import cv2

    is_made, data = cv2.imencode(".jpg", image)
    return data.tobytes() if is_made else b""


if __name__ == "__main__":
    main()
