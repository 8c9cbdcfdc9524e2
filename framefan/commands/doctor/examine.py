"""`framefan doctor`: prints each problem that would prevent a run, with its fix, on one line.

Code that may crash, print or hang (OpenCV, a predictor, a camera) is tested in a separate process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from framefan.commands.doctor import camera_check, predictor_check
from framefan.commands.doctor.endpoint_checks import served
from framefan.commands.doctor.findings import Finding, Level, failure
from framefan.commands.doctor.resource_checks import limits, picture_size
from framefan.config.configure import configure, said
from framefan.config.places import merge
from framefan.errors import EXIT_FAILED, EXIT_OK, FramefanError
from framefan.ipc import processes
from framefan.ipc.tryout import Picture

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from framefan.config.options import Options
    from framefan.ipc.tryout import PredictorFacts
    from framefan.settings.run import CameraSettings, Settings

_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_IMPORT_S = 120.0

_OPENCV = """
import json, cv2
info = cv2.getBuildInformation()
gui = next((line.split(":", 1)[1].strip() for line in info.splitlines() if "GUI:" in line), "")
registry = cv2.videoio_registry
there = [registry.getBackendName(b) for b in registry.getBackends() if registry.hasBackend(b)]
backends = list(dict.fromkeys(there))
print(json.dumps({"version": cv2.__version__, "gui": gui, "backends": backends}))
"""


def examine(given: Sequence[str], options: Options) -> int:
    """Print the findings; returns 1 if one of them is a problem, else 0."""
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
        yield failure("arguments", error)
        return
    yield from served(settings, _token_file(options))
    _step("taking a picture from each camera")
    pictures = yield from _cameras(settings.cameras)
    sizes = {name: (seen.width, seen.height) for name, seen in pictures.items()}
    tried = yield from _predictors(settings, pictures, sizes)
    yield from limits(settings, sizes, tried)


def _predictors(
    settings: Settings, pictures: Mapping[str, Picture], sizes: Mapping[str, tuple[int, int]]
) -> Generator[Finding, None, dict[str, PredictorFacts]]:
    """Try each predictor with the picture of one of its cameras; returns what each needs."""
    found = {}
    for each in settings.all_predictors:
        _step("trying the predictor" + (f" {each.name}" if settings.predictors else ""))
        own = [camera for camera in settings.cameras if camera.predictor in ("", each.name)]
        first = (own or settings.cameras)[0]
        only = msgspec.structs.replace(settings.of(each.name), cameras=(first,))
        size = picture_size(first, sizes.get(first.name))
        jpeg = pictures[first.name].jpeg if first.name in pictures else b""
        tried = predictor_check.attempt(only, *size, jpeg)
        subject = each.name if settings.predictors else "predictor"
        yield from _predictor(only, tried, subject)
        if settings.predictors and not own:
            cure = f'predictor = "{each.name}" in a [[camera]]'
            yield Finding(Level.WARN, subject, "no camera has this predictor", cure)
        if not isinstance(tried, FramefanError):
            found[each.name] = tried
    return found


def _step(text: str) -> None:
    """Announce a slow step, in a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"  {text} ...\n")


def _token_file(options: Options) -> str:
    """The token file, if there is one; the settings hold only its content."""
    return str(merge(said((), options), os.environ)[0].values.get("token_file", ""))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(Level.OK, "python", f"{version} at {sys.executable}")


def _opencv() -> Iterator[Finding]:
    several = [name for name in _WHEELS if _installed(name)]
    pip = f"{sys.executable} -m pip"
    if len(several) > 1:
        yield Finding(
            Level.PROBLEM,
            "opencv",
            f"{' and '.join(several)} are both installed and overwrite each other's files",
            f"{pip} uninstall -y {' '.join(several)}; {pip} install {several[0]}",
        )
        return
    tried = _try(_OPENCV)
    if tried.returncode:
        yield _no_opencv(tried, pip)
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
            f"{pip} install --force-reinstall opencv-python (your own build needs FFMPEG)",
        )


def _no_opencv(tried: subprocess.CompletedProcess[str], pip: str) -> Finding:
    text = f"does not import: {_last_line(tried.stderr)}"
    if tried.returncode < 0:  # a limit of the shell or a broken wheel, not a missing library
        text = f"its import was {processes.describe_exit(tried.returncode)}"
        cure = f"see `ulimit -a` for memory; else {pip} install --force-reinstall opencv-python"
        return Finding(Level.PROBLEM, "opencv", text, cure)
    wheel = _installed("opencv-python")
    wanted = f"opencv-python-headless=={wheel}" if wheel else "opencv-python"
    cure = (
        "apt-get install libgl1 libglib2.0-0, or: "
        f"{pip} uninstall -y opencv-python; {pip} install {wanted}"
    )
    return Finding(Level.PROBLEM, "opencv", text, cure)


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _try(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*processes.PYTHON, "-c", code, *arguments]
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
    return lines[-1] if lines else "it ended without a message"


def _predictor(
    settings: Settings, tried: PredictorFacts | FramefanError, subject: str = "predictor"
) -> Iterator[Finding]:
    if isinstance(tried, FramefanError):
        yield failure(subject, tried)
        return
    most = settings.limits.predict_s
    if tried.predict_s > most:
        yield Finding(
            Level.PROBLEM,
            subject,
            f"{settings.predictor} takes {tried.predict_s:.1f} s per frame; a worker is killed"
            f" after {most:g} s",
            f"[limits] predict_s = {2 * tried.predict_s:.0f} in a file for --config",
        )
        return
    took_ms = 1000 * tried.predict_s
    took = f"{took_ms:.0f}" if took_ms >= 100 else f"{took_ms:.3g}"
    text = f"{settings.predictor} loads, and takes {took} ms per frame"
    yield Finding(Level.OK, subject, text)
    for what, about in tried.about.items():
        yield Finding(Level.OK, what, about)
    if settings.device and not tried.uses_device:
        text = f"{settings.predictor} ignores --device {settings.device}"
        yield Finding(Level.WARN, subject, text, "give its setup a parameter `device`")


def _cameras(
    cameras: Sequence[CameraSettings],
) -> Generator[Finding, None, dict[str, Picture]]:
    """Open each camera once; returns the pictures by camera."""
    pictures = {}
    for camera, seen in zip(cameras, camera_check.take(cameras), strict=True):
        if isinstance(seen, Picture):
            pictures[camera.name] = seen
        yield _seen(camera.name, seen)
        yield from _doubts(camera)
    return pictures


def _seen(name: str, seen: Picture | FramefanError) -> Finding:
    if isinstance(seen, FramefanError):
        return failure(name, seen)
    text = f"{seen.width}x{seen.height}, first picture after {seen.after_s:.1f} s"
    return Finding(Level.OK, name, text)


def _doubts(camera: CameraSettings) -> Iterator[Finding]:
    """Settings that are valid but probably a mistake."""
    doubts = [
        (
            0 < camera.max_fps < 1 / camera.stalled_s,
            f"max_fps {camera.max_fps:g} leaves gaps longer than stalled_s {camera.stalled_s:g}:"
            " the camera will be `stalled` between two frames",
            f"set stalled_s to more than {1 / (camera.max_fps or 1):g}",
        ),
        (
            0 < camera.frozen_s <= camera.stalled_s,
            f"frozen_s {camera.frozen_s:g} is not longer than stalled_s {camera.stalled_s:g}",
            "set frozen_s some seconds higher, or to 0 to switch it off",
        ),
    ]
    for is_so, text, cure in doubts:
        if is_so:
            yield Finding(Level.WARN, camera.name, text, cure)
