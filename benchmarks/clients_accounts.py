"""What a client's notes say: ages, rates, holes and cuts. Nothing here does I/O.

A note is a line that a program of benchmarks/ordinary printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Note = dict[str, Any]
FULL = 0.9
"""Of the camera's rate, in a second: full rate, whose frames come with some jitter."""
FRESH_S = 0.5


def results(notes: Iterable[Note], begin: float = 0.0, end: float = float("inf")) -> list[Note]:
    """Those handled between the two monotonic times."""
    return [note for note in notes if "seq" in note and begin <= note["at"] < end]


def events(notes: Iterable[Note], name: str) -> list[Note]:
    return [note for note in notes if note.get("event") == name]


def age(note: Note) -> float:
    """Seconds from the grab of the frame to the beginning of the handler."""
    return float(note["wall"] - note["ts"])


def ages(notes: Iterable[Note], begin: float = 0.0, end: float = float("inf")) -> list[float]:
    return [age(note) for note in results(notes, begin, end)]


def opened_at(notes: Iterable[Note]) -> float | None:
    """When the first connection stood."""
    return next((note["at"] for note in notes if note.get("event") == "opened"), None)


def cuts(notes: Sequence[Note]) -> list[str]:
    """Why it came back, for each time that it did, or was told of an end."""
    return [note["why"] for note in events(notes, "closed")]


def wrong_accounts(notes: Iterable[Note], resumes: bool = False) -> list[str]:
    """Each hole in `seq` that is not what `missed`, and gaps before it, say of it.

    Within one connection; with `resumes` also what lies between two, as `since` promises.
    """
    wrong: list[str] = []
    last: dict[tuple[str, str], int] = {}
    gaps: dict[tuple[str, str], int] = {}
    for note in notes:
        key = (note.get("camera", ""), note.get("epoch", ""))
        if note.get("event") == "opened":
            last = last if resumes else {}
        elif note.get("event") == "gap":
            gaps[key] = gaps.get(key, 0) + note["missed"]
        elif "seq" in note:
            told = note["missed"] + gaps.pop(key, 0)
            if key in last and note["seq"] - last[key] - 1 != told:
                wrong.append(f"{note['seq']} after {last[key]}, told {told}")
            last[key] = note["seq"]
    return wrong


def missed(notes: Iterable[Note], begin: float = 0.0, end: float = float("inf")) -> int:
    return sum(note["missed"] for note in results(notes, begin, end))


def back_after(notes: Sequence[Note], since: float, fps: float) -> float | None:
    """Seconds from `since` to the first second at the full rate with nothing old in it.

    None: not until the end of the notes.
    """
    found = results(notes, since)
    times = [note["at"] for note in found]
    due, first = fps * FULL, 0
    for last, note in enumerate(found):
        while times[last] - times[first] > 1.0:
            first += 1
        whole = times[last] - since >= 1.0
        if whole and last - first + 1 >= due and age(note) <= FRESH_S:
            return max(0.0, float(times[last]) - 1.0 - since)
    return None
