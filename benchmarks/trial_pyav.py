"""PyAV beside framefan's own sources, which use OpenCV: what each costs, and what each reports.

`python -m benchmarks.trial_pyav [ROUNDS [SECONDS]]` prints a table. PyAV is no dependency of
framefan; ARCHITECTURE.md has the decision. Each reader runs in a process of its own, because both
libraries contain FFmpeg, and the two ways alternate, because the machine's speed varies.

A picture is read, decoded and put into a slot, as capture does it. PyAV cannot decode into given
memory: its frame is converted to BGR in memory of its own and then copied.
"""

from __future__ import annotations

import itertools
import json
import math
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from benchmarks import report
from benchmarks.cameras_rtsp import FPS, SIZE, H264Camera
from benchmarks.report import Row, percentile, spread
from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

WAYS = ("opencv", "pyav")
_TIMEOUT_S = 2.0
_SKIPPED = 25
"""The first pictures, which are not counted: memory is touched for the first time."""
_TESTS = Path(__file__).parent.parent / "tests"
_AUTH_SIZE = (320, 240)
_RESIZE = ("1280x720", "640x360", "25", "3")
_LENGTH_BYTES = 4
_HARDWARE = (b"h264_cuvid", b"h264_qsv", b"h264_vaapi", b"h264_vdpau", b"h264_amf")


class Reader(Protocol):
    pts: float | None

    def read(self, slot: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The next picture: `slot` itself, or another array if it has another size."""

    def close(self) -> None: ...


class OpenCvReader:
    """framefan's own source: NetworkSource or FileSource."""

    def __init__(self, source: str) -> None:
        from framefan_capture.kinds import make

        self._source = make(
            CameraSettings(
                name="trial",
                source=SourceText(source),
                fast=not source.startswith("rtsp"),
                open_timeout_s=_TIMEOUT_S,
                read_timeout_s=_TIMEOUT_S,
            )
        )
        self._source.open()
        self.pts: float | None = None

    def read(self, slot: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self._source.grab(0):
            raise EOFError
        self.pts = self._source.pts
        return self._source.retrieve(slot)

    def close(self) -> None:
        self._source.close()


class PyAvReader:
    """The shortest loop over PyAV with the same options as framefan's source."""

    def __init__(self, source: str) -> None:
        import av

        live = source.startswith("rtsp")
        options = {"rtsp_transport": "tcp", "flags": "low_delay", "analyzeduration": "0"}
        options["probesize"] = "32"
        self._container = av.open(
            source, options=options if live else {}, timeout=_TIMEOUT_S if live else None
        )
        self._stream = self._container.streams.video[0]
        if live:
            self._stream.codec_context.thread_count = 1
        self._frames = self._container.decode(self._stream)
        self.pts: float | None = None

    def read(self, slot: NDArray[np.uint8]) -> NDArray[np.uint8]:
        frame = next(self._frames, None)
        if frame is None:
            raise EOFError
        self.pts = frame.time
        (plane,) = frame.reformat(format="bgr24", threads=1).planes
        rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)
        picture = rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)
        if picture.shape != slot.shape:
            return picture
        np.copyto(slot, picture)
        return slot

    def close(self) -> None:
        self._container.close()


READERS: dict[str, Callable[[str], Reader]] = {"opencv": OpenCvReader, "pyav": PyAvReader}


# ---- one reader, in a process of its own -------------------------------------------------------


def read(way: str, source: str, seconds: float) -> dict[str, Any]:
    """Read for this long or to the end: CPU per picture, and number and time of each."""
    from framefan_capture.sources.scene import read_number

    began = clock.now()
    reader = READERS[way](source)
    slot = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    reader.read(slot)
    opened_s = clock.now() - began
    cpu: list[float] = []
    seen: list[tuple[int | None, float, float | None]] = []
    while clock.now() < began + seconds:
        before = time.process_time()
        try:
            reader.read(slot)
        except EOFError:
            break
        cpu.append(time.process_time() - before)
        seen.append((read_number(slot), clock.now(), reader.pts))
    reader.close()
    return {"opened_s": opened_s, "cpu": cpu[_SKIPPED:], "seen": seen[_SKIPPED:]}


def sizes(way: str, source: str, seconds: float) -> list[tuple[float, int]]:
    """The seconds since the first picture at which the height of the pictures changed."""
    reader = READERS[way](source)
    slot = np.zeros((720, 1280, 3), np.uint8)
    found: list[tuple[float, int]] = []
    began = first = clock.now()
    while clock.now() < began + seconds:
        height = reader.read(slot).shape[0]
        now = clock.now()
        if not found:
            first = now
        if not found or found[-1][1] != height:
            found.append((now - first, height))
    return found


def fail(way: str, source: str, seconds: float) -> tuple[str, float]:
    """What the reader reports when the source fails, and how long after its last picture."""
    last = began = clock.now()
    slot = np.zeros((_AUTH_SIZE[1], _AUTH_SIZE[0], 3), np.uint8)
    try:
        reader = READERS[way](source)
        while clock.now() < began + seconds:
            reader.read(slot)
            last = clock.now()
    except SourceError as error:
        return error.reason, clock.now() - last
    except Exception as error:  # noqa: BLE001 - the class is what is looked for
        return type(error).__name__, clock.now() - last
    return "nothing", clock.now() - last


WORK: dict[str, Callable[[str, str, float], Any]] = {"read": read, "sizes": sizes, "fail": fail}


def apart(what: str, way: str, source: str, seconds: float) -> Any:
    command = [sys.executable, "-m", "benchmarks.trial_pyav", what, way, source, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# ---- what is compared --------------------------------------------------------------------------


def measure(rounds: int, seconds: float) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder:
        camera = H264Camera(folder)
        with camera:
            live = list(_alternate(rounds, lambda way: _live(camera, way, seconds)))
        film = _film(folder)
        files = list(_alternate(rounds, lambda way: apart("read", way, film, seconds)))
    return [
        *_cost_rows("RTSP H.264 720p25", live),
        _age_row(live),
        _pts_row(live),
        *_cost_rows("H.264 file 720p, as fast as possible", files),
        _size_row(),
        *_failure_rows(),
        _hardware_row(),
    ]


def _alternate(
    rounds: int, work: Callable[[str], dict[str, Any]]
) -> Iterator[dict[str, dict[str, Any]]]:
    """One result per way and round; the order changes from round to round."""
    for number in range(rounds):
        order = WAYS if number % 2 == 0 else WAYS[::-1]
        yield {way: work(way) for way in order}


def _live(camera: H264Camera, way: str, seconds: float) -> dict[str, Any]:
    found = apart("read", way, camera.url, seconds)
    known = ((number, at) for number, at, _ in found["seen"] if number is not None)
    found["ages_ms"] = [1000 * (at - camera.sent_at(number, at)) for number, at in known]
    return found


def _film(folder: str) -> str:
    """The camera's pictures as a bare H.264 stream in a file."""
    data, at = Path(folder, "units").read_bytes(), 0
    path = Path(folder, "film.h264")
    with path.open("wb") as film:
        while at < len(data):
            size = int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
            film.write(data[at + _LENGTH_BYTES : at + _LENGTH_BYTES + size])
            at += _LENGTH_BYTES + size
    return str(path)


def _cost_rows(name: str, found: list[dict[str, dict[str, Any]]]) -> Iterator[Row]:
    cost = {way: [1000 * median(each[way]["cpu"]) for each in found] for way in WAYS}
    ratios = [b / a for a, b in zip(cost["opencv"], cost["pyav"], strict=True)]
    yield Row(
        f"{name}: CPU per picture in the slot",
        "",
        "; ".join(f"{way} {spread(cost[way], unit=' ms')}" for way in WAYS)
        + f"; PyAV / OpenCV {spread(ratios)}",
    )
    opened = {way: [each[way]["opened_s"] for each in found] for way in WAYS}
    yield Row(
        f"{name}: open to first picture",
        "",
        "; ".join(f"{way} {spread(opened[way], unit=' s')}" for way in WAYS),
    )


def _age_row(found: list[dict[str, dict[str, Any]]]) -> Row:
    texts = []
    for way in WAYS:
        ages = list(itertools.chain.from_iterable(each[way]["ages_ms"] for each in found))
        texts.append(f"{way} p50 {median(ages):.1f} ms, p99 {percentile(ages, 99):.1f} ms")
    return Row("RTSP: age of a picture in the slot, by the camera's clock", "", "; ".join(texts))


def _pts_row(found: list[dict[str, dict[str, Any]]]) -> Row:
    texts = []
    for way in WAYS:
        times = [pts for each in found for _, _, pts in each[way]["seen"]]
        known = [pts for pts in times if pts is not None]
        steps = [b - a for a, b in itertools.pairwise(known) if 0 < b - a < 1]
        off = max(abs(step - 1 / FPS) for step in steps) if steps else math.nan
        texts.append(f"{way} {len(known)} of {len(times)}, steps within {1000 * off:.1f} ms")
    return Row("RTSP: pictures with a timestamp", "", "; ".join(texts))


def _size_row() -> Row:
    texts = []
    for way in WAYS:
        with _gst("gst_resizing_camera.py", *_RESIZE) as url:
            found = apart("sizes", way, url, 15)
        text = ", then ".join(f"{height} lines at {at:.2f} s" for at, height in found)
        texts.append(f"{way}: {text}")
    return Row("the camera changes its size after about 3 s", "", "; ".join(texts))


def _failure_rows() -> Iterator[Row]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    silent = socket.create_server(("127.0.0.1", 0))
    with _gst("gst_rtsp_server.py", *map(str, _AUTH_SIZE), "10", "10", "user:right") as url, silent:
        place = url.removeprefix("rtsp://")
        sources = {
            "a closed port": f"rtsp://127.0.0.1:{free}/cam",
            "no password": url,
            "a wrong password": f"rtsp://user:wrong@{place}",
            "a wrong path": f"rtsp://user:right@{place.replace('/cam', '/none')}",
            "a server that never answers": f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam",
            "a file of noise": _noise(),
        }
        for name, source in sources.items():
            texts = []
            for way in WAYS:
                reason, after_s = apart("fail", way, source, 10)
                texts.append(f"{way} `{reason}` after {after_s:.1f} s")
            yield Row(f"what is reported for {name}", "", "; ".join(texts))
    yield _cut_row()


def _cut_row() -> Row:
    texts = []
    for way in WAYS:
        with _gst("gst_rtsp_server.py", *map(str, _AUTH_SIZE), "10", "10") as url:
            command = [sys.executable, "-m", "benchmarks.trial_pyav", "fail", way, url, "20"]
            reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            time.sleep(4)
        reason, after_s = json.loads(reader.communicate(timeout=60)[0].splitlines()[-1])
        texts.append(f"{way} `{reason}`, {after_s:.1f} s after its last picture")
    return Row("what is reported when the server is killed", "", "; ".join(texts))


def _noise() -> str:
    path = Path(tempfile.gettempdir(), "framefan-trial-noise.mp4")
    path.write_bytes(np.random.default_rng(1).bytes(100_000))
    return str(path)


def _hardware_row() -> Row:
    """By the names in the libraries: no GPU has to be there."""
    folders = {"opencv": "opencv_python*.libs", "pyav": "av.libs"}
    texts = []
    for way, pattern in folders.items():
        files = [file for place in sys.path for file in Path(place).glob(f"{pattern}/libavcodec*")]
        names = {word for file in files for word in _HARDWARE if word in file.read_bytes()}
        texts.append(f"{way}: {', '.join(sorted(map(bytes.decode, names))) or 'none'}")
    return Row("H.264 decoders for GPUs in the wheel", "", "; ".join(texts))


class _gst:  # noqa: N801 - used like a function
    """A GStreamer server of the tests; its URL."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._command = [_system_python(), str(_TESTS / script), *arguments]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if "gst_rtsp_server" in self._command[1]:
            width, height, _, frames = (int(word) for word in self._command[2:6])
            self._process.stdin.write(bytes(width * height * 3 // 2 * frames))
            self._process.stdin.flush()
        port = int(self._process.stdout.readline())
        return f"rtsp://127.0.0.1:{port}/cam"

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _system_python() -> str:
    sys.path.insert(0, str(_TESTS))
    from fakes_sources import SYSTEM_PYTHON

    return SYSTEM_PYTHON


def main(words: list[str]) -> None:
    if words and words[0] in WORK:
        what, way, source, seconds = words
        print(json.dumps(WORK[what](way, source, float(seconds))))
        return
    rounds, seconds = (*map(float, words), *(6.0, 12.0)[len(words) :])
    print(report.machine())
    print(report.as_text(measure(int(rounds), seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])
