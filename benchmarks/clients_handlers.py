"""How old a result is as the handler of an ordinary client begins with it.

Every library, with `ack` and without, all beside each other on one run of framefan: they sleep most
of the time. With handlers of 0.2 s, then of more, up to 2 s; at 10 results a second first, then at
30.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import predictors
from benchmarks.clients_accounts import ages, back_after, cuts, results, wrong_accounts
from benchmarks.clients_programs import BY_NAME, CHROMIUM, LIBRARIES, Client, Clients, Library
from benchmarks.report import Row
from benchmarks.run import Run
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HANDLERS_S = (0.2, 0.5, 1.0, 2.0)
RATES = (10, 30)
SETTLED_S = 8.0
WATCHED_S = 60.0
WITH_ACK_S = 0.5
WITHOUT_ACK_S = 1.0
BACK_S = 4.0
_AUTO = ("websockets", "framefan.client")
"""Asked with ack=auto, too; framefan.client with nothing else."""
_FAST_S, _SLOW_S, _SLOW_HANDLER_S = 6.0, 12.0, 0.5


@dataclass(frozen=True)
class Way:
    """A library, and what it asks for."""

    library: Library
    ack: int | str | None

    @property
    def name(self) -> str:
        return f"{self.library.name}, {f'ack={self.ack}' if self.ack else 'without ack'}"


def ways() -> list[Way]:
    found = []
    for library in (*LIBRARIES, CHROMIUM):
        acks: list[int | str | None] = [1, None] if library.name != "framefan.client" else [None]
        acks += ["auto"] if library.name in _AUTO else []
        found += [Way(library, ack) for ack in acks]
    return found


def source(fps: int) -> str:
    return f"demo?size=320x240&fps={fps}"


def measure(watched_s: float = WATCHED_S, chosen: Sequence[Way] = ()) -> list[Row]:
    used = chosen or ways()
    clients: dict[int, list[Client]] = {}
    for fps in RATES:
        clients[fps] = []
        for handler_s in HANDLERS_S:  # all at once, they are too many programs for two cores
            cells = [
                _client(way, {"handler": [[0, handler_s]]}, handler_s=handler_s) for way in used
            ]
            clients[fps] += beside_each_other(fps, cells, watched_s)
    everyone = [client for some in clients.values() for client in some]
    return [
        *(_ages(way, clients) for way in used),
        cut(f"of {len(everyone)} clients with slow handlers, cut within {watched_s:g} s", everyone),
        accounts("the same: results after a hole that `missed` does not tell", everyone),
        *_fast_slow_fast(used),
    ]


def _client(way: Way, asked: dict[str, Any], **facts: Any) -> Client:
    return Client(way.library, {"ack": way.ack, **asked}, {"way": way, **facts})


def beside_each_other(
    fps: int,
    clients: list[Client],
    watched_s: float,
    then: Callable[[list[Client], Run], None] | None = None,
) -> list[Client]:
    """All of them on one run, watched from when the last has connected."""
    with Run(source(fps), predictor=predictors.reference("blob_200"), workers=1) as run:
        run.wait_ready()
        for client in clients:
            client.asked["url"] = run.websocket
        with Clients(clients) as together:
            together.wait_open()
            # A hundred programs that start take the machine; what that did is over 8 s later.
            for client in clients:
                client.facts["all_open_at"] = clock.now()
            print(f"  {len(clients)} clients beside each other at {fps}/s", flush=True)
            if then:
                then(clients, run)
            else:
                time.sleep(watched_s)
    return clients


def _oldest(client: Client) -> float:
    return max(ages(client.notes, client.facts["all_open_at"] + SETTLED_S), default=float("inf"))


def _bar(way: Way) -> tuple[float, float] | None:
    """How many handler times, and how many seconds beyond them."""
    if way.ack:
        return 2, WITH_ACK_S
    return (way.library.handlers, WITHOUT_ACK_S) if way.library.handlers else None


def _ages(way: Way, clients: dict[int, list[Client]]) -> Row:
    bar, told, good = _bar(way), [], True
    for fps, some in clients.items():
        mine = [client for client in some if client.facts["way"] == way]
        found = [(client.facts["handler_s"], _oldest(client)) for client in mine]
        told.append(f"{fps}/s: " + ", ".join(f"{oldest:.2f}" for _, oldest in found))
        good &= bar is None or all(age <= bar[0] * each + bar[1] for each, age in found)
    times = ", ".join(f"{each:g}" for each in HANDLERS_S)
    return Row(
        f"{way.name}: oldest result at a handler of {times} s",
        f"<= {bar[0]:g} handler times + {bar[1]:g} s" if bar else "",
        f"{'; '.join(told)} s",
        good if bar else None,
    )


def cut(name: str, clients: Sequence[Client], bar: str = "0") -> Row:
    found = [(client, cuts(client.notes)) for client in clients]
    those = [f"{client.facts['way'].name}: {whys[0]}" for client, whys in found if whys and whys[0]]
    more = f": {'; '.join(those[:3])}{', ...' if len(those) > 3 else ''}" if those else ""
    number = sum(bool(whys) for _, whys in found)
    return Row(name, bar, f"{number}{more}".replace("|", "/"), number == 0)


def accounts(name: str, clients: Sequence[Client]) -> Row:
    wrong = [each for client in clients for each in wrong_accounts(client.notes)]
    handled = sum(len(results(client.notes)) for client in clients)
    missed = sum(note["missed"] for client in clients for note in results(client.notes))
    told = f"{len(wrong)} of {handled:,} results handled, {missed:,} told as missed"
    return Row(name, "0", f"{told}{': ' if wrong else ''}{'; '.join(wrong[:2])}", not wrong)


def _fast_slow_fast(used: Sequence[Way]) -> list[Row]:
    """Each way at once: at first quick, then with 0.5 s a result, then quick again."""
    fps, end = 30, _FAST_S + _SLOW_S
    asked = {"handler": [[0, 0], [_FAST_S, _SLOW_HANDLER_S], [end, 0]]}
    clients = beside_each_other(
        fps, [_client(way, dict(asked)) for way in used], end + BACK_S + 8.0
    )
    with_ack = [client for client in clients if client.ack]
    without = [client for client in clients if not client.ack]
    bounded = [each for each in without if _bar(each.facts["way"])]
    boundless = [each for each in without if not _bar(each.facts["way"])]
    return [
        _back_row("with ack", with_ack, end, fps, True),
        _back_row("without ack", bounded, end, fps, True),
        _back_row("without ack, a queue without a bound", boundless, end, fps, False),
    ]


def _back_row(name: str, clients: Sequence[Client], end: float, fps: int, barred: bool) -> Row:
    found = {
        client.facts["way"].library.name: back_after(client.notes, client.opened_at + end, fps)
        for client in clients
    }
    late = {each: took for each, took in found.items() if took is None or took > BACK_S}
    took = [each for each in found.values() if each is not None]
    told = f"{len(found) - len(late)} of {len(found)}, the slowest {max(took, default=0):.1f} s"
    told += "".join(f"; {each}: {seconds(when)}" for each, when in late.items())
    return Row(
        f"{name}: back at {fps}/s after {_SLOW_S:g} s of {_SLOW_HANDLER_S:g} s a result",
        f"<= {BACK_S:g} s" if barred else "",
        told,
        not late if barred else None,
    )


def seconds(found: float | None, unit: str = " s") -> str:
    return "never" if found is None else f"{found:.1f}{unit}"


def named(*names: str) -> list[Way]:
    """The ways of these libraries."""
    return [way for way in ways() if way.library in [BY_NAME[name] for name in names]]
