"""The tree of all errors that framefan raises.

FramefanError
├── UsageError          user: a wrong flag, key, source scheme or predictor reference  exit 2
├── StartError          user: a file, port or predictor that cannot be used            exit 3
│   └── RingTooLarge    the frames do not fit into the available memory                exit 3
├── RunError            the run or command started, then failed                        exit 1
├── RingError           a ring's memory does not match its announcement                internal
├── LinkError           a Unix link between two framefan processes
│   ├── LinkClosed      the peer is gone; this is expected
│   └── LinkGarbled     the peer sent something that no framefan process sends         internal
├── SourceError         a camera could not be opened or read; has the reason code
└── ClientError         framefan.client cannot continue
    ├── Refused         the gateway refused the client; a retry does not help
    ├── Unreachable     no connection within the time limit
    └── CommandFailed   the gateway answered a command with an error; has its code

The first four are shown to the user, so they have three lines: what happened, why, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_START = 3
EXIT_FORCED = 130

OPENCV_FIX = "run `framefan doctor`: it says what is missing, and the command that installs it"


def did_you_mean(word: str, known: Iterable[str], form: str = "{}", otherwise: str = "") -> str:
    """The question with the nearest known word, formatted by `form`; if none, `otherwise`."""
    import difflib

    near = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {form.format(near[0])}?" if near else otherwise


class FramefanError(Exception):
    """The root of the tree; `exit_code`: the exit code of a command that this error ends."""

    exit_code = EXIT_FAILED
    usual_why = ""
    usual_fix = ""

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def lines(self) -> list[str]:
        """The lines what, why and what to do; empty ones are left out."""
        why, fix = self.why or self.usual_why, self.fix or self.usual_fix
        lines = [f"framefan: {self.what}"]
        if why:
            lines.append(f"  why: {why}")
        if fix:
            lines.append(f"  do:  {fix}")
        return lines


class UsageError(FramefanError):
    exit_code = EXIT_USAGE
    usual_why = "`framefan --help` lists the options and their values"
    usual_fix = "correct it and start again"


class StartError(FramefanError):
    exit_code = EXIT_START


class RunError(FramefanError):
    exit_code = EXIT_FAILED


class RingTooLarge(StartError):
    """The message has both numbers: bytes needed and bytes available."""


class RingError(FramefanError):
    pass


class LinkError(FramefanError):
    pass


class LinkClosed(LinkError):
    pass


class LinkGarbled(LinkError):
    pass


class SourceError(FramefanError):
    """`reason` is a code of the camera state table: refused, timeout, unreadable, ..."""

    def __init__(self, reason: str, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.reason = reason


class ClientError(FramefanError):
    def __str__(self) -> str:
        """What and why, because programs that catch the error print this, not `lines`."""
        return f"{self.what}: {self.why}" if self.why else self.what


class Refused(ClientError):
    """`code`: the HTTP status or the close code; 0: neither."""

    def __init__(self, what: str, why: str = "", fix: str = "", code: int = 0) -> None:
        super().__init__(what, why, fix)
        self.code = code


class Unreachable(ClientError):
    pass


class CommandFailed(ClientError):
    """`code` and `message` are the gateway's; `temporary`: the command may work later."""

    def __init__(self, code: int, message: str, temporary: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.temporary = temporary


BY_EXIT_CODE: dict[int, type[FramefanError]] = {
    EXIT_FAILED: RunError,
    EXIT_USAGE: UsageError,
    EXIT_START: StartError,
}
