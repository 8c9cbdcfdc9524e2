"""`framefan reload`: read the configuration again and apply it to the running cameras.

1. The run reads its configuration again, with the arguments and environment of its start. A thread
   reads it, so that a disk that does not answer cannot block the supervisor's loop.
2. If the configuration has any error, nothing changes.
3. Cameras are identified by name. A camera whose fields are all unchanged is not touched.
   Predictors are added and removed by name, together with the cameras. A camera that only gets
   another predictor keeps its capture process.
4. If the number of workers or gateways or a predictor changed in the configuration, it is applied
   next, one after the other, as `framefan scale` and `swap` do it. If one of them fails, the other
   changes stay applied. What `scale` or `swap` changed since stays, and a note says so.
5. All other changes are only reported: they take effect at the next start.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framefan.base import clock, logs
from framefan.config.configure import Invocation
from framefan.errors import EXIT_FAILED, EXIT_OK, FramefanError, RunError
from framefan.ipc.messages import (
    Changed,
    Changing,
    NotDone,
    Reload,
    Reloaded,
)
from framefan.supervisor import control, rundir
from framefan.supervisor.reload_plan import applied, drifted, is_other, plan, values

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.ipc.messages import FromControl, ToControl
    from framefan.settings.run import Settings
    from framefan.supervisor.control import Asker
    from framefan.supervisor.reload_plan import Plan, Value

READ_S = 10.0
"""How long reading the configuration may take."""
_QUIET_S = 0.3
_WRITING_S = 3.0
"""A file that changed within the last _QUIET_S may be incomplete. It is read once it has not
changed for that long, at the latest after _WRITING_S.
"""
_LOOK_S = 0.02
_ANSWER_S = READ_S + 5.0
UNDER_WAY = NotDone(
    EXIT_FAILED,
    "another reload is under way",
    "the configuration is being read",
    "wait for its answer, then try again",
)
STOPPING = NotDone(
    EXIT_FAILED, "the run is stopping", "it received a stop signal", "start it again"
)


class Reloads:
    """The supervisor's side of a reload. A thread reads the file; the loop applies the changes.

    Only one reload runs at a time. `read`: the configuration as last read and applied. `act`
    changes the cameras; `change` receives the requests that scale or swap; `run` returns the
    settings that the run has now.
    """

    def __init__(
        self,
        read: Settings,
        invocation: Invocation,
        act: Callable[[Plan, Settings], None],
        change: Callable[[Asker], None],
        run: Callable[[], Settings],
    ) -> None:
        self.read = read
        self._invocation = invocation
        self._act = act
        self._change = change
        self._run = run
        self._reading: _Reading | None = None
        self._client: Asker | None = None
        self._steps: _Steps | None = None

    def ask(self, client: Asker) -> None:
        if self._client is not None or (self._reading and self._reading.is_alive()):
            client.answer(UNDER_WAY)
        else:
            self._client = client
            self._reading = _Reading(self._invocation, clock.now() + READ_S)
            self._reading.start()

    def next_event(self) -> float:
        """Poll the reading thread often while a client waits: the thread cannot wake the loop."""
        waits = self._client is not None and self._steps is None
        return clock.now() + _LOOK_S if waits else float("inf")

    def tick(self, now: float) -> None:
        reading, client = self._reading, self._client
        if reading is None or client is None or self._steps is not None:
            return
        if reading.is_alive():
            if now >= reading.deadline:
                self._answer(self._refuse(_too_slow(self._invocation)))
        elif reading.settings is None:
            self._answer(self._refuse(reading.error))
        else:
            self._follow(client, reading.settings, reading.notes)

    def _follow(self, client: Asker, new: Settings, notes: list[str]) -> None:
        made, run = plan(self.read, new), self._run()
        notes = [*made.notes, *drifted(run, self.read, new), *notes]
        logs.info(made.line())
        for note in notes:
            logs.info(f"reload: {note}")
        self.read = applied(self.read, new)
        for each in values(run, new):
            if not is_other(each, run, new):
                self.read = each.set(self.read, each.of(new))
        if made:
            self._act(made, new)
        done = Reloaded(
            made.added,
            made.changed,
            made.removed,
            made.kept,
            notes,
            added_predictors=made.added_predictors,
            removed_predictors=made.removed_predictors,
        )
        self._steps = _Steps(client, self.read, new, done)
        self._go_on()

    def _go_on(self) -> None:
        """The next step, or the answer after the last one."""
        steps = self._steps
        assert steps is not None
        if step := steps.next(self._stepped):
            step.tell(Changing(f"changing the {step.value}"))
            self._change(step)
        else:
            self._steps = None
            self._answer(steps.done)

    def _stepped(self, value: Value, to: Any) -> None:
        """Record what is now as in the file; None: the step failed."""
        if to is not None:
            self.read = value.set(self.read, to)
        self._go_on()

    def _answer(self, answer: Reloaded | NotDone) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.answer(answer)

    def _refuse(self, error: FramefanError) -> NotDone:
        logs.error(f"reload: nothing changed: {error.what}", why=error.why)
        texts = (logs.clean(text) for text in (error.what, error.why, error.fix))
        return NotDone(error.exit_code, *texts)


class _Steps:
    """The scale and swap steps that follow the change of the cameras, and their outcomes."""

    def __init__(self, client: Asker, old: Settings, new: Settings, done: Reloaded) -> None:
        self.client = client
        self.done = done
        self._todo = [
            (each, each.of(new)) for each in values(old, new) if each.of(old) != each.of(new)
        ]

    def next(self, on_end: Callable[[Value, Any], None]) -> _Step | None:
        return _Step(self, *self._todo.pop(0), on_end) if self._todo else None


class _Step:
    """One scale or swap, requested as a command would request it."""

    def __init__(
        self, steps: _Steps, value: Value, to: Any, on_end: Callable[[Value, Any], None]
    ) -> None:
        self._steps = steps
        self.value = value
        self._to = to
        self._on_end = on_end
        self.request: ToControl | None = value.request(to)

    def tell(self, message: Changing) -> None:
        self._steps.client.tell(message)

    def answer(self, message: FromControl) -> None:
        done = self._steps.done
        if isinstance(message, Changed):
            done.applied[str(self.value)] = (message.was, message.now)
            done.notes.extend(message.notes)
            self._on_end(self.value, self._to)
        elif isinstance(message, NotDone):
            text = f"{self.value} did not become {self._to}: {message.what}: {message.why}"
            logs.error(f"reload: {text}")
            done.failed.append(logs.clean(text))
            self._on_end(self.value, None)


def _too_slow(invocation: Invocation) -> RunError:
    return RunError(
        f"the configuration was not read within {READ_S:g} s",
        f"{invocation.config} or a file that it names does not answer",
        "check that the disk is mounted and that it is a regular file, then try again",
    )


class _Reading(threading.Thread):
    """Reads the configuration once. A daemon thread, because a hung disk may block it forever."""

    def __init__(self, invocation: Invocation, deadline: float) -> None:
        super().__init__(name="reload", daemon=True)
        self._invocation = invocation
        self.deadline = deadline
        self.settings: Settings | None = None
        self.notes: list[str] = []
        self.error: FramefanError = RunError("the configuration was not read")

    def run(self) -> None:
        _await_writer(self._invocation.config)
        try:
            settings, self.notes = self._invocation.read_again()
        except FramefanError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - the thread's last handler: users get one line
            self.error = RunError(f"internal error: {type(error).__name__}: {error}")
        else:
            self.settings = settings


def _await_writer(path: str) -> None:
    until = clock.now() + _WRITING_S
    with contextlib.suppress(OSError):  # the file is missing: reading it reports that
        while clock.now() < until and abs(clock.wall() - Path(path).stat().st_mtime) < _QUIET_S:
            threading.Event().wait(_LOOK_S)


# ---- the command -------------------------------------------------------------------------------


def show(name: str | None, as_json: bool) -> int:
    """Ask the run of that name to reload, and print what it did. Raises FramefanError."""
    run = rundir.meant(name, "framefan reload")
    done = control.ask(run, Reload(), _ANSWER_S, None if as_json else control.show_step)
    assert isinstance(done, Reloaded)
    control.show(done, lines(done), as_json)
    return EXIT_FAILED if done.failed else EXIT_OK


def lines(done: Reloaded) -> list[str]:
    parts = [("added", done.added), ("changed", done.changed), ("removed", done.removed)]
    said = [f"{word:<9}{name}" for word, names in parts for name in names]
    said += [f"added    predictor {name}" for name in done.added_predictors]
    said += [f"removed  predictor {name}" for name in done.removed_predictors]
    said += [f"changed  {field} {was} -> {now}" for field, (was, now) in done.applied.items()]
    said += [f"failed   {text}" for text in done.failed]
    nothing = "nothing changed in the run" if done.notes else "nothing changed"
    return (said or [nothing]) + [f"note     {note}" for note in done.notes]
