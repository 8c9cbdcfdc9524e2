"""`framefan scale` and `framefan swap REF`: change workers, gateways or predictor during a run.

The command checks what it can check itself, and shows the run's current step while it waits. The
run's pool makes the change (framefan_inference/pool/changes.py). The supervisor relays the
messages, one change at a time. It records the outcome, so that a pool started later has the same
workers and predictor. The supervisor itself starts and stops gateways: scale_gateways.py.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from framefan.config.configure import check_predictor
from framefan.config.predictor_settings import unknown
from framefan.errors import EXIT_FAILED, UsageError
from framefan.ipc.messages import Changed, Changing, NotDone, Scale, ScaleGateways, Swap
from framefan.settings import predictor_ref, query
from framefan.settings.options import OPTIONS
from framefan.supervisor import control, rundir

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.settings.run import Settings
    from framefan.supervisor.control import Asker

UNDER_WAY = NotDone(
    EXIT_FAILED,
    "another change is under way",
    "workers or gateways are being started or stopped",
    "wait for its answer, then try again",
)
_NO_POOL = NotDone(
    EXIT_FAILED,
    "no change was made",
    "the pool is starting",
    "try again in a few seconds",
)
_POOL_DIED = NotDone(
    EXIT_FAILED,
    "the change was not finished",
    "the pool died; it restarts with the previous settings",
    "see the run's log, then try again",
)


class ChangeRelay:
    """The supervisor's side. `tell_pool` returns whether the request reached a pool; `run` returns
    the settings that the run has now.
    """

    def __init__(
        self, tell_pool: Callable[[Scale | Swap], bool], run: Callable[[], Settings]
    ) -> None:
        self._tell_pool = tell_pool
        self._run = run
        self._client: Asker | None = None

    def ask(self, client: Asker, request: Scale | Swap) -> None:
        if refusal := refused(request, self._run()):
            client.answer(refusal)
        elif self._client is not None:
            client.answer(UNDER_WAY)
        elif self._tell_pool(request):
            self._client = client
        else:
            client.answer(_NO_POOL)

    def heard(self, message: Changing | Changed | NotDone) -> None:
        if self._client is None:
            return
        if isinstance(message, Changing):
            self._client.tell(message)
        else:
            client, self._client = self._client, None
            client.answer(message)

    def pool_died(self) -> None:
        self.heard(_POOL_DIED)


def refused(request: Scale | Swap, run: Settings) -> NotDone | None:
    """Why the request names no predictor of the run; None if it does."""
    names, name = [each.name for each in run.all_predictors], request.predictor_name
    command = "scale" if isinstance(request, Scale) else "swap"
    if name in names or (not name and len(names) == 1):
        return None
    error = unknown(name, names, f"`framefan {command}`", "--predictor {}")
    if not name:
        error = UsageError(
            f"`framefan {command}` needs the name of a predictor",
            f"the run has several: {', '.join(names)}",
            f"add --predictor {names[0]}",
        )
    return NotDone(error.exit_code, error.what, error.why, error.fix)


def followed(settings: Settings, done: Changed) -> Settings:
    """The settings that the run has now, with which the next pool is started."""
    if done.what == "gateways":
        return msgspec.structs.replace(settings, gateways=int(done.now))
    if done.what == "workers":
        return settings.with_predictor(done.predictor_name, workers=int(done.now))
    return settings.with_predictor(done.predictor_name, predictor=done.now)


# ---- the commands ------------------------------------------------------------------------------


def scale(
    name: str | None, workers: int | None, gateways: int | None, predictor: str, as_json: bool
) -> int:
    """Change the number of workers or gateways of the run. Raises FramefanError."""
    if (workers is None) == (gateways is None):
        raise UsageError(
            "scale needs one number",
            "workers and gateways are changed one at a time",
            "framefan scale 4, or framefan scale --gateways 2",
        )
    if workers is None:
        assert gateways is not None
        if predictor:
            raise UsageError(
                "scale --gateways takes no --predictor",
                "gateways serve the results of all predictors",
                "leave out --predictor",
            )
        OPTIONS["gateways"].check(gateways)
        run = rundir.meant(name, f"framefan scale --gateways {gateways}")
        return _show(run, ScaleGateways(gateways), as_json)
    OPTIONS["workers"].check(workers, "the number of workers")
    run = rundir.meant(name, f"framefan scale {workers}{_of(predictor)}")
    return _show(run, Scale(workers, predictor), as_json)


def swap(name: str | None, reference: str, predictor: str, as_json: bool) -> int:
    """Change a predictor of the run. Raises FramefanError."""
    check_predictor(reference)
    run = rundir.meant(name, f"framefan swap {shlex.quote(reference)}{_of(predictor)}")
    return _show(run, Swap(absolute(reference), predictor), as_json)


def _of(predictor: str) -> str:
    return f" --predictor {shlex.quote(predictor)}" if predictor else ""


def absolute(reference: str) -> str:
    """The reference with an absolute path: the run may have another current directory."""
    parsed = predictor_ref.parse(reference)
    if parsed.kind == "file":
        return f"{Path(parsed.target).absolute()}:{parsed.attribute}"
    if parsed.kind == "onnx":
        path, pairs = query.split(parsed.target)
        pairs = [
            (key, str(Path(value).absolute()) if key == "labels" and value else value)
            for key, value in pairs
        ]
        mark = "?" if pairs else ""
        return f"onnx:{Path(path).absolute()}{mark}{urlencode(pairs, safe='/')}"
    return reference


def _show(name: str, request: Scale | ScaleGateways | Swap, as_json: bool) -> int:
    done = control.ask(name, request, None, None if as_json else control.show_step)
    assert isinstance(done, Changed)
    control.show(done, lines(done), as_json)
    return 0


def lines(done: Changed) -> list[str]:
    """What was changed, as lines for people."""
    said = f"{done.what:<9}  {done.was} -> {done.now}"
    if done.what != "predictor" and done.was == done.now:
        said = "nothing changed"
    elif done.predictor_name:
        said = f"{done.what} of {done.predictor_name}  {done.was} -> {done.now}"
    return [said] + [f"note       {note}" for note in done.notes]
