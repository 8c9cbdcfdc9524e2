"""Signals come as counts of requests to stop, and handlers are put back."""

from __future__ import annotations

import os
import select
import signal

import pytest

from framefan.supervisor.signals import Signals


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_wakes_the_loop_and_counts_once(number: int) -> None:
    with Signals() as signals:
        assert signals.stops(0.0) == 0
        send(number)
        assert select.select([signals], [], [], 5)[0]
        assert signals.stops(0.0) == 1
        assert signals.stops(0.0) == 0


def test_the_same_request_twice_is_one_and_a_later_one_is_another() -> None:
    with Signals() as signals:
        send(signal.SIGTERM)
        assert signals.stops(10.0) == 1
        send(signal.SIGTERM)
        assert signals.stops(10.2) == 0
        send(signal.SIGINT)
        assert signals.stops(10.5) == 1


def test_a_childs_death_wakes_the_loop_and_is_no_request() -> None:
    with Signals() as signals:
        send(signal.SIGCHLD)
        assert select.select([signals], [], [], 5)[0]
        assert signals.stops(0.0) == 0


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Signals():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            send(signal.SIGHUP)
            assert signals.stops(0.0) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_that_whoever_started_it_had_blocked_are_heard() -> None:
    """A program that waits for its own signals blocks them, and its children inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
    try:
        with Signals() as signals:
            send(signal.SIGTERM)
            assert select.select([signals], [], [], 5)[0]
            assert signals.stops(0.0) == 1
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(), "children would be deaf"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
