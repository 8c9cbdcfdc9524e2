"""Every error framefan raises, in one tree.

FramefanError
├── UsageError          theirs: a flag, key, source scheme or predictor reference      exit 2
├── StartError          theirs: a file, port or predictor that cannot be used          exit 3
│   └── RingTooLarge    the frames would not fit in the memory that is there           exit 3
├── RunError            it started, then failed                                        exit 1
├── RingError           a ring's memory is not what its announcement said              ours
├── LinkError           a Unix link between two of our processes
│   ├── LinkClosed      the peer is gone: an expected end
│   └── LinkGarbled     the peer sent what no framefan process sends                   ours
├── SourceError         a camera could not be opened or read; carries the reason code
└── ClientError         a client of a gateway cannot go on; what framefan.client raises
    ├── Refused         the gateway said no, and would again: trying again does not help
    ├── Unreachable     no connection within the time that was given for it
    └── CommandFailed   a command was answered by an error; carries its code

The first four reach a person, so they carry three lines: what happened, why, and what to do.
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

OPENCV_FIX = "`framefan doctor` says what lacks, and the command that installs it"


def did_you_mean(word: str, known: Iterable[str], form: str = "{}", otherwise: str = "") -> str:
    """The question with the known word that is nearest, written in that form; or `otherwise`."""
    import difflib

    near = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {form.format(near[0])}?" if near else otherwise


class FramefanError(Exception):
    """The root; `exit_code` is what the command line exits with when this ends the run."""

    exit_code = EXIT_FAILED
    usual_why = ""
    usual_fix = ""

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def lines(self) -> list[str]:
        """One line what, one why, one what to do; empty ones left out."""
        why, fix = self.why or self.usual_why, self.fix or self.usual_fix
        lines = [f"framefan: {self.what}"]
        if why:
            lines.append(f"  why: {why}")
        if fix:
            lines.append(f"  do:  {fix}")
        return lines


class UsageError(FramefanError):
    exit_code = EXIT_USAGE
    usual_why = "`framefan --help` lists the options, and what each may be"
    usual_fix = "correct it, and start again"


class StartError(FramefanError):
    exit_code = EXIT_START


class RunError(FramefanError):
    exit_code = EXIT_FAILED


class RingTooLarge(StartError):
    """Both numbers are in the message: bytes needed and bytes there."""


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
        """With the reason: who catches it in a program of their own reads this, not `lines`."""
        return f"{self.what}: {self.why}" if self.why else self.what


class Refused(ClientError):
    """`code`: the HTTP status or the close code; 0 where it has no number."""

    def __init__(self, what: str, why: str = "", fix: str = "", code: int = 0) -> None:
        super().__init__(what, why, fix)
        self.code = code


class Unreachable(ClientError):
    pass


class CommandFailed(ClientError):
    """`code` and `message` as the gateway told them; `temporary`: the same may work later."""

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
