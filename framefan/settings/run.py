"""Settings: frozen records, decoded once, handed to children over an inherited socket."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from msgspec import Struct

from framefan.errors import UsageError
from framefan.settings.secret import Secret, SourceText

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
TOKEN_VARIABLE = "FRAMEFAN_TOKEN"  # noqa: S105 - its name, not its value
"""The environment may hold the token; no child inherits it."""
SOURCES_VARIABLE = "FRAMEFAN_SOURCES"
"""Nor this one: addresses of cameras, with their passwords."""
Mode = Literal["live", "every"]


class CameraSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera: a `[[camera]]` table of the configuration file has these keys."""

    name: str
    source: SourceText
    mode: Mode = "live"
    fast: bool = False
    loop: bool = False
    max_fps: float = 0.0
    """Frames beyond so many a second are left out before they are decoded; 0: none are."""
    max_size: str = ""
    """`1280x720`: larger pictures are scaled down to fit, keeping their shape."""
    transport: Literal["tcp", "udp"] = "tcp"
    """What RTSP carries its pictures over."""
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    stalled_s: float = 2.0
    """No frame for this long is told to the clients as `stalled`."""
    frozen_s: float = 10.0
    """The same picture for this long is told as `frozen`; 0: never."""
    no_progress_s: float = 15.0
    """A capture without progress for this long is killed. Waiting for a slot is progress."""
    backoff_first_s: float = 0.5
    backoff_cap_s: float = 30.0


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers most people never change; each can be set in the `[limits]` table of the file."""

    spare_slots: int = 3
    order_wait_s: float = 0.5
    worker_start_s: float = 120.0
    predict_s: float = 10.0
    batch_wait_ms: float = 10.0
    """A frame waits no longer than this for others to share a call with; 0: not at all."""
    circuit_deaths: int = 3
    """Workers that end with frames of one camera in hand, before it is left out; 0: it never is,
    and such deaths count on the worker."""
    circuit_within_s: float = 60.0
    circuit_retry_s: float = 60.0
    """How long it is left out before one frame is tried."""
    worker_memory_bytes: int = 4 << 30
    """A worker that has more, without shared memory, is replaced; 0: none is."""
    no_progress_s: float = 15.0
    """A gateway or pool without progress for this long is killed."""
    restarts: int = 5
    restarts_within_s: float = 60.0
    restart_first_s: float = 0.5
    restart_cap_s: float = 30.0
    result_bytes: int = 256 * 1024
    bus_hwm: int = 256
    picture_bytes: int = 16 << 20
    """What may wait in the pool, in pictures, for each reader of the bus that stands still."""
    grace_s: float = 10.0
    every_messages: int = 1000
    every_bytes: int = 1 << 20
    history_s: float = 60.0
    history_bytes: int = 4 << 20
    """Of each camera, so much is kept for clients that come late or come back."""
    stall_s: float = 5.0
    """A client that has bytes waiting and takes none for this long is disconnected."""
    silence_s: float = 60.0
    """A client of which nothing at all came for this long, no pong either, is disconnected."""
    unsent_bytes: int = 16 * 1024
    """Bytes of one client that the kernel may hold unsent; older than this is not 'latest'."""
    client_buffer_bytes: int = 1 << 20
    gateway_buffer_bytes: int = 256 << 20
    """What may wait for all clients together; beyond it those furthest behind are disconnected."""
    inbound_bytes: int = 16 * 1024
    inbound_per_s: float = 20.0
    handshake_s: float = 5.0
    max_clients: int = 10_000
    clients_per_address: int = 0
    """0: as many as there may be."""
    max_handshakes: int = 64
    state_every_s: float = 1.0
    state_lost_s: float = 3.0


class Keys(Struct, frozen=True):
    """Who may read what is published: the server's secret key, and its readers' public ones."""

    folder: str = ""
    secret: Secret = Secret("")
    readers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.secret)

    def __str__(self) -> str:
        return self.folder


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of framefan, complete."""

    name: str = "default"
    run_dir: str = ""
    cameras: tuple[CameraSettings, ...] = ()
    workers: int = 2
    gateways: int = 1
    predictor: str = "motion"
    host: str = "127.0.0.1"
    port: int = 8765
    track: bool = False
    reload: bool = False
    fail_fast: bool = False
    """One source that cannot start ends the run."""
    device: str = ""
    publish: str = ""
    """One more endpoint of the results bus; as it is bound, once the run has begun."""
    publish_keys: Keys = Keys()
    token: Secret = Secret("")
    tls_cert: str = ""
    tls_key: str = ""
    origins: tuple[str, ...] = ()
    duration_s: float = 0.0
    """0: until stopped."""
    log_level: str = "info"
    log_format: Literal["text", "json"] = "text"
    limits: Limits = Limits()

    def camera(self, name: str) -> CameraSettings:
        return next(camera for camera in self.cameras if camera.name == name)

    def path(self, name: str) -> str:
        """The path of a socket or lock in this run's own folder."""
        return f"{self.run_dir}/{name}"

    @property
    def slots(self) -> int:
        """Slots per camera: one for each worker, one waiting, one being written, one on its way."""
        return self.workers + self.limits.spare_slots

    @property
    def results_endpoint(self) -> str:
        return f"ipc://{self.run_dir}/results"

    @property
    def picture_endpoints(self) -> tuple[str, ...]:
        """For small, middling and large pictures: a reader connects to all of them."""
        return tuple(f"ipc://{self.run_dir}/picture{number}" for number in (1, 2, 3))

    @property
    def outcomes_endpoint(self) -> str:
        return f"ipc://{self.run_dir}/outcomes"


def run_root() -> Path:
    """The folder that holds one folder per run; private to this user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or f"/tmp/framefan-{os.getuid()}") / "framefan"  # noqa: S108 - 0700, checked


def run_dir(name: str) -> Path:
    """Raises UsageError for a name that would not do as a folder, or a path too long for ipc."""
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
