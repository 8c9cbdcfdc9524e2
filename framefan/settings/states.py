"""The states of a camera and their reasons: one table for code, tests and docs.

    connecting --> live <--> frozen          backoff --> connecting
         ^          | ^                       ^   after a wait
         |          v |                       |
         |        stalled                 any other state, by a failure
         +--- any state, when its process is restarted

Capture reports the states that it observes. The pool detects that no frames arrive (stalled), that
the capture process is gone (connecting, backoff, failed), and that the frame size changed.
"""

from __future__ import annotations

from typing import NamedTuple

FLOWING = ("live", "frozen")
"""States in which frames arrive."""
STILL = "still"
"""The reason of `live` while the motion gate leaves frames out, and the cause of these frames."""


class State(NamedTuple):
    meaning: str
    reasons: tuple[str, ...]


_FAILURES = (
    "refused",
    "unauthorised",
    "not_found",
    "dns",
    "timeout",
    "closed",
    "corrupt",
    "unreadable",
    "unsupported",
    "too_large",
    "source_failed",
    "decoder_died",
    "no_progress",
    "unknown",
)

STATES = {
    "connecting": State("its source is being opened", ("", "restarting")),
    "live": State("frames arrive", ("", "size_changed", STILL)),
    "stalled": State("it should be live, but no frame has arrived for a while", ("no_frame",)),
    "frozen": State("frames arrive, and all show the same picture", ("same_picture",)),
    "backoff": State("it failed; the next attempt is at the announced time", _FAILURES),
    "ended": State("its file has ended, or the camera was removed", ("", "removed")),
    "failed": State(
        "its process keeps ending; one attempt per minute", ("crash_loop", "unplayable")
    ),
}

REASONS = {
    "refused": "nothing listens on that port",
    "unauthorised": "the user name or password is wrong or missing",
    "not_found": "the stream, file, image or device does not exist",
    "dns": "the host does not exist, or no name server answers",
    "timeout": "the camera cannot be reached, does not answer, or has stopped sending",
    "closed": "the camera ended the stream, or accepts a connection and closes it",
    "corrupt": "pictures cannot be decoded, one after another",
    "unreadable": "it answers, but not with a playable video",
    "unsupported": "its pictures have a format that cannot be converted to BGR",
    "too_large": "its pictures do not fit into the available memory",
    "source_failed": "the function of a py: source raised, or returned no picture",
    "decoder_died": "its process ended, usually inside the decoder",
    "no_progress": "its process made no progress and was killed",
    "unknown": "any other error; see the message",
    "restarting": "its process is being restarted",
    "size_changed": "frames have another size than before",
    "still": "nothing moves, so its frames are not predicted",
    "no_frame": "no frame within stalled_s",
    "same_picture": "the same picture for frozen_s",
    "crash_loop": "its process ended too often within a minute",
    "unplayable": "the source cannot be played at all; see the message",
    "removed": "it was removed from the configuration",
}

REMEDIES = {
    "refused": "check the port, and that the camera's service is on",
    "unauthorised": "check the user name and password; write special characters of them as %XX",
    "not_found": "check the path in the address, the file's name or the webcam's number",
    "dns": "check the name, or use the camera's IP address",
    "timeout": "check that the camera is on and reachable from here",
    "closed": "check whether others use the camera: many serve only a few clients at a time",
    "corrupt": "check the network to the camera; ffprobe shows what it sends",
    "unreadable": "check the scheme, the port and the path; ffprobe shows what is there",
    "unsupported": "set the camera to 8-bit colour or grey",
    "too_large": "set the camera to a smaller picture, or set max_size in a file for --config",
    "source_failed": "fix that line of your function",
    "decoder_died": "see the lines above; set the camera to another format, such as H.264",
    "no_progress": "find out what its source waits for; no_progress_s in a file allows more time",
    "unknown": "run `framefan doctor` with the same source",
    "crash_loop": "see the lines above, and run `framefan doctor` with the same source",
    "unplayable": "check that it is what you meant; run `framefan doctor` to find out more",
}
"""What the user can do, for each reason of backoff and failed."""

LASTING = (
    "refused",
    "unauthorised",
    "not_found",
    "dns",
    "unreadable",
    "unsupported",
    "too_large",
    "source_failed",
)
"""Reasons that rarely disappear by themselves within seconds."""
