"""Creates the source of a camera; the only module that knows all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from framefan_capture.network.http_camera import HttpSource
from framefan_capture.network.opencv_stream import NetworkSource
from framefan_capture.sources.callable_source import CallingSource
from framefan_capture.sources.demo import DemoSource
from framefan_capture.sources.pattern import PatternSource, is_still
from framefan_capture.sources.pipe import PipeSource
from framefan_capture.sources.video import FileSource, WebcamSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.settings.run import CameraSettings
    from framefan.settings.source_spec import Kind
    from framefan_capture.source import Source


def make(camera: CameraSettings) -> Source:
    """Create the source of a camera without opening it.

    Raises UsageError for a source that framefan does not open.
    """
    makers: dict[Kind, Callable[[CameraSettings], Source]] = {
        "demo": DemoSource,
        "pattern": PatternSource,
        "file": FileSource,
        "webcam": WebcamSource,
        "rtsp": NetworkSource,
        "http": HttpSource,
        "callable": CallingSource,
    }
    spec = camera.source.spec
    if spec.kind == "file" and Path(spec.value).is_fifo():
        return PipeSource(camera)
    if spec.kind == "file" and is_still(Path(spec.value)):
        return PatternSource(camera)
    return makers[spec.kind](camera)
