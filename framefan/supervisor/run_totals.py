"""The totals of a run per camera, computed from the pool's state tables. No I/O.

Totals are summed over all lives of a camera. A life ends when the pool ends, or when the camera
leaves the table: a reload may remove a camera and add it again, with counters that continue or
start from zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from framefan.ipc.records import CameraFacts

if TYPE_CHECKING:
    from framefan.ipc.records import StateRecord


class _Span(Struct):
    """The time over which a camera delivered, for mean rates."""

    first_at: float
    first: int
    last_at: float
    last: int


class _Life(Struct):
    epoch: str
    facts: CameraFacts
    """One life of a camera: its newest facts, whose counters are totals."""


class Summary:
    """Collects tables with `add`; `lines` returns the totals of the run."""

    def __init__(self) -> None:
        self._lives: dict[str, list[_Life]] = {}
        self._spans: dict[tuple[str, str], _Span] = {}

    def add(self, state: StateRecord, now: float) -> None:
        for name, facts in state.cameras.items():
            self._live(name, state.epoch, facts)
            span = self._spans.get((state.epoch, name))
            if span is None and facts.captured:
                self._spans[state.epoch, name] = _Span(now, facts.captured, now, facts.captured)
            elif span and facts.captured > span.last:
                span.last_at, span.last = now, facts.captured

    def _live(self, name: str, epoch: str, facts: CameraFacts) -> None:
        lives = self._lives.setdefault(name, [])
        if lives and lives[-1].epoch == epoch and facts.captured >= lives[-1].facts.captured:
            lives.pop()
        lives.append(_Life(epoch, facts))

    def lines(self) -> list[str]:
        return [self._line(name) for name in self._lives]

    def _line(self, name: str) -> str:
        lives = [life.facts for life in self._lives[name]]
        counts = ", ".join(
            f"{sum(getattr(facts, what) for facts in lives)} {word}"
            for what, word in (
                ("captured", "frames captured"),
                ("results", "results"),
                ("errors", "errors"),
                ("lost", "lost"),
            )
        )
        rest = _superseded(lives) + _others(lives)
        return f"{name}: {counts}, {rest}{self._rate(name, lives)}"

    def _rate(self, name: str, lives: list[CameraFacts]) -> str:
        spans = [span for (_, camera), span in self._spans.items() if camera == name]
        seconds = sum(span.last_at - span.first_at for span in spans)
        if seconds >= 0.5:
            return f", {sum(span.last - span.first for span in spans) / seconds:.1f} fps"
        return f", {lives[-1].fps:.1f} fps" if lives[-1].fps else ""


def _others(lives: list[CameraFacts]) -> str:
    """The rarer outcomes; with them the numbers add up to all captured frames."""
    bad = sum(facts.bad for facts in lives)
    left = sum(facts.waiting + facts.running for facts in lives)
    return (f", {bad} bad" if bad else "") + (f", {left} not processed" if left else "")


def _superseded(lives: list[CameraFacts]) -> str:
    causes: dict[str, int] = {}
    for facts in lives:
        for cause, number in facts.superseded_by.items():
            causes[cause] = causes.get(cause, 0) + number
    total = sum(facts.superseded for facts in lives)
    named = ", ".join(f"{number} {cause}" for cause, number in sorted(causes.items()) if number)
    return f"{total} superseded" + (f" ({named})" if named else "")
