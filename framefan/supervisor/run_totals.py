"""What a run did, per camera, from the tables the pool sent: pure, summed over all lives.

A life ends with the pool's, or with the camera's place in the table: a reload may take it out and
bring it back, with counters that go on or begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from framefan.ipc.records import CameraFacts

if TYPE_CHECKING:
    from framefan.ipc.records import StateRecord


class _Span(Struct):
    """Over how long a camera delivered: what mean rates are taken from."""

    first_at: float
    first: int
    last_at: float
    last: int


class _Life(Struct):
    epoch: str
    facts: CameraFacts
    """The newest of it: counters are totals."""


class Summary:
    """`add` each table; `lines` says what the run came to."""

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
    """What most runs have none of; with it, all that were captured are accounted for."""
    bad = sum(facts.bad for facts in lives)
    left = sum(facts.waiting + facts.running for facts in lives)
    return (f", {bad} bad" if bad else "") + (f", {left} not worked off" if left else "")


def _superseded(lives: list[CameraFacts]) -> str:
    causes: dict[str, int] = {}
    for facts in lives:
        for cause, number in facts.superseded_by.items():
            causes[cause] = causes.get(cause, 0) + number
    total = sum(facts.superseded for facts in lives)
    named = ", ".join(f"{number} {cause}" for cause, number in sorted(causes.items()) if number)
    return f"{total} superseded" + (f" ({named})" if named else "")
