"""What a capture says on stderr: whole lines, clean, bounded, and to the last word."""

from __future__ import annotations

import os
import selectors
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from framefan.base import logs
from framefan.settings.secret import SourceText
from framefan.supervisor.child_output import LINE_BYTES, LINES, ChildOutput, LineFilter

PASSWORD = "hunter2-and-more"
SOURCE = SourceText(f"rtsp://admin:{PASSWORD}@cam.example/live?key=0123456789")


@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n@")), max_size=20),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=9),
)
def test_lines_come_out_whole_however_the_bytes_are_cut(lines: list[str], cuts: list[int]) -> None:
    reader, got = LineFilter(), []
    stream = "".join(f"{line}\n" for line in lines).encode()
    while stream:
        size = cuts[len(stream) % len(cuts)]
        got += reader.feed(stream[:size], 0.0)
        stream = stream[size:]
    assert got == lines
    assert reader.end(0.0) == []


def test_the_last_line_needs_no_end() -> None:
    reader = LineFilter()
    assert reader.feed(b"one\r\ntwo", 0.0) == ["one"]
    assert reader.end(0.0) == ["two"]
    assert reader.end(0.0) == []


def test_secrets_of_the_camera_are_taken_out() -> None:
    reader = LineFilter(SOURCE)
    said = f"open {SOURCE.reveal()} with {PASSWORD} and rtsp://u:other@h/x failed\n"
    (line,) = reader.feed(said.encode(), 0.0)
    for secret in (PASSWORD, "0123456789", "other"):
        assert secret not in line
    assert "cam.example" in line


@given(st.integers(LINE_BYTES - 80, LINE_BYTES + 20), st.booleans())
def test_a_cut_shows_no_beginning_of_a_secret(start: int, in_address: bool) -> None:
    secret = SOURCE.reveal() if in_address else PASSWORD
    reader = LineFilter(SOURCE)
    (line,) = reader.feed(b"x" * start + b" " + secret.encode() + b"y" * 9999 + b"\n", 0.0)
    assert len(line) <= LINE_BYTES + 10
    assert "hun" not in line
    assert line.endswith(" [...]")


@pytest.mark.parametrize("typed", [b"secret-of-another", b"a@secret of-another", b"a b secret"])
def test_an_address_nobody_told_us_of_is_cut_away_too(typed: bytes) -> None:
    line = b"x" * (LINE_BYTES - 24) + b" rtsp://user:" + typed + b" camera@h/x\n"
    assert "secret" not in LineFilter().feed(line, 0.0)[0]


def test_a_line_without_end_takes_no_memory() -> None:
    reader = LineFilter()
    for _ in range(100):
        assert reader.feed(b"x" * 100_000, 0.0) == []
    assert len(reader._rest) == LINE_BYTES + 1
    assert len(reader.feed(b"\nnext\n", 0.0)) == 2


def test_more_than_so_many_a_second_are_dropped_and_counted() -> None:
    reader = LineFilter()
    assert len(reader.feed(b"a\n" * 1000 + b"half", 10.0)) == LINES
    assert reader.flooded
    assert reader.dropped == 1000 - LINES
    assert reader.dropped_until() == 11.0
    assert reader.feed(b" a line\n", 10.5) == []
    assert reader.take_dropped() == 1001 - LINES
    assert reader.dropped_until() == float("inf")
    assert reader.feed(b"b\n", 11.0) == ["b"]
    assert not reader.flooded


# ---- the pipe --------------------------------------------------------------------------------


class Played:
    """A Stderr and who writes to it; `lines` is what it passes on."""

    def __init__(self, monkeypatch) -> None:
        self.lines: list[str] = []
        self.selector = selectors.DefaultSelector()
        monkeypatch.setattr(logs, "pass_on", lambda line, _: self.lines.append(line))
        monkeypatch.setattr(logs, "warning", self.lines.append)
        self.stderr = ChildOutput("capture front", self.selector, SOURCE)
        self.writer = os.dup(self.stderr.theirs)
        self.stderr.close_theirs()

    def serve(self, seconds: float = 0.0) -> int:
        """Turn like the supervisor's loop; how many turns there was something to do."""
        turns, until = 0, time.monotonic() + seconds
        while True:
            left = max(0.0, min(until, self.stderr.next_event()) - time.monotonic())
            events = self.selector.select(left)
            for key, _ in events:
                key.data()
            self.stderr.tick(time.monotonic())
            turns += bool(events)
            if not events and time.monotonic() >= until:
                return turns


@pytest.fixture
def played(monkeypatch):
    made = Played(monkeypatch)
    yield made
    made.selector.close()
    os.close(made.writer)


def test_it_passes_on_clean_lines_and_the_last_words(played) -> None:
    os.write(played.writer, f"with {PASSWORD}\nlast words".encode())
    played.serve()
    assert played.lines == ["with ***"]
    played.stderr.finish()
    assert played.lines == ["with ***", "last words"]


def test_who_closed_it_keeps_nobody_busy(played) -> None:
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), played.writer)
    assert played.serve(0.2) == 1
    played.stderr.finish()


def test_a_child_of_the_dead_one_holds_nobody_up(played) -> None:
    """The writing end is still open when it has been waited for."""
    played.stderr.finish()
    assert played.lines == []


def test_news_of_a_turn_in_which_it_was_buried(played) -> None:
    """The link's end may come before the pipe's news in the selector's list."""
    os.write(played.writer, b"last words\n")
    ((key, _),) = played.selector.select(0)
    played.stderr.finish()
    key.data()
    assert played.lines == ["last words"]


def test_a_flood_is_read_in_few_turns_counted_and_told_once(played) -> None:
    os.set_blocking(played.writer, False)
    written, turns, until = 0, 0, time.monotonic() + 0.5
    while time.monotonic() < until:
        try:
            written += os.write(played.writer, b"x" * 99 + b"\n")
        except BlockingIOError:
            turns += played.serve(0.001)
    os.set_blocking(played.writer, True)
    assert turns <= 40, "after each look it is left alone for a moment"
    wait_until(lambda: played.serve(0.05) is not None and len(played.lines) > LINES, 5)
    played.stderr.finish()
    told = [line for line in played.lines if "dropped" in line]
    passed = [line for line in played.lines if line.startswith("x")]
    numbers = [int(word) for line in told for word in line.split() if word.isdigit()]
    assert LINES <= len(passed) <= 3 * LINES
    assert 1 <= len(told) <= 3
    assert sum(numbers) + len(passed) == -(-written // 100)
