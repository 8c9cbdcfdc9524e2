"""What the chaos run checks of ordinary clients: each check fails when it should."""

from __future__ import annotations

from typing import Any

import pytest
from chaos.ordinary import CALM_S, SLACK_S, Account, Kind, Trouble

ACK = Kind("ack", "websockets", "?ack=1", 0.5)
NO_ACK = Kind("no ack", "websockets", "", 0.5, acknowledges=False)
OLDEST_S = 2 * ACK.handler_s + SLACK_S
KILLED = Trouble(100.0, kills_gateway=True, done=101.0, over=103.0)
STALLED = Trouble(100.0, done=101.0, over=103.0)


def outcome(seq: int, missed: int = 0, at: float = 10.0, age: float = 0.1) -> dict[str, Any]:
    return {
        "at": at, "ts": at - age, "camera": "front", "epoch": "e", "seq": seq, "missed": missed
    }  # fmt: skip


def end(began: float, at: float, code: int | None = 1006) -> dict[str, Any]:
    return {"closed": code, "began": began, "at": at}


@pytest.mark.parametrize(
    ("kind", "troubles", "lines", "word"),
    [
        (ACK, [], [outcome(1), outcome(2), outcome(5, 2)], ""),
        (ACK, [], [outcome(1), outcome(3)], "2 was due, 3 came"),
        (ACK, [], [outcome(1), outcome(1)], "2 was due, 1 came"),
        (ACK, [], [outcome(1), outcome(5, 2)], "2 was due, 3 came"),
        (ACK, [KILLED], [outcome(1), end(9, 102), outcome(3, at=102)], "2 was due, 3 came"),
        (ACK, [], [outcome(1, age=OLDEST_S + 10)], "old at the handler"),
        (NO_ACK, [], [outcome(1, age=OLDEST_S + 10)], ""),
        (ACK, [STALLED], [outcome(1, at=103 + CALM_S - 0.1, age=OLDEST_S + 10)], ""),
        (ACK, [STALLED], [outcome(1, at=103 + CALM_S, age=OLDEST_S + 10)], "old at the handler"),
        (ACK, [KILLED], [end(9, 102), end(102, 500, None)], "no killed gateway"),
        (ACK, [KILLED], [end(9, 102)], ""),
        (ACK, [KILLED], [end(9, 102, 4408)], "no killed gateway"),
        (ACK, [KILLED], [end(9, 99)], "no killed gateway"),
        (ACK, [STALLED], [end(9, 102)], "no killed gateway"),
        (ACK, [], [end(9, 102)], "no killed gateway"),
    ],
)
def test_each_check_fails_when_it_should(
    kind: Kind, troubles: list[Trouble], lines: list[dict[str, Any]], word: str
) -> None:
    account = Account(kind, troubles)
    for line in lines:
        account.take(line)
    assert bool(account.wrong) == bool(word), account.wrong
    assert all(word in each for each in account.wrong)
