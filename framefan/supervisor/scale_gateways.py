"""`framefan scale --gateways N`: change the number of gateways during a run.

The supervisor starts additional gateways and answers the command once all of them serve. If one
does not start, all new gateways are removed. To reduce the number, the gateways with the highest
numbers close their clients with 1001 and exit; the clients reconnect to another gateway at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.base import clock, logs
from framefan.errors import EXIT_FAILED
from framefan.ipc.messages import Changed, Changing, NotDone, ScaleGateways
from framefan.supervisor.lifecycle import State
from framefan.supervisor.scale_swap import UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.supervisor.control import Asker
    from framefan.supervisor.process_tree import ProcessTree

START_S = 30.0


class GatewayScale:
    """The supervisor's side, one change at a time; `tick` is called in each turn of its loop.

    `changed` is called with each change that was made.
    """

    def __init__(self, tree: ProcessTree, changed: Callable[[Changed], None]) -> None:
        self._tree = tree
        self._changed = changed
        self._client: Asker | None = None
        self._was = self._want = len(tree.gateways)
        self._by = 0.0

    def ask(self, client: Asker, request: ScaleGateways) -> None:
        if self._client is not None:
            client.answer(UNDER_WAY)
            return
        self._client = client
        self._was, self._want = self._want, request.gateways
        now = clock.now()
        self._by = now + START_S
        self._tree.scale_gateways(self._want, now)
        fewer = self._want < self._was
        client.tell(Changing("stopping gateways" if fewer else "starting gateways"))
        self.tick(now)

    def tick(self, now: float) -> None:
        if self._client is None:
            return
        failed = self._failed(now)
        if failed:
            logs.error(f"scale: {failed}: the number of gateways stays {self._was}")
            self._tree.scale_gateways(self._was, now)
            self._want = self._was
            self._answer(NotDone(EXIT_FAILED, failed, "it exited, or did not become ready in time",
                                 "see the run's log, then try again"))  # fmt: skip
        elif self._is_done:
            logs.info(f"scale: gateways {self._was} -> {self._want}")
            done = Changed("gateways", str(self._was), str(self._want), [])
            self._changed(done)
            self._answer(done)

    @property
    def _is_done(self) -> bool:
        posts = self._tree.gateways
        running = all(post.watch.state is State.RUNNING for post in posts.values())
        return len(posts) == self._want and running

    def _failed(self, now: float) -> str:
        """Why a new gateway failed; empty if none has."""
        for number, post in self._tree.gateways.items():
            if self._was < number <= self._want and post.watch.restarts:
                return f"gateway {number} did not start"
        return "" if now < self._by else f"{self._want} gateways did not run within {START_S:g} s"

    def _answer(self, answer: Changed | NotDone) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.answer(answer)
