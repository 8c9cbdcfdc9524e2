"""A worker: one process, one predictor, one call at a time.

1. A lease names a slot. The worker maps the slot's ring once, read-only, and passes the predictor
   an array over the slot itself: nothing is copied.
2. The worker sends the outcome on ZeroMQ, then returns the lease on its link. The pool may receive
   them in either order: the outcome settles the seq, the return frees the slot. Watched pictures
   are encoded from the slot between the two, so no result waits for a picture.
3. Before it returns the lease, the worker checks whether the predictor still holds the image. All
   views of a frame share one base array, so its reference count shows that. The result is valid:
   the frame was intact while predict ran. But the slot's memory will be reused, so from then on the
   predictor gets copies, which are slower and safe to keep. One warning says so.
4. Several leases that came together are one call of `predict_batch`. If it raises and the predictor
   is not stateful, the frames are tried one by one, so that only the faulty one is an error. Frames
   that do not fit into the deadline of the call are errors too.

Whatever the predictor raises becomes an error result, and the worker survives. The pool notices
what the worker cannot survive: a native crash, a killed process, a hang.
"""

from __future__ import annotations

import faulthandler
import gc
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from framefan.base import clock, logs, userfile
from framefan.errors import EXIT_START, FramefanError, LinkClosed
from framefan.ipc import bus
from framefan.ipc.messages import (
    Attach,
    Detach,
    Draw,
    Lease,
    Leases,
    Notice,
    Returned,
    Stop,
    ToWorker,
    Tried,
    Try,
    WorkerFailed,
    WorkerReady,
    WorkerStep,
)
from framefan.ipc.outcomes import WorkerOutcome, WorkerPreview
from framefan.ipc.processes import Parent, settle
from framefan.ipc.records import PredictError
from framefan.ipc.ring import RingReader
from framefan_inference.predictors import predictor as predictors
from framefan_inference.predictors import results, threads
from framefan_inference.predictors.frame import Frame
from framefan_inference.worker.painter import Painter

if TYPE_CHECKING:
    from framefan.settings.run import Settings
    from framefan_inference.predictors.predictor import Predictor

Answer = tuple[results.Kind, bytes]
LOADING = "loading"
WARMING_UP = "warming up"
"""The steps that a worker reports before it is ready: import and setup of the predictor."""


def _unheld() -> int:
    """The reference count of an object that only a caller and its callee hold.

    It depends on the interpreter: since 3.14 some local variables only borrow.
    """

    def count(base: object) -> int:
        return sys.getrefcount(base)

    base = object()
    return count(base)


_UNHELD = _unheld()


class Worker:
    """The predictor, the rings it reads from and the socket for its outcomes."""

    def __init__(self, parent: Parent, predictor: Predictor, outcomes: Outcomes) -> None:
        self._link = parent.link
        self._early = parent.early
        self._limit = parent.settings.limits.result_bytes
        self._deadline_s = parent.settings.limits.predict_s
        self._predictor = predictor
        self._outcomes = outcomes
        self._rings: dict[tuple[str, int], RingReader] = {}
        self._copies = False
        self._left_out: set[str] = set()
        """Kinds of returned data that clients do not get and that were already reported."""
        self._painter = Painter(parent.settings, outcomes.send_preview)
        self._stopping = False

    def run(self) -> None:
        """Serve leases until a Stop arrives. Raises LinkClosed when the pool is gone."""
        messages = self._early  # a Stop may have come together with the settings
        while True:
            for message in messages:
                self._handle(message)
            if self._stopping:
                return
            messages = self._link.receive(block=True)

    def _handle(self, message: Any) -> None:
        match message:
            case Lease():
                self._serve(message)
            case Leases(leases):
                self._serve_together(leases)
            case Try(lease):
                self._try(lease)
            case Draw():
                self._painter.draw(message)
            case Attach(camera, ring, slots, slot_bytes):
                fd = self._link.take_fd()
                self._rings[camera, ring] = RingReader(fd, ring, slots, slot_bytes)
            case Detach(camera, ring):
                self._rings.pop((camera, ring), None)
            case Stop():
                self._stopping = True

    def _serve(self, lease: Lease, since: float | None = None) -> None:
        """`since`: when the earlier call with this frame began, if there was one."""
        started = clock.now()
        answer, finished = self._answer(lease)
        self._finish(lease, answer, started if since is None else since, finished)

    def _try(self, lease: Lease) -> None:
        """Run the self-test: predict as for a lease, but send the outcome to the pool only."""
        (kind, payload), _ = self._answer(lease)
        if kind == "error":
            error = msgspec.msgpack.decode(payload, type=PredictError)
            self._link.send(Tried(error.kind, error.message))
        else:
            self._link.send(Tried())

    def _answer(self, lease: Lease) -> tuple[Answer, float]:
        """Predict; returns kind and payload, and when predict ended.

        The predictor does not read the slot after this.
        """
        base = self._base(lease)
        kind, payload = self._predict(lease, base)
        finished = clock.now()
        if not self._copies and self._is_held(base):
            self._give_copies()
        return (kind, payload), finished

    def _base(self, lease: Lease) -> Any:
        reader = self._rings[lease.camera, lease.ring]
        return reader.base(lease.slot, lease.height * lease.width * 3)

    def _finish(self, lease: Lease, answer: Answer, started: float, finished: float) -> None:
        self._tell(lease, answer, started, finished)
        self._give_back(lease, answer)

    def _tell(self, lease: Lease, answer: Answer, started: float, finished: float) -> None:
        kind, payload = answer
        self._outcomes.send(
            WorkerOutcome(lease.lease, kind, started, finished, msgspec.Raw(payload))
        )

    def _give_back(self, lease: Lease, answer: Answer) -> None:
        if lease.pictures:
            self._show(lease, answer)
        self._link.send(Returned(lease.lease))

    def _show(self, lease: Lease, answer: Answer) -> None:
        kind, payload = answer
        image = self._base(lease).reshape(lease.height, lease.width, 3)
        self._painter.show(lease, image, payload if kind == "detections" else None)

    def _serve_together(self, leases: list[Lease]) -> None:
        bases = [self._base(lease) for lease in leases]
        started = clock.now()
        answers, raised = self._predict_together(leases, bases)
        finished = clock.now()
        if raised and not self._predictor.stateful:
            del bases
            self._serve_one_by_one(leases, started, raised)
            return
        if not self._copies and any(self._is_held(bases[n]) for n in range(len(bases))):
            self._give_copies()
        for lease, answer in zip(leases, answers, strict=True):
            self._tell(lease, answer, started, finished)
        for lease, answer in zip(leases, answers, strict=True):
            self._give_back(lease, answer)

    def _serve_one_by_one(self, leases: list[Lease], started: float, raised: bytes) -> None:
        """Retry the frames of a call that raised, while the longest step so far still fits."""
        longest = clock.now() - started
        for lease in leases:
            began = clock.now()
            if began + longest > started + self._deadline_s:
                self._finish(lease, ("error", raised), started, began)
                continue
            self._serve(lease, since=started)
            longest = max(longest, clock.now() - began)

    def _predict_together(
        self, leases: list[Lease], bases: list[Any]
    ) -> tuple[list[Answer], bytes]:
        """Returns an answer for each lease, and the error payload if predict_batch raised."""
        images = [self._image(lease, base) for lease, base in zip(leases, bases, strict=True)]
        frames = [_frame(lease) for lease in leases]
        try:
            returned = self._predictor.predict_batch(images, frames)
        except results.ResultError as error:
            told = results.error(error.kind, error.message)
            return [("error", told)] * len(leases), b""
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            text = userfile.told(error)
            logs.debug("predict_batch raised", cameras=[e.camera for e in leases], error=text)
            told = results.error(type(error).__name__, text)
            return [("error", told)] * len(leases), told
        pairs = zip(returned, leases, strict=True)
        return [self._converted(each, lease) for each, lease in pairs], b""

    def _convert(self, returned: Any, lease: Lease) -> Answer:
        size = lease.width, lease.height
        return results.convert(
            returned, self._predictor.labels, self._limit, size, self._tell_left_out
        )

    def _converted(self, returned: Any, lease: Lease) -> Answer:
        try:
            return self._convert(returned, lease)
        except results.ResultError as error:
            return "error", results.error(error.kind, error.message)
        except BaseException as error:  # noqa: BLE001 - the user's objects may raise anything
            return "error", results.error(type(error).__name__, userfile.told(error))

    def _image(self, lease: Lease, base: Any) -> Any:
        image = base.reshape(lease.height, lease.width, 3)
        if self._copies:
            image = image.copy()
            image.flags.writeable = False
        return image

    def _predict(self, lease: Lease, base: Any) -> Answer:
        """Returns kind and payload. Keeps no reference of our own to the image."""
        image = self._image(lease, base)
        try:
            returned = self._predictor.predict(image, _frame(lease))
            return self._convert(returned, lease)
        except results.ResultError as error:
            return "error", results.error(error.kind, error.message + self._predictor.place)
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            text = userfile.told(error)
            logs.debug("predict raised", camera=lease.camera, seq=lease.seq, error=text)
            return "error", results.error(type(error).__name__, text)

    def _is_held(self, base: Any) -> bool:
        """Whether anything else refers to the image; unreachable cycles are collected first."""
        if sys.getrefcount(base) <= _UNHELD:
            return False
        gc.collect()
        return sys.getrefcount(base) > _UNHELD

    def _give_copies(self) -> None:
        self._copies = True
        self._notice(
            "kept_image",
            f"predictor {self._predictor.model} keeps the image, or a result that refers to it, "
            "after predict has returned; the image's memory is reused for other frames, so the "
            "predictor gets copies from now on: keep image.copy(), or drop the result",
        )

    def _tell_left_out(self, what: str) -> None:
        """Report each kind once, because every result has it."""
        if what not in self._left_out:
            self._left_out.add(what)
            self._notice(
                "left_out",
                f"predictor {self._predictor.model} returns {what}, which clients do not get: "
                "return them as custom data if you need them",
            )

    def _notice(self, kind: str, text: str) -> None:
        logs.warning(text)
        self._link.send(Notice(kind, text))


def _frame(lease: Lease) -> Frame:
    return Frame(lease.camera, lease.frame, lease.ts, lease.seq, lease.pts)


class Outcomes:
    """The socket for outcomes: an XPUB, because it reports when the pool has subscribed."""

    def __init__(self, settings: Settings) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._socket = bus.publisher(settings.limits)
        self._socket.connect(settings.outcomes_endpoint)

    def wait_for_subscriber(self, seconds: float) -> bool:
        """Wait for the pool to subscribe; until then ZeroMQ silently drops messages."""
        return bool(self._socket.poll(int(seconds * 1000), zmq.POLLIN))

    def send(self, outcome: WorkerOutcome) -> None:
        self._socket.send(self._encoder.encode(outcome))

    def send_preview(self, head: WorkerPreview, jpeg: bytes) -> None:
        self._socket.send(self._encoder.encode(head), zmq.SNDMORE)
        self._socket.send(jpeg)

    def close(self) -> None:
        """Close; messages already sent get half a second to leave."""
        self._socket.close(linger=500)
        bus.context().term()


def _set_up(parent: Parent) -> Predictor:
    """Load the predictor and run its setup. Raises FramefanError."""
    reference = parent.settings.predictor
    parent.link.send(WorkerStep(LOADING))
    predictor = predictors.load(reference)
    parent.link.send(WorkerStep(WARMING_UP))
    uses_device = predictors.set_up(predictor, reference, parent.settings.device)
    if parent.settings.device and not uses_device:
        text = f"{reference} ignores --device: its setup has no parameter `device`"
        logs.warning(text)
        parent.link.send(Notice("device_unused", text))
    for kind, text in predictor.notices:
        parent.link.send(Notice(kind, text))
    return predictor


def main() -> None:
    parent = Parent("worker", ToWorker)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a SIGTERM ends it; the pool restarts it
    faulthandler.enable()
    parent.write_stacks_when_asked()
    threads.limit(parent.settings.all_workers)
    sys.dont_write_bytecode = True  # .pyc files store whole seconds: a quick edit would be missed
    outcomes = Outcomes(parent.settings)
    try:
        predictor = _set_up(parent)
    except FramefanError as error:
        code = error.exit_code if error.exit_code > 1 else EXIT_START
        parent.link.send(WorkerFailed(code, error.what, error.why, error.fix))
        raise SystemExit(code) from None
    threads.limit_opencv()
    settle()
    if not outcomes.wait_for_subscriber(parent.settings.limits.worker_start_s):
        raise SystemExit("the pool never subscribed to this worker's outcomes")
    try:
        files = predictors.files(parent.settings.predictor)
        facts = predictor.model, predictor.stateful, predictor.max_batch, files
        parent.link.send(WorkerReady(*facts))
        Worker(parent, predictor, outcomes).run()
        predictor.close()
    except LinkClosed:
        logs.debug("the pool is gone")
    except Exception:  # noqa: BLE001 - the process border: log it, then exit with a code
        logs.exception("the worker failed")
        raise SystemExit(1) from None
    finally:
        outcomes.close()


if __name__ == "__main__":
    main()
