"""The pool's poll loop: who is heard first, and who is not heard any more."""

from __future__ import annotations

import itertools
import socket

import pytest

from framefan_inference.pool.loop import Loop


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_one_is_heard_before_all_others_of_the_turn(order: tuple[int, ...]) -> None:
    """The supervisor says that there is a camera before anything of that camera comes."""
    loop, heard = Loop(), []
    pairs = [socket.socketpair() for _ in order]
    for number in order:
        add = loop.hear_first if number == 2 else loop.watch
        add(pairs[number][0].fileno(), lambda number=number: heard.append(number))
    for _, far in pairs:
        far.send(b"!")
    loop.turn(1.0)
    assert heard[0] == 2
    assert sorted(heard) == [0, 1, 2]
    for near, far in pairs:
        near.close()
        far.close()


def test_who_is_forgotten_by_an_earlier_one_is_not_heard() -> None:
    loop, heard = Loop(), []
    (near, far), (other, its_far) = socket.socketpair(), socket.socketpair()
    loop.hear_first(near.fileno(), lambda: loop.forget(other.fileno()))
    loop.watch(other.fileno(), lambda: heard.append("other"))
    for each in (far, its_far):
        each.send(b"!")
    loop.turn(1.0)
    assert heard == []
    for each in (near, far, other, its_far):
        each.close()
