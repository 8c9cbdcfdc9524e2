"""Sources: the protocol that every kind of camera implements.

The camera's loop calls `open`, then for each frame `grab` (take the next picture, cheaply if the
source allows it) and, if there is room for the picture, `retrieve` (decode it, directly into the
slot if the size fits). `due` says when to grab next: files, patterns and the demo scene play at
their own speed, while a network camera is always due and blocks in `grab`. Sources with a beginning
can `skip` the pictures that an earlier process has read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Opened(Protocol):
    """An open source. It raises SourceError with a reason from `framefan.settings.states`."""

    skipped: int
    """How many damaged pictures the last `grab` skipped."""
    stale: bool
    """Whether the last grabbed picture is old: it was buffered while nothing was read."""
    pts: float | None
    """The time of the last grabbed picture on the source's own clock in seconds, if it has one."""

    @property
    def is_recorded(self) -> bool:
        """Whether an open URL turned out to be a recording: it has an end and can pause."""
        ...

    @property
    def due(self) -> float:
        """When to call `grab` next, on clock.now; in the past: at once."""
        ...

    def grab(self, frame: int) -> bool:
        """Take the next picture, whose number is `frame`; return False at the end of the source."""
        ...

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """The grabbed picture, `uint8[H,W,3]` BGR: `view` itself if it was decoded into it.

        Raises SourceError: "corrupt" if the picture cannot be decoded, "unsupported" if it cannot
        be converted to BGR.
        """
        ...

    def skip(self, frames: int) -> int:
        """Right after `open`: skip pictures, damaged ones included; return how many.

        It may skip fewer, so as not to block for long: call it again. 0: there are no more.
        """
        ...

    def close(self) -> None: ...


class Source(Opened, Protocol):
    """A source that can be opened; `open` raises SourceError, too."""

    @property
    def is_exact(self) -> bool:
        """Whether `skip` is exact and each picture is decoded independently of the others."""
        ...

    def open(self) -> None: ...
