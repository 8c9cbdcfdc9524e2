"""Settings: frozen records that children receive over an inherited socket.

A field whose type is annotated with an `Option` is a key of the configuration file. options.py
defines `Option`, and declares the fields that are also flags.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Struct

from framefan.errors import UsageError
from framefan.settings.options import (
    OPTIONS,
    CameraOptions,
    Mode,
    Option,
    PredictorOptions,
    RunOptions,
)
from framefan.settings.secret import Secret, SourceText

__all__ = ["CameraSettings", "Keys", "Limits", "Mode", "PredictorSettings", "Settings"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
TOKEN_VARIABLE = "FRAMEFAN_TOKEN"  # noqa: S105 - its name, not its value
"""Environment variable that may contain the token; no child inherits it."""
SOURCES_VARIABLE = OPTIONS["sources"].variable
"""Environment variable with camera addresses and their passwords; no child inherits it either."""
RUN_PREDICTOR = "default"
"""The name of the predictor that belongs to the run itself, not to a `[[predictor]]` table."""
_PREDICTOR_FIELDS = tuple(PredictorOptions.__annotations__)
_DAY_S = 86400

if TYPE_CHECKING:
    _Camera = CameraOptions
    _Predictor = PredictorOptions
    _Run = RunOptions
else:
    _Camera, _Predictor, _Run = (
        msgspec.defstruct(
            plain.__name__,
            [
                (key, hint, getattr(plain, key))
                for key, hint in get_type_hints(plain, include_extras=True).items()
            ],
            frozen=True,
            kw_only=True,
        )
        for plain in (CameraOptions, PredictorOptions, RunOptions)
    )


class CameraSettings(_Camera, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera: the fields of CameraOptions and these. All are keys of `[[camera]]`."""

    name: Annotated[
        str, Option("1 to 32 of a-z, 0-9, _ and -; else demo, cam1, cam2, ... are used.")
    ]
    source: Annotated[
        SourceText, Option("The source, as on the command line; a whole number is a webcam.")
    ]
    predictor: Annotated[
        str, Option("Name of the camera's predictor; default: the run's own, else the first table.")
    ] = ""
    max_fps: Annotated[
        float, Option("Frames above this rate are dropped undecoded; 0: no limit.", most=1000)
    ] = 0.0
    max_size: Annotated[
        str, Option("1280x720: larger pictures are scaled to fit; the aspect ratio stays.")
    ] = ""
    gate_keep_s: Annotated[
        float,
        Option(
            "With gate, one frame is predicted this often although nothing moves.",
            least=0.1,
            most=_DAY_S,
        ),
    ] = 10.0
    transport: Annotated[
        Literal["tcp", "udp"], Option("Transport of RTSP; for RTSP cameras only.")
    ] = "tcp"
    open_timeout_s: Annotated[
        float, Option("How long to wait for an answer.", least=0.1, most=3600)
    ] = 5.0
    read_timeout_s: Annotated[
        float, Option("How long to wait for a picture.", least=0.1, most=3600)
    ] = 5.0
    stalled_s: Annotated[
        float,
        Option("The state is stalled after this long without a frame.", least=0.1, most=_DAY_S),
    ] = 2.0
    frozen_s: Annotated[
        float,
        Option("The state is frozen after this long with one picture; 0: never.", most=_DAY_S),
    ] = 10.0
    no_progress_s: Annotated[
        float,
        Option(
            "A capture without progress for this long is killed; waiting for a slot is progress. "
            "Default for a network camera: twice its longer timeout plus 5, but at least 15.",
            least=1,
            most=_DAY_S,
        ),
    ] = 15.0
    backoff_first_s: Annotated[
        float, Option("First wait after a failure; later waits double.", least=0.05, most=3600)
    ] = 0.5
    backoff_cap_s: Annotated[
        float,
        Option("Longest wait after a failure; at least backoff_first_s.", least=0.05, most=3600),
    ] = 30.0

    @property
    def for_capture(self) -> CameraSettings:
        """These settings without those that the capture process does not use."""
        return msgspec.structs.replace(self, predictor="")


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers that most users never change; each is a key of the file's `[limits]` table."""

    spare_slots: Annotated[
        int, Option("Slots in memory for each camera, in addition to one for each worker.")
    ] = 3
    order_wait_s: Annotated[
        float,
        Option(
            "In live mode, a result waits at most this long for earlier ones, or twice the recent "
            "p95 of predict if that is longer. Earlier ones still missing then are lost as late."
        ),
    ] = 0.5
    worker_start_s: Annotated[
        float, Option("A worker that is not ready after this time is killed.", least=0.01)
    ] = 120.0
    predict_s: Annotated[
        float,
        Option(
            "A worker is killed if predict takes this long; its frame is lost as predict_timeout.",
            least=0.01,
        ),
    ] = 10.0
    batch_wait_ms: Annotated[
        float, Option("Longest wait of a frame for others in the same predict_batch; 0: none.")
    ] = 10.0
    circuit_deaths: Annotated[
        int,
        Option(
            "A camera is left out after this many workers died with its frames. 0: never; such "
            "deaths then count as the worker's."
        ),
    ] = 3
    circuit_within_s: Annotated[float, Option("Time within which these deaths are counted.")] = 60.0
    circuit_retry_s: Annotated[
        float, Option("How long the camera is left out before one frame is tried.")
    ] = 60.0
    worker_memory_bytes: Annotated[
        int,
        Option(
            "A worker that uses more memory, not counting shared memory, is replaced; 0: never."
        ),
    ] = 4 << 30
    no_progress_s: Annotated[
        float, Option("A gateway or pool without progress for this long is killed.", least=1)
    ] = 15.0
    restarts: Annotated[
        int, Option("A process that ends this many times within restarts_within_s has failed.")
    ] = 5
    restarts_within_s: Annotated[
        float, Option("Time within which ends are counted; a failed process restarts after it.")
    ] = 60.0
    restart_first_s: Annotated[
        float, Option("First wait before a restart; later waits double.")
    ] = 0.5
    restart_cap_s: Annotated[float, Option("Longest wait before a restart.")] = 30.0
    result_bytes: Annotated[
        int, Option("Largest result of predict; a larger one is the error too_large.")
    ] = 256 * 1024
    # At least 1, because 0 means no limit to ZeroMQ.
    bus_hwm: Annotated[int, Option("Messages that the bus keeps for a slow reader.", least=1)] = 256
    picture_bytes: Annotated[
        int,
        Option(
            "Bytes of pictures that the pool keeps for a slow reader of the bus; one picture may "
            "have a quarter of it.",
            least=1 << 20,
        ),
    ] = 16 << 20
    grace_s: Annotated[float, Option("How long a stopping process has before it is killed.")] = 10.0
    every_messages: Annotated[int, Option("Messages that may wait for an every client.")] = 1000
    every_bytes: Annotated[int, Option("Bytes that may wait for an every client.")] = 1 << 20
    history_s: Annotated[
        float, Option("How long results are kept for clients that connect or reconnect later.")
    ] = 60.0
    history_bytes: Annotated[
        int, Option("Bytes of results kept for them, per camera and gateway.")
    ] = 4 << 20
    stall_s: Annotated[
        float,
        Option("A client that accepts no byte for this long, while data waits, is disconnected."),
    ] = 5.0
    silence_s: Annotated[
        float,
        Option("A client that sends nothing for this long, not even a pong, is closed with 4409."),
    ] = 60.0
    unsent_bytes: Annotated[int, Option("Bytes of one client that the kernel may hold unsent.")] = (
        16 * 1024
    )
    client_buffer_bytes: Annotated[
        int, Option("Bytes of replies that may wait for a client that does not read them.")
    ] = 1 << 20
    gateway_buffer_bytes: Annotated[
        int,
        Option(
            "Bytes that may wait for all clients; above it, those furthest behind are disconnected."
        ),
    ] = 256 << 20
    inbound_bytes: Annotated[int, Option("Largest message of a client.")] = 16 * 1024
    inbound_per_s: Annotated[float, Option("Messages per second that a client may send.")] = 20.0
    handshake_s: Annotated[
        float, Option("Time limit for a handshake, and another one for a token in a message.")
    ] = 5.0
    max_clients: Annotated[
        int, Option("Clients at once; fewer if the system allows fewer open files.")
    ] = 10_000
    clients_per_address: Annotated[
        int, Option("Clients at once from one address; 0: no limit.")
    ] = 0
    max_handshakes: Annotated[
        int,
        Option(
            "Connections that have sent no request or token for a second; above it, the oldest "
            "is closed."
        ),
    ] = 64
    state_every_s: Annotated[
        float, Option("How often the pool publishes its state.", least=0.01)
    ] = 1.0
    state_lost_s: Annotated[
        float, Option("The pool is reported as silent after this long without its state.")
    ] = 3.0


class PredictorSettings(_Predictor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several predictors of a run, with all values that its `[[predictor]]` table leaves to
    the run.
    """

    name: Annotated[str, Option("1 to 32 of a-z, 0-9, _ and -; cameras and commands use it.")]
    limits: Limits = Limits()
    """The limits of the run, with those that the table sets."""


class Keys(Struct, frozen=True):
    """The keys of the publish endpoint: the server's secret key and the readers' public keys."""

    folder: str = ""
    secret: Secret = Secret("")
    readers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.secret)

    def __str__(self) -> str:
        return self.folder


class Settings(_Run, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one run: the fields of RunOptions and these."""

    run_dir: str = ""
    cameras: tuple[CameraSettings, ...] = ()
    predictors: tuple[PredictorSettings, ...] = ()
    """Empty if the run has one predictor and no `[[predictor]]` table."""
    publish_keys: Keys = Keys()
    token: Secret = Secret("")
    origins: tuple[str, ...] = ()
    duration_s: float = 0.0
    limits: Limits = Limits()

    def camera(self, name: str) -> CameraSettings:
        return next(camera for camera in self.cameras if camera.name == name)

    # ---- predictors --------------------------------------------------------------------------

    @property
    def all_predictors(self) -> tuple[PredictorSettings, ...]:
        """The predictors of the run, one at least. A camera that names none has the first."""
        if self.predictors:
            return self.predictors
        own = {key: getattr(self, key) for key in _PREDICTOR_FIELDS}
        return (PredictorSettings(name=RUN_PREDICTOR, limits=self.limits, **own),)

    @property
    def all_workers(self) -> int:
        return sum(each.workers for each in self.all_predictors)

    def of(self, predictor: str) -> Settings:
        """The settings as the workers of one predictor see them; empty: of the first predictor."""
        if not self.predictors:
            return self
        every = {each.name: each for each in self.predictors}
        found = every[predictor] if predictor else self.predictors[0]
        own = {key: getattr(found, key) for key in _PREDICTOR_FIELDS}
        return msgspec.structs.replace(self, limits=found.limits, **own)

    def with_predictor(self, name: str, **to: Any) -> Settings:
        """The settings after a change of one predictor's workers or reference."""
        if not self.predictors:
            return msgspec.structs.replace(self, **to)
        changed = (
            msgspec.structs.replace(each, **to) if each.name == name else each
            for each in self.predictors
        )
        return msgspec.structs.replace(self, predictors=tuple(changed))

    def path(self, name: str) -> str:
        """The path of a socket or lock in this run's folder."""
        return f"{self.run_dir}/{name}"

    @property
    def slots(self) -> int:
        """Slots per camera: one for each worker, and `spare_slots` for frames that are waiting,
        being written or in transit. With several predictors ask `of` that of the camera.
        """
        return self.workers + self.limits.spare_slots

    @property
    def results_endpoint(self) -> str:
        return f"ipc://{self.run_dir}/results"

    @property
    def picture_endpoints(self) -> tuple[str, ...]:
        """Endpoints for small, medium and large pictures; a reader connects to all of them."""
        return tuple(f"ipc://{self.run_dir}/picture{number}" for number in (1, 2, 3))

    @property
    def outcomes_endpoint(self) -> str:
        return f"ipc://{self.run_dir}/outcomes"


def run_root() -> Path:
    """The folder that contains one folder per run; private to this user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or f"/tmp/framefan-{os.getuid()}") / "framefan"  # noqa: S108 - 0700, checked


def run_dir(name: str) -> Path:
    """The folder of one run. Raises UsageError for an invalid name, or a path too long for ipc."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot name a run',
            "names are 1 to 32 of a-z, 0-9, _ and -, starting with a letter or digit",
            "choose another --name",
        )
    path = run_root() / name
    if len(os.fsencode(path / "outcomes")) > 100:  # sun_path holds 107 bytes and ZeroMQ's prefix
        raise UsageError(
            f"the path {path} is too long for a Unix socket",
            "the system allows 107 bytes",
            "choose a shorter --name or XDG_RUNTIME_DIR",
        )
    return path
