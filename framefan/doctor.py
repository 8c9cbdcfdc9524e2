"""`framefan doctor`: what would keep a run from working, one line each, with what cures it.

Whatever may crash, print or hang (OpenCV, a predictor, a camera) is tried in a process of its own.
"""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from framefan import host, listen, predictors, processes, rundir, sources, trial
from framefan.configure import configure
from framefan.demo import parse_demo
from framefan.errors import EXIT_FAILED, EXIT_OK, FramefanError
from framefan.ring import PAGE, SPARE_BYTES, stride

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from framefan.options import Options
    from framefan.settings import CameraSettings, Settings

_OWN_DESCRIPTORS = 128
_IMPORT_S = 120.0
_ASSUMED_SIZE = (1920, 1080)

_OPENCV = """
import json, cv2
info = cv2.getBuildInformation()
gui = next((line.split(":", 1)[1].strip() for line in info.splitlines() if "GUI:" in line), "")
registry = cv2.videoio_registry
there = [registry.getBackendName(b) for b in registry.getBackends() if registry.hasBackend(b)]
backends = list(dict.fromkeys(there))
print(json.dumps({"version": cv2.__version__, "gui": gui, "backends": backends}))
"""
_PREDICTOR = """
import sys
from framefan.errors import FramefanError
from framefan_inference.predictor import load
try:
    load(sys.argv[1])
except FramefanError as error:
    sys.exit("\\n".join(error.lines()))
"""


class Level(enum.Enum):
    OK = "ok"
    WARN = "warn"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One line of the report; `cure` is a command or an act, empty when all is well."""

    level: Level
    subject: str
    text: str
    cure: str = ""

    def line(self) -> str:
        cure = f"  ->  {self.cure}" if self.cure else ""
        return f"{self.level.value:<8} {self.subject:<12} {self.text}{cure}"


def examine(given: Sequence[str], options: Options) -> int:
    """Print the findings; 1 when one of them is a problem."""
    code = EXIT_OK
    for finding in _findings(given, options):
        sys.stdout.write(finding.line() + "\n")
        sys.stdout.flush()
        if finding.level is Level.PROBLEM:
            code = EXIT_FAILED
    return code


def _findings(given: Sequence[str], options: Options) -> Iterator[Finding]:
    yield _python()
    yield from _opencv()
    try:
        settings, _ = configure(given, options, os.environ)
    except FramefanError as error:
        yield _failure("arguments", error)
        return
    checks: list[Callable[[Settings], Finding]] = [
        _port,
        _folder,
        _descriptors,
        _memory,
        _predictor,
    ]
    for check in checks:
        yield check(settings)
    yield from _cameras(settings.cameras)


def _failure(subject: str, error: FramefanError) -> Finding:
    text = f"{error.what}: {error.why}" if error.why else error.what
    return Finding(Level.PROBLEM, subject, text, error.fix)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(Level.OK, "python", f"{version} at {sys.executable}")


def _opencv() -> Iterator[Finding]:
    both = [name for name in ("opencv-python", "opencv-python-headless") if _installed(name)]
    if len(both) > 1:
        yield Finding(
            Level.PROBLEM,
            "opencv",
            "both wheels are installed and overwrite each other's files",
            f"{sys.executable} -m pip uninstall -y {' '.join(both)}, then install one",
        )
        return
    tried = _try(_OPENCV)
    if tried.returncode:
        wheel = _installed("opencv-python")
        wanted = f"opencv-python-headless=={wheel}" if wheel else "opencv-python"
        yield Finding(
            Level.PROBLEM,
            "opencv",
            f"does not import: {_last_line(tried.stderr)}",
            "apt-get install libgl1 libglib2.0-0, or: "
            f"{sys.executable} -m pip uninstall -y opencv-python;"
            f" {sys.executable} -m pip install {wanted}",
        )
        return
    facts = json.loads(tried.stdout)
    headless = facts["gui"] in ("", "NONE")
    yield Finding(Level.OK, "opencv", facts["version"] + (" without windows" if headless else ""))
    backends = ", ".join(facts["backends"])
    if "FFMPEG" in facts["backends"]:
        yield Finding(Level.OK, "video", f"backends: {backends}")
    else:
        yield Finding(
            Level.PROBLEM,
            "video",
            f"no FFMPEG among the backends: {backends or 'none'}",
            "use the wheel opencv-python, or build OpenCV with FFMPEG",
        )


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _try(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_IMPORT_S,
            env=processes.environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {_IMPORT_S:g} s")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


def _port(settings: Settings) -> Finding:
    try:
        with listen.tcp(settings.host, settings.port) as sock:
            port = sock.getsockname()[1]
    except FramefanError as error:
        return _failure("port", error)
    return Finding(Level.OK, "port", f"{port} on {settings.host} is free")


def _folder(settings: Settings) -> Finding:
    try:
        with rundir.RunDir(settings.name) as place:
            return Finding(Level.OK, "run folder", f"{place.path} can be used")
    except FramefanError as error:
        return _failure("run folder", error)


def _descriptors(settings: Settings) -> Finding:
    there = host.descriptor_limit()
    need = settings.limits.max_clients + _OWN_DESCRIPTORS
    if there >= need:
        return Finding(Level.OK, "descriptors", f"{there}, enough for {need}")
    return Finding(
        Level.WARN,
        "descriptors",
        f"{there} allow {max(0, there - _OWN_DESCRIPTORS)} clients,"
        f" not {settings.limits.max_clients}",
        f"ulimit -n {need}",
    )


def _memory(settings: Settings) -> Finding:
    there = host.available_bytes()
    need = sum(_ring_bytes(settings, camera) for camera in settings.cameras)
    text = f"rings take about {need >> 20} MiB of {there >> 20} MiB (not from /dev/shm)"
    if need > there - SPARE_BYTES:
        cure = "use smaller frames, fewer workers or fewer cameras"
        return Finding(Level.PROBLEM, "memory", text, cure)
    return Finding(Level.OK, "memory", text)


def _ring_bytes(settings: Settings, camera: CameraSettings) -> int:
    """What the camera's ring takes if its frames are 1080p; the demo says its size itself."""
    width, height = _ASSUMED_SIZE
    if sources.parse(camera.source.reveal()).kind == "demo":
        options = parse_demo(camera.source.reveal())
        width, height = options.width, options.height
    if most := sources.parse_size(camera.max_size):
        width, height = min(width, most[0]), min(height, most[1])
    return PAGE + settings.slots * stride(width * height * 3)


def _predictor(settings: Settings) -> Finding:
    reference = settings.predictor
    tried = _try(_PREDICTOR, reference)
    if tried.returncode == 0:
        return Finding(Level.OK, "predictor", f"{reference} loads")
    if text := _refusal(tried):
        return Finding(Level.PROBLEM, "predictor", text, f"see {predictors.FORMS}")
    return Finding(
        Level.PROBLEM,
        "predictor",
        f"{reference}: {_last_line(tried.stderr)}",
        "import it by itself to see the whole error",
    )


def _refusal(tried: subprocess.CompletedProcess[str]) -> str:
    """An error of framefan's own in one line; empty for any other end."""
    said = [line.strip() for line in tried.stderr.strip().splitlines()]
    if tried.returncode == 1 and any(line.startswith("framefan: ") for line in said):
        return "; ".join(line.split(": ", 1)[-1].strip() for line in said if ": " in line)
    return ""


def _cameras(cameras: Sequence[CameraSettings]) -> Iterator[Finding]:
    for camera, seen in zip(cameras, trial.take(cameras), strict=True):
        yield _seen(camera.name, seen)
        yield from _doubts(camera)


def _seen(name: str, seen: trial.Picture | FramefanError) -> Finding:
    if isinstance(seen, FramefanError):
        return _failure(name, seen)
    text = f"{seen.width}x{seen.height}, first picture after {seen.after_s:.1f} s"
    return Finding(Level.OK, name, text)


def _doubts(camera: CameraSettings) -> Iterator[Finding]:
    """Settings that are allowed, and hardly what somebody means."""
    doubts = [
        (
            0 < camera.max_fps < 1 / camera.stalled_s,
            f"max_fps {camera.max_fps:g} is slower than stalled_s {camera.stalled_s:g}:"
            " it will be told as stalled between two frames",
            f"set stalled_s to more than {1 / (camera.max_fps or 1):g}",
        ),
        (
            0 < camera.frozen_s <= camera.stalled_s,
            f"frozen_s {camera.frozen_s:g} is not longer than stalled_s {camera.stalled_s:g}",
            "set frozen_s to some seconds more, or to 0 for never",
        ),
    ]
    for is_so, text, cure in doubts:
        if is_so:
            yield Finding(Level.WARN, camera.name, text, cure)
