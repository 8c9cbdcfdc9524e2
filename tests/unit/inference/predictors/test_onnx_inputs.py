"""What a model's input gets: size, range, order, layout; and options that say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_bytes
import onnx_reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framefan.errors import StartError, UsageError
from framefan.settings.onnx_values import ORDERS, RANGES, READERS
from framefan.settings.predictor_ref import onnx_options, parse
from framefan_inference.predictors.onnx_models import letterbox
from framefan_inference.predictors.onnx_models.pixels import Pixels
from framefan_inference.predictors.predictor import Frame, Predictor, load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAME = Frame("cam", 0, 0.0, 0)
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TWO = "{0: 'cat', 1: 'dog'}"


def answer(columns: int = 6, places: int = 2100, at: tuple[float, ...] = (160, 160, 80, 40)) -> Any:
    out = np.zeros((1, columns, places), np.float32)
    out[0, :4, 7], out[0, 5, 7] = at, 0.9
    return out


def predictor(tmp_path: Path, options: str = "", said: Any = None, **more: Any) -> Predictor:
    path = tmp_path / "model.onnx"
    outputs = more.pop("outputs", {"out": answer()})
    path.write_bytes(onnx_bytes.answering(outputs, {"names": TWO} | (said or {}), **more))
    made = load(f"onnx:{path}" + (f"?{options}" if options else ""))
    made.setup("")
    return made


def reference(image: NDArray[np.uint8], words: str, order: str) -> NDArray[np.float64]:
    """`[3, H, W]` from BGR, pixel by pixel as its words say."""
    out = np.zeros((3, *image.shape[:2]))
    for channel, name in enumerate(order):
        values = image[..., "bgr".index(name)].astype(float)
        rgb = "rgb".index(name)
        out[channel] = {
            "1": values / 255,
            "255": values,
            "signed": values / 127.5 - 1,
            "imagenet": (values / 255 - MEANS[rgb]) / DEVIATIONS[rgb],
        }[words]
    return out


@settings(max_examples=40, deadline=None)
@given(
    words=st.sampled_from(RANGES),
    order=st.sampled_from(ORDERS),
    numbers=st.sampled_from([np.float32, np.float16]),
    is_last=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_a_pixel_becomes_what_the_words_say(
    words: str, order: str, numbers: Any, is_last: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (4, 6, 3), np.uint8) for _ in range(2)]
    blob = Pixels(numbers, words, order, 3, is_last).blob(images)
    assert blob.dtype == numbers
    if is_last:
        blob = blob.transpose(0, 3, 1, 2)
    for index, image in enumerate(images):
        expected = reference(image, words, order)
        assert blob[index] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_grey_and_whole_numbers() -> None:
    image = np.random.default_rng(2).integers(0, 256, (4, 6, 3), np.uint8)
    grey = Pixels(np.float32, "255", "rgb", 1).blob([image])
    expected = image @ np.array([0.114, 0.587, 0.299])
    assert grey.shape == (1, 1, 4, 6)
    assert grey[0, 0] == pytest.approx(expected, abs=1)
    whole = Pixels(np.uint8, "255", "rgb").blob([image])
    assert (whole.dtype, whole[0, 0].tolist()) == (np.uint8, image[..., 2].tolist())


INPUTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "usual": ("", {}, "float32 NCHW, RGB 0 to 1"),
    "half": ("", {"kind": onnx_bytes.HALF}, "float16 NCHW, RGB 0 to 1"),
    "whole": ("", {"kind": onnx_bytes.UINT8}, "uint8 NCHW, RGB 0 to 255"),
    "last": ("", {"shape": (1, 320, 320, 3)}, "float32 NHWC, RGB 0 to 1"),
    "grey": ("", {"shape": (1, 1, 320, 320)}, "float32 NCHW, grey 0 to 1"),
    "asked": ("input=255,bgr", {}, "float32 NCHW, BGR 0 to 255"),
    "only the order": ("input=bgr", {"kind": onnx_bytes.UINT8}, "uint8 NCHW, BGR 0 to 255"),
    "means": ("input=imagenet", {}, "float32 NCHW, RGB ImageNet's"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_file_and_the_user_say_what_it_takes(name: str, tmp_path: Path) -> None:
    options, more, words = INPUTS[name]
    made = predictor(tmp_path, options, **({"shape": (1, 3, 320, 320)} | more))
    assert words in made.target.describe()["input"]
    (row,) = made.predict(np.zeros((240, 320, 3), np.uint8), FRAME)
    assert row[:4].tolist() == pytest.approx([120, 100, 200, 140], abs=0.5)


def test_yolox_gets_its_own_range_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    raw = np.zeros((1, 2100, 7), np.float32)
    raw[0, 0, 4:6] = 0.9
    for options, words in (("", "BGR 0 to 255"), ("input=1", "BGR 0 to 1"), ("input=rgb", "RGB 0")):
        made = predictor(tmp_path, options, outputs={"out": raw}, shape=(1, 3, 320, 320))
        assert words in made.target.describe()["input"]
        assert made.target.describe()["frame"] == "corner"


# ---- size ----------------------------------------------------------------------------------------


def test_the_size_is_that_of_the_metadata_where_sides_are_free(tmp_path: Path) -> None:
    shape = (1, 3, None, None)
    said = {"imgsz": "[192, 320]", "stride": "32"}
    assert predictor(tmp_path, "rect=0", said, shape=shape).target._size == (320, 192)
    assert predictor(tmp_path, "rect=0", {}, shape=shape).target._size == (640, 640)
    assert predictor(tmp_path, "size=96x64", said, shape=shape).target._size == (96, 64)
    fixed = predictor(tmp_path, "", {"imgsz": "[64, 64]"}, shape=(1, 3, 320, 320))
    assert fixed.target._size == (320, 320)


def runs_of(made: Predictor, monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> Any:
    """The shapes of the blobs that a picture of that size becomes, and its rows."""
    shapes = []
    usual = made.target._backend.run

    def run(inputs: Any) -> Any:
        shapes.append(next(iter(inputs.values())).shape)
        return usual(inputs)

    monkeypatch.setattr(made.target._backend, "run", run)
    rows = made.predict(np.zeros((height, width, 3), np.uint8), FRAME)
    return shapes, rows


def test_wide_frames_run_fewer_pixels_and_boxes_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = predictor(tmp_path, "", {"imgsz": "[640, 640]"}, shape=(None, 3, None, None))
    ((_, _, height, width),), rows = runs_of(made, monkeypatch, 1280, 720)
    assert (width, height) == (640, 384)
    assert width * height == 0.6 * 640 * 640
    # Canvas: the frame at half its size, 12 lines of grey above it.
    assert rows[0, :4].tolist() == pytest.approx([240, 256, 400, 336], abs=1)
    ((_, _, height, width),), _ = runs_of(made, monkeypatch, 480, 640)
    assert (width, height) == (480, 640)


@pytest.mark.parametrize(
    ("options", "shape", "expected"),
    [
        ("rect=0", (1, 3, None, None), (640, 640)),
        ("size=640x640", (1, 3, None, None), (640, 640)),
        ("stretch=1", (1, 3, None, None), (640, 640)),
        ("", (1, 3, 640, 640), (640, 640)),
        ("rect=1", (1, 3, None, None), (640, 384)),
    ],
)
def test_when_frames_get_a_rectangle(
    options: str, shape: Any, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = predictor(tmp_path, options, shape=shape)
    ((_, _, height, width),), _ = runs_of(made, monkeypatch, 1280, 720)
    assert (width, height) == expected


def test_a_model_that_takes_no_rectangle_after_all_gets_squares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from framefan_inference.predictors.onnx_models import backends

    class Square(backends.OnnxRuntime):
        def run(self, inputs: Any) -> Any:
            blob = next(iter(inputs.values()))
            if blob.shape[2] != blob.shape[3]:
                raise RuntimeError("only squares")
            return super().run(inputs)

    monkeypatch.setattr(backends, "OnnxRuntime", Square)
    made = predictor(tmp_path, "", shape=(1, 3, None, None))
    ((_, _, height, width),), _ = runs_of(made, monkeypatch, 1280, 720)
    assert (width, height) == (640, 640)
    with pytest.raises(StartError, match="does not support rect=1") as raised:
        predictor(tmp_path, "rect=1", shape=(1, 3, None, None))
    assert "only squares" in raised.value.why


@settings(max_examples=100, deadline=None)
@given(
    frame=st.tuples(st.integers(16, 2000), st.integers(16, 2000)),
    other=st.tuples(st.integers(16, 2000), st.integers(16, 2000)),
    place=st.sampled_from(["middle", "corner", "stretched"]),
    box=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_box_put_on_the_canvas_comes_back(
    frame: tuple[int, int], other: tuple[int, int], place: Any, box: tuple[float, ...]
) -> None:
    width, height = frame
    size = (320, 256)
    canvas = letterbox.rectangle([(height, width), other], size, 32)
    assert all(side % 32 == 0 for side in canvas)
    _, fit = letterbox.fit(np.zeros((height, width, 3), np.uint8), canvas, place, size)
    scale = min(size[0] / width, size[1] / height)
    if place != "stretched":
        assert fit.across == fit.down == scale
        assert fit.left + round(width * scale) <= canvas[0]
        assert fit.top + round(height * scale) <= canvas[1]
    x1, x2 = sorted((box[0] * width, box[2] * width))
    y1, y2 = sorted((box[1] * height, box[3] * height))
    on_canvas = np.array(
        [
            [
                x1 * fit.across + fit.left,
                y1 * fit.down + fit.top,
                x2 * fit.across + fit.left,
                y2 * fit.down + fit.top,
            ]
        ],
        np.float32,
    )
    back = fit.back(on_canvas, width, height)
    assert back[0].tolist() == pytest.approx([x1, y1, x2, y2], abs=0.05)


# ---- options -------------------------------------------------------------------------------------

REFUSED = [
    ("task=boxes", "detect, segment, pose, obb, classify"),
    ("task=", "task is a task"),
    ("input=0..1", "imagenet"),
    ("input=1,255", "as in 255,bgr"),
    ("input=rgb,bgr", "input is one of"),
    ("max_det=0", "from 1 to 10,000"),
    ("max_det=ten", "from 1 to 10,000"),
    ("agnostic=maybe", "1 for yes"),
    ("rect=2", "1 for yes"),
    ("threads=-1", "from 1 to 1,024"),
    ("stretch=", "1 for yes"),
    ("classes=,", "a list of names"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_values_that_make_no_sense_are_usage_errors(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(f"onnx:a.onnx?{text}")
    lines = raised.value.lines()
    assert len(lines) == 3
    assert words in "\n".join(lines)


def test_values_are_read() -> None:
    found = onnx_options(
        "a.onnx?classes=cat,2&task=pose&input=255,BGR&max_det=7&agnostic=yes&rect=0&threads=3"
        "&stretch=1"
    )
    assert (found.classes, found.task, found.input) == (("cat", "2"), "pose", ("255", "bgr"))
    assert (found.max_det, found.agnostic, found.rect) == (7, True, False)
    assert (found.threads, found.stretch) == (3, True)
    for _, form in READERS.values():
        assert form


def several() -> NDArray[np.float32]:
    """Two boxes at one place, of two classes, and a third elsewhere."""
    out = np.zeros((1, 6, 2100), np.float32)
    out[0, :5, 3] = 160, 160, 80, 40, 0.9
    out[0, :4, 4], out[0, 5, 4] = (161, 160, 80, 40), 0.8
    out[0, :5, 5] = 40, 100, 20, 20, 0.7
    return out


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ("", [0.9, 0.8, 0.7]),
        ("agnostic=1", [0.9, 0.7]),
        ("classes=dog", [0.8]),
        ("classes=0", [0.9, 0.7]),
        ("classes=cat,dog&max_det=2", [0.9, 0.8]),
        ("max_det=1", [0.9]),
        ("conf=0.75", [0.9, 0.8]),
    ],
)
def test_which_boxes_are_kept(options: str, scores: list[float], tmp_path: Path) -> None:
    made = predictor(tmp_path, options, outputs={"out": several()}, shape=(1, 3, 320, 320))
    rows = made.predict(np.zeros((320, 320, 3), np.uint8), FRAME)
    assert rows[:, 4].tolist() == pytest.approx(scores)


@pytest.mark.parametrize(
    ("options", "more", "words"),
    [
        ("classes=dgo", {}, "did you mean dog?"),
        ("classes=9", {}, "its classes are cat, dog"),
        ("input=1", {"kind": onnx_bytes.UINT8}, "whole numbers from 0 to 255"),
        ("input=imagenet", {"shape": (1, 1, 320, 320)}, "takes greyscale images"),
        ("rect=1", {}, "does not support rect=1"),
        ("", {"shape": (1, 4, 320, 320)}, "input of shape 1x4x320x320"),
        ("", {"shape": (3, 320, 320)}, "input of shape 3x320x320"),
    ],
)
def test_what_a_model_cannot_do_is_refused(
    options: str, more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError) as raised:
        predictor(tmp_path, options, **({"shape": (1, 3, 320, 320)} | more))
    assert words in "\n".join(raised.value.lines())
    assert len(raised.value.lines()) == 3


def test_stretch_asked_for_is_done(tmp_path: Path) -> None:
    made = predictor(tmp_path, "stretch=1", shape=(1, 3, 320, 320))
    (row,) = made.predict(np.zeros((240, 320, 3), np.uint8), FRAME)
    assert row[:4].tolist() == pytest.approx([120, 105, 200, 135], abs=0.5)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(3, 40), width=st.integers(3, 40), side=st.integers(2, 24),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_classifier_sees_what_torchvision_gives_it(
    height: int, width: int, side: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    part, _ = letterbox.fit(image, (side, side), "cut")
    expected = onnx_reference.classifier_input(image, side)
    assert part.shape == expected.shape
    assert np.abs(part - expected).max() <= 1.01  # it rounds twice
