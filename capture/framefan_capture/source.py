"""Sources: everything a camera can be, behind one small protocol.

The camera's loop calls `open`, then for each frame `grab` (take the next picture, cheap where the
source allows it) and, if it has room for the picture, `retrieve` (decode it, straight into the slot
where its size fits). `due` says when the next grab makes sense: files, patterns and the demo scene
play at their own speed, while a network camera is always due and blocks in `grab`. Those that have
a beginning can `skip` from there what was seen in an earlier life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Opened(Protocol):
    """What gives pictures. Errors are SourceError with a reason of the camera's state table."""

    skipped: int
    """Pictures the last `grab` passed over because they were damaged."""
    stale: bool
    """The last grabbed picture is an old one, that was kept while nobody read."""
    pts: float | None
    """Seconds on the source's own clock of the last grabbed picture, where it has one."""

    @property
    def is_recorded(self) -> bool:
        """Of an address that is open: it turned out to have an end, and waits for its reader."""
        ...

    @property
    def due(self) -> float:
        """When the next `grab` makes sense, on clock.now; in the past: at once."""
        ...

    def grab(self, frame: int) -> bool:
        """Take the next picture, to be known as `frame`; False at the end of the source."""
        ...

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """The grabbed picture, `uint8[H,W,3]` BGR: `view` itself where it could be decoded into it.

        Raises SourceError("corrupt") when this picture cannot be decoded, "unsupported" when it
        cannot be turned into BGR.
        """
        ...

    def skip(self, frames: int) -> int:
        """Right after `open`: pass over pictures, damaged ones included; answers how many.

        It may be fewer, so that nobody waits long: ask again for the rest. 0: there are no more.
        """
        ...

    def close(self) -> None: ...


class Source(Opened, Protocol):
    """`open` raises SourceError, too."""

    @property
    def is_exact(self) -> bool:
        """`skip` leads to the very picture, and each is decoded by itself."""
        ...

    def open(self) -> None: ...
