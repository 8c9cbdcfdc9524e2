"""The check of the predictor in `framefan doctor`: a separate process runs it as a worker would.

The process (isolated.py) is framefan_inference/worker/tryout.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from framefan.commands.doctor.isolated import ask
from framefan.errors import FramefanError, RunError
from framefan.ipc import setup_death
from framefan.ipc.processes import describe_exit
from framefan.ipc.tryout import Failed, PredictorFacts, PredictorTryout

if TYPE_CHECKING:
    from framefan.settings.run import Settings

_MODULE = "framefan_inference.worker.tryout"
_CALLS = 2
_GRACE_S = 5.0


def attempt(
    settings: Settings, width: int, height: int, jpeg: bytes = b""
) -> PredictorFacts | FramefanError:
    """Load it, set it up and call it with a picture of that size.

    `jpeg`: a camera's picture, for what the predictor reports about itself.
    """
    limits = settings.limits
    asked = PredictorTryout(
        settings.predictor,
        settings.device,
        settings.all_workers,
        limits.result_bytes,
        settings.cameras[0].name,
        width,
        height,
        jpeg,
    )
    limit_s = limits.worker_start_s + _CALLS * limits.predict_s + _GRACE_S
    answer = ask(["-m", _MODULE], asked, limit_s)
    if not answer.said and answer.code is None:
        return RunError(
            f'the predictor "{settings.predictor}" gave no result within {limit_s:g} s',
            f"a worker has {limits.worker_start_s:g} s to start and {limits.predict_s:g} s per"
            " frame",
            "set worker_start_s or predict_s under [limits] in a file for --config",
        )
    if not answer.said and answer.code is not None:
        words = answer.stderr.strip().splitlines()
        said = f": {words[-1]}" if words else " without a message"
        return RunError(
            f'the predictor "{settings.predictor}" ended its process',
            describe_exit(answer.code) + said,
            setup_death.cure(settings.predictor),
        )
    told = msgspec.json.decode(answer.said, type=PredictorFacts | Failed)
    return (
        told if isinstance(told, PredictorFacts) else FramefanError(told.what, told.why, told.fix)
    )
