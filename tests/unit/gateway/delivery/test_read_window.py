"""A client's window, told from echoes alone: by cases, and with players on a simulated line."""

from __future__ import annotations

import random
from collections import deque
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan_gateway.delivery.read_window import (
    AHEAD,
    CALM_S,
    CALM_WRITES,
    GIVE_UP_S,
    MOST,
    PATIENCE_S,
    PROMPT_S,
    STREAK,
    ReadWindow,
)

ON_TIME = SimpleNamespace(recent_s=0.0)


def test_a_newcomer_begins_with_one_write() -> None:
    window = ReadWindow(0.0, ON_TIME)
    assert window.room(0.0) == 1
    window.record_write(1, 0.0, 0)
    assert window.room(0.0) == 0
    assert window.record_echo(1, 0.2, 0)
    assert window.room(0.2) == 1, "nothing was held back, so it need not be more"


def test_it_grows_by_timely_echoes_while_something_is_held_back() -> None:
    window, number = ReadWindow(0.0, ON_TIME), 0
    for round_trip in range(5):
        start = float(round_trip)
        first = number + 1
        while window.room(start):
            number += 1
            window.record_write(number, start, 0)
        for echo in range(first, number + 1):
            assert window.record_echo(echo, start + 0.3, 1)
    assert window.size == 32, "doubled by each round trip"


def test_a_prompt_echo_is_a_reason_to_grow_only_if_it_goes_on() -> None:
    """A result that now and then comes between a write and its echo is no sign of a full window."""
    now_and_then, always = ReadWindow(0.0, ON_TIME), ReadWindow(0.0, ON_TIME)
    for number in range(2 * CALM_WRITES):
        held = number % STREAK > 0
        for window, holds in ((now_and_then, held), (always, True)):
            window.record_write(number, 0.1 * number, 0)
            assert window.record_echo(number, 0.1 * number + PROMPT_S / 2, int(holds))
    assert (now_and_then.size, now_and_then.steady) == (1, True)
    assert always.size == AHEAD + 1, "more would only wait in the queue of a slow handler"


def test_a_late_echo_shrinks_it_once_for_all_that_was_on_its_way() -> None:
    window = grown(8)
    for number in range(101, 109):
        window.record_write(number, 5.0, 0)
    for number in range(101, 109):
        assert not window.record_echo(number, 4.99 + 2 * window.timely_s, 1)
    assert window.size == 4


def test_nothing_leaves_while_an_echo_is_overdue() -> None:
    window = grown(8)
    window.record_write(101, 10.0, 0)
    assert window.room(9.99 + window.timely_s) == 7
    assert window.room(10.01 + window.timely_s) == 0


def test_what_we_were_late_ourselves_is_no_delay_of_the_clients() -> None:
    late = SimpleNamespace(recent_s=0.3)
    window = ReadWindow(0.0, late)
    for number in range(3):
        window.record_write(number, float(number), 0)
        assert window.record_echo(number, number + (0.0, 0.39, 0.41)[number], 0) == (number < 2)


def grown(size: int, delay: float = 0.08) -> ReadWindow:
    window, number = ReadWindow(0.0, ON_TIME), 0
    while window.size < size:
        number += 1
        window.record_write(number, 0.1 * number, 0)
        window.record_echo(number, 0.1 * number + delay, 1)
    assert window.timely_s == pytest.approx(delay + PATIENCE_S)
    return window


def calm(window: ReadWindow, start: float, writes: int, gap: float) -> float:
    now = start
    for number in range(1000, 1000 + writes):
        now += gap
        window.record_write(number, now, 0)
        window.record_echo(number, now + 0.001, 0)
    return now


def test_it_is_steady_after_a_second_and_more_writes_than_a_library_holds() -> None:
    window = ReadWindow(0.0, ON_TIME)
    calm(window, 0.0, CALM_WRITES - 1, 0.1)
    assert not window.steady, "a queue of 17 may still hold all of them"
    calm(window, CALM_WRITES * 0.1, 1, 0.1)
    assert window.steady
    assert window.room(99.0) == AHEAD + 1
    window = ReadWindow(0.0, ON_TIME)
    calm(window, 0.0, 5 * CALM_WRITES, CALM_S / 6 / CALM_WRITES)
    assert not window.steady, "not within a second"
    window = ReadWindow(0.0, ON_TIME)
    calm(window, 0.0, 4, 1.0)
    assert not window.steady
    calm(window, 4.0, 1, 1.5)
    assert window.steady, "a look at a second is a look at each write"


def test_an_overdue_echo_ends_that_and_it_begins_anew() -> None:
    window = ReadWindow(0.0, ON_TIME)
    now = calm(window, 0.0, 2 * CALM_WRITES, 0.1)
    window.record_write(5000, now, 0)
    assert not window.end_steady_if_overdue(now + PATIENCE_S)
    assert window.end_steady_if_overdue(now + PATIENCE_S + 0.01)
    assert (window.steady, window.size, window.room(now + 1.0)) == (False, 1, 0)
    assert not window.record_echo(5000, now + 1.0, 1)
    assert window.room(now + 1.0) == 1


def test_a_client_that_never_echoes_is_not_limited_until_it_does() -> None:
    window = ReadWindow(0.0, ON_TIME)
    assert not window.give_up_if_silent(99.0), "nothing was written to it"
    window.record_write(1, 100.0, 0)
    assert not window.give_up_if_silent(99.9 + GIVE_UP_S)
    assert window.give_up_if_silent(100.1 + GIVE_UP_S)
    assert window.room(200.0) == MOST
    assert window.awaits(1)
    window.record_echo(1, 200.0, 0)
    assert window.limiting
    assert window.room(200.0) == 1


def test_a_wait_behind_other_writes_is_never_taken_for_the_way() -> None:
    """However late this process itself is, and so however much it lets pass for timely."""
    late = SimpleNamespace(recent_s=1.0)
    player = Player(10, 0.001, 1, 0.5, late)
    ages = player.play(120.0)
    assert max(ages) < 0.5 * 8


def test_a_way_that_becomes_longer_does_not_hold_it_down_for_ever() -> None:
    window, number = grown(8), 200
    for second in range(20, 60):
        number += 1
        window.record_write(number, second, 0)
        window.record_echo(number, second + 0.5, 1)
    assert window.timely_s == pytest.approx(0.5 + PATIENCE_S)
    assert window.size > 1


@given(
    st.lists(
        st.tuples(
            st.integers(1, 5),  # writes
            st.sampled_from((0.0, 0.01, 0.3, 3.0, 11.0, 30.0)),  # seconds until the next echo
            st.integers(0, 5),  # of which write, from the oldest that is on its way
            st.booleans(),  # whether anything is held back meanwhile
        ),
        max_size=40,
    )
)
def test_its_size_is_a_number_from_1_to_most_whatever_comes_when(
    lives: list[tuple[int, float, int, bool]],
) -> None:
    window, now, number, held, heard = ReadWindow(0.0, ON_TIME), 0.0, 0, 0, 0
    for writes, wait_s, ahead, holds in lives:
        for _ in range(writes):
            number += 1
            window.record_write(number, now, held)
        now, held = now + wait_s, held + holds
        heard = min(heard + 1 + ahead, number)
        if window.awaits(heard):
            window.record_echo(heard, now, held)
        window.end_steady_if_overdue(now)
        assert 1 <= window.size <= MOST
        assert 0 <= window.room(now) <= MOST


def test_an_echo_of_a_number_that_is_not_in_flight_is_ignored() -> None:
    window = ReadWindow(0.0, ON_TIME)
    assert not window.awaits(1)
    window.record_write(3, 0.0, 0)
    window.record_write(5, 0.0, 0)
    assert [number for number in range(9) if window.awaits(number)] == [3, 4, 5, 6, 7, 8]
    window.record_echo(4, 0.01, 0)
    assert window.outstanding == 1


ALONE = -1


class Player:
    """Results at a rate, a way that takes time, a queue that is read ahead, and a slow handler.

    The queue is as websockets': its reading pauses above `queue`, and goes on at a quarter of it.
    """

    STEP_S = 0.005

    def __init__(
        self,
        rate: float,
        round_trip_s: float,
        queue: int,
        handler_s: float,
        lateness: SimpleNamespace = ON_TIME,
        seed: int | None = None,
    ) -> None:
        self.window = ReadWindow(0.0, lateness)
        self.chance = None if seed is None else random.Random(seed)
        """Draws how much early or late each result is; None: all are on time."""
        self.period, self.one_way = 1 / rate, round_trip_s / 2
        self.queue, self.handler_s = queue, handler_s
        self.now = self.next_result = self.free_at = 0.0
        self.newest = 0.0
        self.fresh = False
        self.held = 0
        self.written = 0
        self.line: deque[tuple[float, int, float]] = deque()
        """When it arrives, its number, and when its result was made."""
        self.read: deque[tuple[int, float]] = deque()
        self.paused = False
        self.echoes: deque[tuple[float, int]] = deque()
        self.confirms = False
        """Whether a ping by itself is on its way, as after a late echo with a window of one."""
        self.ages: list[tuple[float, float]] = []

    def step(self) -> None:
        self.now += self.STEP_S
        if self.now >= self.next_result:
            self.next_result += self.period * (self.chance.uniform(0.8, 1.2) if self.chance else 1)
            self.held += self.fresh
            self.newest, self.fresh = self.now, True
        self.window.end_steady_if_overdue(self.now)
        while self.echoes and self.echoes[0][0] <= self.now:
            self.echo(self.echoes.popleft()[1])
        if self.fresh and not self.confirms and self.may_write():
            self.written += 1
            self.window.record_write(self.written, self.now, self.held)
            self.line.append((self.now + self.one_way, self.written, self.newest))
            self.fresh = False
        elif self.fresh:
            self.window.restart_calm(self.now)
        if self.read and self.now >= self.free_at:
            number, made = self.read.popleft()
            self.ages.append((self.now, self.now - made))
            self.free_at = self.now + self.handler_s
        self.paused &= len(self.read) > self.queue // 4
        while self.line and self.line[0][0] <= self.now and not self.paused:
            _, number, made = self.line.popleft()
            if number != ALONE:
                self.read.append((number, made))
            self.paused |= len(self.read) > self.queue
            self.echoes.append((self.now + self.one_way, number))

    def may_write(self) -> bool:
        return self.window.steady or bool(self.window.room(self.now))

    def echo(self, number: int) -> None:
        window = self.window
        if number == ALONE:
            self.confirms = False
            return
        timely = window.record_echo(number, self.now, self.held + self.fresh)
        if not timely and window.size == 1 and not window.outstanding:
            self.confirms = True
            self.line.append((self.now + self.one_way, ALONE, 0.0))

    def play(self, seconds: float) -> list[float]:
        """The ages of results at the handler, once what came first is handled."""
        while self.now < seconds:
            self.step()
        return [age for at, age in self.ages if at > 8.0 + 2 * self.handler_s]


@given(
    rate=st.sampled_from([1, 5, 10, 30]),
    round_trip_s=st.sampled_from([0.001, 0.01]),
    queue=st.sampled_from([1, 16]),
    handler_s=st.sampled_from([0.2, 0.5, 1.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_what_a_slow_handler_gets_is_as_old_as_its_queue_is_long(
    rate: float, round_trip_s: float, queue: int, handler_s: float, seed: int
) -> None:
    player = Player(rate, round_trip_s, queue, handler_s, seed=seed)
    ages = player.play(40 + 40 * handler_s)
    assert max(ages) <= (queue + 2) * handler_s + 1.0 + 2 * round_trip_s


@given(
    rate=st.sampled_from([10, 30]),
    round_trip_s=st.sampled_from([0.001, 0.05, 0.12, 0.2, 0.4]),
    pause_s=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_a_fast_one_far_away_has_the_full_rate_within_four_seconds(
    rate: float, round_trip_s: float, pause_s: float
) -> None:
    player = Player(rate, round_trip_s, 17, 0.0)
    player.play(10.0)
    player.free_at = player.now + pause_s
    player.play(14.0 + pause_s)
    before = len(player.ages)
    player.play(24.0 + pause_s)
    assert len(player.ages) - before >= 10 * rate - 2


class Acknowledger(Player):
    """It acknowledges each result when it has handled it; see `Counted` in flow.py."""

    SLOW_FROM_S = 12.0

    def step(self) -> None:
        self.now += self.STEP_S
        while self.now >= self.next_result:
            self.next_result += self.period * (self.chance.uniform(0.8, 1.2) if self.chance else 1)
            self.held += self.fresh
            self.newest, self.fresh = self.now, True
        while self.echoes and self.echoes[0][0] <= self.now:
            self.window.record_echo(self.echoes.popleft()[1], self.now, self.held + self.fresh)
        if self.fresh and self.window.room(self.now):
            self.written += 1
            self.window.record_write(self.written, self.now, self.held)
            self.line.append((self.now + self.one_way, self.written, self.newest))
            self.fresh = False
        while self.line and self.line[0][0] <= self.now and self.now >= self.free_at:
            _, number, made = self.line.popleft()
            self.ages.append((self.now, self.now - made))
            slow_s = self.handler_s if self.now >= self.SLOW_FROM_S else 0.0
            self.free_at = self.now + slow_s
            self.echoes.append((self.now + slow_s + self.one_way, number))

    def ages_since_it_is_slow(self, seconds: float) -> list[float]:
        while self.now < self.SLOW_FROM_S + seconds:
            self.step()
        return [age for at, age in self.ages if at >= self.SLOW_FROM_S]


@given(
    rate=st.sampled_from([1, 10, 30, 60, 190]),
    round_trip_s=st.sampled_from([0.0, 0.01, 0.03]),
    handler_s=st.sampled_from([0.2, 0.5, 1.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_a_quick_handler_that_becomes_slow_has_little_before_it(
    rate: float, round_trip_s: float, handler_s: float, seed: int
) -> None:
    """Two, and what the way itself holds at this rate; a tick of this world is 5 ms."""
    player = Acknowledger(rate, round_trip_s, 0, handler_s, seed=seed)
    ages = player.ages_since_it_is_slow(20 + 20 * handler_s)
    on_its_way = 2 * rate * (round_trip_s + 2 * player.STEP_S)
    assert max(ages) <= (2 + on_its_way) * handler_s + round_trip_s + 0.5
    before = [at for at, _ in player.ages if 7.0 <= at < Acknowledger.SLOW_FROM_S]
    assert len(before) >= 0.95 * 5 * rate - 2
