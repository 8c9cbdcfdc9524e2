"""Why a network camera does not open, though its port does: answered in reason codes.

OpenCV says only that it failed. So a plain request is sent after it; and the status line that comes
back decides. No text made here holds a user name or password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.base import clock
from framefan.errors import SourceError
from framefan_capture.network import request
from framefan_capture.network.request import shown

if TYPE_CHECKING:
    from framefan.settings.source_url import SourceUrl
    from framefan_capture.network.request import Answer

_LIMIT_S = (0.5, 2.0)
"""The least and the most that asking may take."""


def explain(url: SourceUrl, timeout_s: float) -> SourceError:
    """What is wrong with a camera that takes connections, from its answer to a plain request."""
    least_s, most_s = _LIMIT_S
    until = clock.now() + max(least_s, min(timeout_s, most_s))
    try:
        found = request.reach_answer(url, until)
    except SourceError as error:
        return error
    if found is not None:
        found.talk.close()
    return verdict(url, found.answer if found is not None else None)


def verdict(url: SourceUrl, answer: Answer | None) -> SourceError:
    """What such an answer, or none, means for a camera that cannot be played."""
    name = shown(url)
    if answer is None:
        return SourceError(
            "unreadable",
            f"{name} cannot be played",
            "something answers there, but not as a camera does",
            "check the scheme, the port and the path in the URL",
        )
    why = f"it answered {answer.status}"
    if answer.status in (401, 403):
        what, fix = "did not let framefan in", "check the user name and password in the URL"
        return SourceError("unauthorised", f"{name} {what}", why, fix)
    if answer.status in (404, 410):
        what, fix = "does not exist on that camera", "check the path in the URL"
        return SourceError("not_found", f"{name} {what}", why, fix)
    if answer.status != 200:
        fix = "see what the camera's own log says; framefan tries again"
        return SourceError("unreadable", f"{name} cannot be played", why, fix)
    return SourceError(
        "unreadable",
        f"{name} cannot be played",
        "the camera answers, but OpenCV finds no video in what it sends",
        "check the path in the URL, and the camera's transport; ffprobe shows what is there",
    )
