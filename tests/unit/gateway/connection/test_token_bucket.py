"""How often a client may send, and how much of it may wait."""

from __future__ import annotations

from websockets.frames import Frame, Opcode

from framefan_gateway.connection.token_bucket import TokenBucket


def spend(credit: TokenBucket, now: float, frame: Frame) -> int:
    """How many such frames in a row may come at this moment."""
    count = 0
    while credit.spend(frame, now):
        count += 1
    return count


PING = Frame(Opcode.PING, b"")


def test_a_burst_is_three_seconds_worth_and_then_it_is_the_rate() -> None:
    credit = TokenBucket(20.0, 1000, now=5.0)
    assert spend(credit, 5.0, PING) == 60
    assert spend(credit, 6.0, PING) == 20
    assert spend(credit, 6.04, PING) == 0
    assert spend(credit, 6.11, PING) == 2


def test_what_is_saved_up_is_bounded() -> None:
    credit = TokenBucket(2.0, 1000, now=0.0)
    assert spend(credit, 1000.0, PING) == 6


def test_what_waits_is_bounded_in_bytes_and_what_was_taken_waits_no_more() -> None:
    longest, piece = Frame(Opcode.TEXT, b"x" * 1000), Frame(Opcode.CONT, b"x", fin=False)
    credit = TokenBucket(1e6, 1000, now=0.0)
    assert spend(credit, 0.0, longest) == 4
    for _ in range(5):
        credit.release()
    assert spend(credit, 0.0, longest) == 4
    credit = TokenBucket(1e6, 1000, now=0.0)
    assert spend(credit, 0.0, piece) == 19, "pieces of one message, each with what it takes"
    assert spend(credit, 0.0, PING) > 1000, "these wait for nothing"
