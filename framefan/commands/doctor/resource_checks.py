"""The checks of machine limits in `framefan doctor`: compares each with what the run needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from framefan.base import host
from framefan.commands.doctor.findings import Finding, Level
from framefan.ipc.ring_size import SPARE_BYTES, ring_bytes
from framefan.ipc.tryout import PredictorFacts
from framefan.settings import source_spec
from framefan.settings.demo import parse_demo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from framefan.settings.run import CameraSettings, PredictorSettings, Settings

Size = tuple[int, int]
_ASSUMED_SIZE = (1920, 1080)
_ASSUMED = PredictorFacts(0.0, 60 << 20, 5, 600 << 20, uses_device=False)
"""Assumed for a predictor that could not be tried."""
_CAPTURE_BYTES = 60 << 20
_REST_BYTES = 100 << 20
"""Memory of supervisor, pool and gateway."""
_GATEWAY_BYTES, _GATEWAY_THREADS = 25 << 20, 2
"""Memory and threads of each further gateway."""
_REST_THREADS = 10
_CAPTURE_ADDRESS = 900 << 20


class Need(NamedTuple):
    """The workers of one predictor, and what one of them needs."""

    predictor: PredictorSettings
    one: PredictorFacts


def limits(
    settings: Settings, sizes: Mapping[str, Size], tried: Mapping[str, PredictorFacts]
) -> Iterator[Finding]:
    """`sizes`: picture sizes by camera, where known; `tried`: what one worker of a predictor needs,
    by its name, where known.
    """
    rings = sum(_ring(settings, camera, sizes.get(camera.name)) for camera in settings.cameras)
    needs = [Need(each, tried.get(each.name, _ASSUMED)) for each in settings.all_predictors]
    yield memory(settings, rings, needs)
    for each in needs:
        yield from worker_memory(each)
    yield from address_space(rings, needs)
    yield from file_size(settings, sizes)
    yield from processes(settings, needs)
    yield from cores(settings)
    yield descriptors(settings)


def picture_size(camera: CameraSettings, seen: Size | None) -> Size:
    """The size of pictures in the ring; 1080p if it is unknown."""
    width, height = seen or _ASSUMED_SIZE
    if not seen and camera.source.spec.kind == "demo":
        options = parse_demo(camera.source.reveal())
        width, height = options.width, options.height
    return source_spec.fitted(width, height, source_spec.parse_size(camera.max_size))


def _ring(settings: Settings, camera: CameraSettings, seen: Size | None) -> int:
    width, height = picture_size(camera, seen)
    return ring_bytes(settings.of(camera.predictor).slots, width * height * 3)


def memory(settings: Settings, rings: int, needs: Sequence[Need]) -> Finding:
    there = host.available_bytes()
    parts = {
        "rings": rings,
        "workers": sum(each.predictor.workers * each.one.own_bytes for each in needs),
        "cameras": len(settings.cameras) * _CAPTURE_BYTES,
        "the rest": _REST_BYTES + (settings.gateways - 1) * _GATEWAY_BYTES,
    }
    parts = {name: -(-size >> 20) << 20 for name, size in parts.items()}  # shown values add up
    need = sum(parts.values())
    shown = ", ".join(f"{name} {_mib(size)}" for name, size in parts.items())
    text = f"about {_mib(need)} of {_mib(there)}: {shown}; none of it from /dev/shm"
    if need > there - SPARE_BYTES:
        cure = "use fewer --workers, max_size for the cameras, or fewer cameras"
        spare = f"{text}; {_mib(SPARE_BYTES)} must stay free"
        return Finding(Level.PROBLEM, "memory", spare, cure)
    return Finding(Level.OK, "memory", text)


def worker_memory(need: Need) -> Iterator[Finding]:
    most, one = need.predictor.limits.worker_memory_bytes, need.one
    if most and one.own_bytes > most:
        yield Finding(
            Level.PROBLEM,
            "memory",
            f"a worker uses {_mib(one.own_bytes)} and is replaced above {_mib(most)}",
            f"[limits] worker_memory_bytes = {2 * one.own_bytes} in a file for --config",
        )


def address_space(rings: int, needs: Sequence[Need]) -> Iterator[Finding]:
    most = host.soft_limit("AS")
    need = max(_CAPTURE_ADDRESS, *(each.one.address_bytes for each in needs)) + rings
    if most is not None and most < need:
        text = f"a process may have {_mib(most)} of address space; one needs about {_mib(need)}"
        yield Finding(Level.PROBLEM, "memory", text, "ulimit -v unlimited")


def file_size(settings: Settings, sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """Rings are files in memory, so this limit applies to them too."""
    most = host.soft_limit("FSIZE")
    need = max(_ring(settings, each, sizes.get(each.name)) for each in settings.cameras)
    if most is not None and most < need:
        text = f"a file may have {_mib(most)}; the largest ring needs {_mib(need)}"
        yield Finding(Level.PROBLEM, "file size", text, "ulimit -f unlimited")


def processes(settings: Settings, needs: Sequence[Need]) -> Iterator[Finding]:
    """Linux counts threads as processes."""
    room = host.thread_room()
    if room is None:
        return
    workers = sum(each.predictor.workers * (each.one.threads or _ASSUMED.threads) for each in needs)
    each_capture = 4 + host.cores()
    rest = _REST_THREADS + (settings.gateways - 1) * _GATEWAY_THREADS
    need = rest + len(settings.cameras) * each_capture + workers
    text = f"room for {room} processes and threads, about {need} needed"
    if room >= need:
        yield Finding(Level.OK, "processes", text)
        return
    cure = f"raise `ulimit -u` (or TasksMax=, --pids-limit) by {need - room}, or run less beside it"
    yield Finding(Level.PROBLEM, "processes", text, cure)


def cores(settings: Settings) -> Iterator[Finding]:
    there = host.cores()
    workers = settings.all_workers
    if workers > max(there, 2):
        cure = "fewer workers in the [[predictor]] tables"
        yield Finding(
            Level.WARN,
            "workers",
            f"{workers} on {there} cores: more help only if predict waits",
            cure if settings.predictors else f"--workers {there}",
        )
    if settings.gateways > max(there, 1):
        yield Finding(
            Level.WARN,
            "gateways",
            f"{settings.gateways} on {there} cores: more do not serve more clients",
            f"--gateways {there}",
        )


def descriptors(settings: Settings) -> Finding:
    there, most, gateways = host.descriptor_limit(), settings.limits.max_clients, settings.gateways
    need = -(-most // gateways) + host.SPARE_DESCRIPTORS  # for each gateway
    need += (need // 10 + 8) if gateways > 1 else 0  # one may have more clients than the mean
    own = 32 + 4 * (len(settings.cameras) + settings.all_workers)
    soft = host.soft_limit("NOFILE")
    if soft is not None and soft < own:
        text = f"a process may have {soft} open files; this run needs {own}"
        return Finding(Level.PROBLEM, "descriptors", text, f"ulimit -n {own}")
    if there >= need:
        return Finding(Level.OK, "descriptors", f"{there}, enough for {need}")
    clients = gateways * max(0, there - host.SPARE_DESCRIPTORS)
    return Finding(
        Level.WARN if clients else Level.PROBLEM,
        "descriptors",
        f"{there} allow {clients} clients, not {most}",
        f"as root: ulimit -Hn {need}; ulimit -n {need} (a service: LimitNOFILE={need})",
    )


def _mib(count: int) -> str:
    return f"{count >> 20} MiB"
