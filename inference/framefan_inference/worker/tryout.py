"""Tries a predictor once in a process of its own, for `framefan doctor`.

    python -m framefan_inference.worker.tryout   < PredictorTryout as JSON   > one line of JSON

It does what a worker does: import, setup and a call, with a made-up picture. What the user's code
prints goes to stderr.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.base import clock, host, userfile
from framefan.errors import FramefanError, StartError
from framefan.ipc.records import PredictError
from framefan.ipc.tryout import Failed, PredictorFacts, PredictorTryout
from framefan_inference.predictors import predictor as predictors
from framefan_inference.predictors import results, threads
from framefan_inference.predictors.frame import Frame

if TYPE_CHECKING:
    from framefan_inference.predictors.predictor import Predictor

_MEND = "fix it: clients get an error for each such frame"


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)
    host.die_with_parent(int(sys.argv[1]))
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=PredictorTryout)
    sys.dont_write_bytecode = True
    threads.limit(asked.workers)
    try:
        told: PredictorFacts | Failed = attempt(asked)
    except FramefanError as error:
        told = Failed(error.what, error.why, error.fix)
    answers.write(msgspec.json.encode(told))
    os._exit(0)  # threads of the user's code would keep the process alive


def attempt(asked: PredictorTryout) -> PredictorFacts:
    """Load, set up and call the predictor. Raises FramefanError."""
    predictor = predictors.load(asked.predictor)
    uses_device = predictors.set_up(predictor, asked.predictor, asked.device)
    threads.limit_opencv()
    _call(predictor, asked)  # the first call warms up many models
    began = clock.now()
    _call(predictor, asked)
    took_s = clock.now() - began
    facts = host.own_status("Threads", "VmSize")
    return PredictorFacts(
        took_s,
        host.own_bytes(os.getpid()),
        facts["Threads"],
        facts["VmSize"] << 10,
        uses_device,
        predictor.about(asked.jpeg),
    )


def _call(predictor: Predictor, asked: PredictorTryout) -> None:
    image, frame = _picture(asked.width, asked.height), Frame(asked.camera, 0, clock.wall(), 0)
    try:
        returned = predictor.predict(image, frame)
        size = asked.width, asked.height
        kind, payload = results.convert(returned, predictor.labels, asked.result_bytes, size)
    except results.ResultError as error:
        why = error.message + predictor.place
        raise _of_call(asked, why, "return what docs/predictors.md lists") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything
        raise _of_call(asked, f"{type(error).__name__}: {userfile.told(error)}", _MEND) from None
    if kind == "error":
        why = msgspec.msgpack.decode(payload, type=PredictError).message
        raise _of_call(asked, why, _MEND)


def _of_call(asked: PredictorTryout, why: str, fix: str) -> StartError:
    what = f'the predictor "{asked.predictor}" returns no valid result for a picture'
    return StartError(f"{what} of {asked.width}x{asked.height}", why, fix)


def _picture(width: int, height: int) -> Any:
    """A grey gradient, brighter to the right, with a dark square; read-only."""
    import numpy as np

    line = np.linspace(40, 215, width, dtype=np.uint8)
    image = np.repeat(np.repeat(line[None, :, None], height, 0), 3, 2)
    image[height // 3 : height // 2, width // 3 : width // 2] = 20
    image.flags.writeable = False
    return image


if __name__ == "__main__":
    main()
