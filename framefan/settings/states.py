"""The states of a camera, and the reasons they are in: one table for code, tests and docs.

    connecting --> live <--> frozen          backoff --> connecting
         ^          | ^                       ^   after a wait
         |          v |                       |
         |        stalled                 any of the others, by a failure
         +--- any, when its process is restarted

Capture reports the states that it observes. The pool detects that no frames arrive (stalled), that
the capture process is gone (connecting, backoff, failed), and that the frame size changed.
"""

from __future__ import annotations

from typing import NamedTuple

FLOWING = ("live", "frozen")
"""States in which frames arrive."""


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
    "live": State("frames come", ("", "size_changed")),
    "stalled": State("it should be live, and no frame has come for a while", ("no_frame",)),
    "frozen": State("frames come and all show the same picture", ("same_picture",)),
    "backoff": State("it failed and is tried again at the announced time", _FAILURES),
    "ended": State("its file has come to its end, or the camera was removed", ("", "removed")),
    "failed": State(
        "its process keeps ending; one more try each minute", ("crash_loop", "unplayable")
    ),
}

REASONS = {
    "refused": "nobody listens at that port",
    "unauthorised": "the user name or password is wrong or missing",
    "not_found": "there is no such stream, file, image or device",
    "dns": "there is no such host, or no name server answers",
    "timeout": "the camera cannot be reached, does not answer, or sends nothing any more",
    "closed": "the camera ended the stream, or takes a connection and closes it",
    "corrupt": "picture after picture cannot be decoded",
    "unreadable": "it answers, but not with a video that can be played",
    "unsupported": "its pictures have a format that cannot be turned into BGR",
    "too_large": "its pictures do not fit into the memory that is there",
    "source_failed": "the function of a py: source raised, or gave something that is no picture",
    "decoder_died": "its process ended, usually inside the decoder",
    "no_progress": "its process stood still and was killed",
    "unknown": "an error without a better name; the message says more",
    "restarting": "its process is being replaced by a new one",
    "size_changed": "frames have another size than before",
    "no_frame": "no frame within stalled_s",
    "same_picture": "the same picture for frozen_s",
    "crash_loop": "its process ended too often within a minute",
    "unplayable": "what it names cannot be played at all; the message says why",
    "removed": "the configuration does not hold it any more",
}

REMEDIES = {
    "refused": "check the port, and that the camera's service is on",
    "unauthorised": "check the user name and password; write special characters of them as %XX",
    "not_found": "check the path in the address, the file's name or the webcam's number",
    "dns": "check the name, or use the camera's IP address",
    "timeout": "check that the camera is on and reachable from here",
    "closed": "see whether others use the camera: many serve only a few at a time",
    "corrupt": "check the network on the way; ffprobe shows what the camera sends",
    "unreadable": "check the scheme, the port and the path; ffprobe shows what is there",
    "unsupported": "let the camera send pictures of 8 bits in colour or grey",
    "too_large": "set the camera to a smaller picture, or give max_size in a file with --config",
    "source_failed": "mend that line of your function",
    "decoder_died": "see the lines above; let the camera send another format, such as H.264",
    "no_progress": "look for what its source waits for; no_progress_s in a file allows more time",
    "unknown": "`framefan doctor` with the same source looks further",
    "crash_loop": "see the lines above; `framefan doctor` with the same source looks further",
    "unplayable": "check that it is what you meant; `framefan doctor` looks further",
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
