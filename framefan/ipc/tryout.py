"""The messages between `framefan doctor` and the process in which it tests a camera or predictor.

The question comes on standard input, the answer leaves on standard output: one JSON object each.
"""

from __future__ import annotations

import msgspec


class PredictorTryout(msgspec.Struct, frozen=True):
    predictor: str
    device: str
    workers: int
    result_bytes: int
    camera: str
    width: int
    height: int
    jpeg: bytes = b""
    """A picture of the camera, where there is one."""


class PredictorFacts(msgspec.Struct, frozen=True, tag=True):
    """The predictor works; most fields are the resources that one worker needs."""

    predict_s: float
    own_bytes: int
    threads: int
    address_bytes: int
    uses_device: bool
    about: dict[str, str] = {}
    """The properties of a model in an ONNX file; empty for other predictors."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    what: str
    why: str
    fix: str


class Picture(msgspec.Struct, frozen=True, tag=True):
    """The first good picture of a camera."""

    width: int
    height: int
    after_s: float
    jpeg: bytes = b""
