"""Finds out why a network camera does not open although its port accepts connections.

OpenCV only reports that it failed. So a plain request is sent, and the status line of the response
determines the reason. No text from here contains a user name or password.
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
"""The least and the greatest time limit of the request."""


def explain(url: SourceUrl, timeout_s: float) -> SourceError:
    """The error of a camera that accepts connections, from its response to a plain request."""
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
    """The error that this response means, or that there is none."""
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
