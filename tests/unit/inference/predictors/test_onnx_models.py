"""`onnx:` on the model of the demo's shapes, with both backends, and on what is no such model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_bytes
import pytest

from framefan.errors import StartError, UsageError
from framefan.settings.predictor_ref import OnnxOptions, onnx_options, parse
from framefan_capture.sources.scene import Scene
from framefan_inference.predictors.onnx_models import backends, file, letterbox, metadata
from framefan_inference.predictors.predictor import Frame, Predictor, load

if TYPE_CHECKING:
    from collections.abc import Callable


SHAPES = Path(__file__).parents[4] / "examples" / "shapes" / "shapes.onnx"
FRAME = Frame("cam", 0, 0.0, 0)
KINDS = ["circle", "square", "triangle", "star", "qr", "aruco"]


@pytest.fixture(params=["onnxruntime", "cv2.dnn"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    if request.param == "cv2.dnn":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    def make(target: str, device: str = "") -> Predictor:
        predictor = load(f"onnx:{target}")
        assert predictor.setup(device)
        assert predictor.target._backend.name == request.param
        return predictor

    return make


def picture(seed: int, width: int = 1280, height: int = 720) -> tuple[Any, list[Any]]:
    scene = Scene(width, height, seed)
    image = np.empty((height, width, 3), np.uint8)
    scene.draw(seed, image)
    image.flags.writeable = False
    return image, scene.truth(seed)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (720, 1280)])
def test_every_shape_is_found_where_it_is(made: Callable[..., Any], size: tuple[int, int]) -> None:
    predictor = made(str(SHAPES))
    if size == (720, 1280):
        image, truth = np.zeros((1280, 720, 3), np.uint8), []
    else:
        image, truth = picture(8, *size)
    rows = predictor.predict(image, FRAME)
    assert rows.dtype == np.float32
    found = {predictor.labels[int(row[5])]: row for row in rows}
    assert len(found) == len(rows)
    assert sorted(found) == sorted(shape.kind for shape in truth)
    for shape in truth:
        assert found[shape.kind][:4] == pytest.approx(shape.box, abs=0.08 * size[0] / 10)
        assert found[shape.kind][4] > 0.5


def test_confidence_and_labels_are_options(made: Callable[..., Any], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\nthree\nfour\nfive\nsix\n")
    predictor = made(f"{SHAPES}?conf=0.999&labels={labels}")
    assert len(predictor.predict(picture(8)[0], FRAME)) < len(KINDS)
    assert predictor.labels[0] == "one"


MARK = b"\xef\xbb\xbf"
LABELS_FILES: dict[str, tuple[bytes, str]] = {
    "a blank line": (b"a\n\nc\nd\ne\nf\n", "a cdef"),
    "blank at the end": (b"a\nb\nc\nd\ne\nf\n\n \n", "abcdef"),
    "the last have none": (b"a\nb\nc\nd\n\n\n", "abcd"),
    "a mark, and CRLF": (MARK + b"a\r\nb\r\nc\r\nd\r\ne\r\nf", "abcdef"),
    "UTF-16": ("a\r\nb\r\nc\r\nd\r\ne\r\nf\r\n".encode("utf-16"), "abcdef"),
    "old ends": (b"a\rb\rc\rd\re\rf\r", "abcdef"),
    "numbers as names": (b"0\n1\n2\n3\n4\n5\n", "012345"),
}


@pytest.mark.parametrize(("data", "names"), LABELS_FILES.values(), ids=LABELS_FILES)
def test_a_line_of_the_labels_is_a_class(
    made: Callable[..., Any], tmp_path: Path, data: bytes, names: str
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes(data)
    predictor = made(f"{SHAPES}?labels={labels}")
    assert predictor.labels == {number: each for number, each in enumerate(names) if each != " "}


NO_LABELS: dict[str, tuple[str, bytes, str]] = {
    "too few": ("l.txt", b"a\nb\n", "has 2 lines, the model has 6 classes"),
    "too many": ("l.txt", b"a\n" * 80, "has 80 lines, the model has 6 classes"),
    "nothing": ("l.txt", b"\n\n", "has no name"),
    "not a byte": ("l.txt", b"", "has no name"),
    "a data set's YAML": ("data.yaml", b"a\nb\nc\nd\ne\nf\n", "YAML"),
    "YAML by its key": ("l.txt", b"path: x\nnames:\n  0: a\n  1: b\nnc: 2\nval: y\n", "YAML"),
    "a list of YAML": ("l.txt", b"- a\n- b\n- c\n- d\n- e\n- f\n", "YAML"),
    "JSON": ("l.txt", b'["a", "b"]', "YAML"),
    "no text": ("l.txt", b"\x80\x81\n", "cannot read the labels file"),
}


@pytest.mark.parametrize(("name", "data", "says"), NO_LABELS.values(), ids=NO_LABELS)
def test_what_is_no_list_of_the_models_names_is_named(
    made: Callable[..., Any], tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(StartError) as raised:
        made(f"{SHAPES}?labels={tmp_path / name}")
    told = "\n".join(raised.value.lines())
    assert says in told
    assert str(tmp_path / name) in raised.value.what
    assert "one name per line" in told
    assert len(raised.value.lines()) == 3


def test_both_backends_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas, _ = letterbox.fit(picture(5)[0], (320, 192))
    outputs = []
    (name,) = (each.name for each in file.read(str(SHAPES)).inputs)
    blob = np.asarray(canvas[None, ..., ::-1].transpose(0, 3, 1, 2) / 255, np.float32)
    for backend in ("onnxruntime", "cv2"):
        (output,) = backends.load(str(SHAPES), "", backend, ["found"]).run({name: blob})
        outputs.append(output)
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-3


@pytest.mark.parametrize("operator", ["NonMaxSuppression", "NonZero", "Compress", "Unique"])
def test_opencv_gets_no_graph_of_which_it_would_lose_rows(
    made: Callable[..., Any], tmp_path: Path, operator: str
) -> None:
    more = onnx_bytes.graph_node(operator)
    (tmp_path / "odd.onnx").write_bytes(onnx_bytes.detector(1, more=more))
    with pytest.raises(StartError, match="OpenCV cannot run") as raised:
        made(f"{tmp_path}/odd.onnx?backend=cv2")
    assert operator in raised.value.why
    assert "framefan[onnx]" in raised.value.fix


def test_a_model_with_a_free_batch_takes_several_at_once(
    made: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "tiny.onnx").write_bytes(onnx_bytes.detector(None))
    predictor = made(f"{tmp_path}/tiny.onnx?conf=0.5")
    assert predictor.max_batch == 8
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 255, (h, w, 3), np.uint8) for h, w in ((32, 64), (48, 64), (99, 300))]
    together = predictor.predict_batch(images, [FRAME] * 3)
    for image, rows in zip(images, together, strict=True):
        assert len(rows)
        assert np.allclose(rows, predictor.predict(image, FRAME), atol=1e-3)
    assert made(str(SHAPES)).max_batch == 1


@pytest.mark.parametrize("kind", [onnx_bytes.HALF, onnx_bytes.UINT8])
def test_inputs_of_other_numbers_get_the_same_picture(
    made: Callable[..., Any], tmp_path: Path, kind: int
) -> None:
    image = np.random.default_rng(3).integers(0, 255, (32, 64, 3), np.uint8)
    found = []
    for name, numbers in (("usual", 1), ("other", kind)):
        (tmp_path / f"{name}.onnx").write_bytes(onnx_bytes.detector(1, kind=numbers))
        found.append(made(f"{tmp_path}/{name}.onnx").predict(image, FRAME))
    assert len(found[0])
    assert found[1] == pytest.approx(found[0], abs=0.1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (onnx_bytes.detector(1, kind=onnx_bytes.DOUBLE), "an unsupported data type"),
        (onnx_bytes.detector(1, task="depth"), "does not know the task depth"),
        (
            onnx_bytes.detector(1, more=onnx_bytes.graph_output("masks")),
            "output of shape 1x6x32, 1",
        ),
        (onnx_bytes.detector(1, more=onnx_bytes.graph_input("sizes")), "2 inputs: pictures, sizes"),
        (onnx_bytes.detector(1, raw=True), "does not know an output of shape 1x6x32"),
    ],
)
def test_a_model_that_is_no_detector_is_refused_by_name(
    made: Callable[..., Any], tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "odd.onnx").write_bytes(data)
    with pytest.raises(StartError, match=words) as raised:
        made(f"{tmp_path}/odd.onnx")
    assert len(raised.value.lines()) == 3


def test_a_model_that_takes_four_at_once_only_is_refused(
    made: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "four.onnx").write_bytes(onnx_bytes.detector(4))
    with pytest.raises(StartError, match="fixed batch of 4 images"):
        made(f"{tmp_path}/four.onnx")


# ---- what is wrong with it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("onnx:a.onnx?confi=1", "did you mean conf=?"),
        ("onnx:a.onnx?conf=2", "between 0 and 1"),
        ("onnx:a.onnx?iou=x", "between 0 and 1"),
        ("onnx:a.onnx?size=640", "WIDTHxHEIGHT"),
        ("onnx:a.onnx?backend=tensorrt", "cv2 and onnxruntime"),
        ("onnx:", "is no predictor"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert words in "\n".join(raised.value.lines())


def test_options_are_read() -> None:
    assert onnx_options("a/b.onnx?conf=0.5&iou=0.6&labels=l.txt&size=320x192") == OnnxOptions(
        "a/b.onnx", 0.5, 0.6, "l.txt", (320, 192)
    )


def test_what_is_not_there_or_no_model(made: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(StartError, match="does not exist"):
        load(f"onnx:{tmp_path}/no.onnx")
    for junk in (b"", b"this is no model", bytes(range(256)) * 9, SHAPES.read_bytes()[:5000]):
        (tmp_path / "junk.onnx").write_bytes(junk)
        with pytest.raises(StartError) as raised:
            made(f"{tmp_path}/junk.onnx")
        assert "junk.onnx" in raised.value.what


def test_another_size_than_the_models_is_refused(made: Callable[..., Any]) -> None:
    with pytest.raises(StartError, match="only images of 320x192"):
        made(f"{SHAPES}?size=640x640")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tpu"])
def test_a_device_that_is_not_there_names_those_that_are(
    made: Callable[..., Any], device: str
) -> None:
    with pytest.raises(StartError) as raised:
        made(str(SHAPES), device)
    assert device in raised.value.what
    assert "cpu" in raised.value.why


def test_the_backend_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = load(f"onnx:{SHAPES}?backend=cv2")
    predictor.setup("")
    assert predictor.target._backend.name == "cv2.dnn"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StartError, match="not installed"):
        load(f"onnx:{SHAPES}?backend=onnxruntime").setup("")


# ---- the file ------------------------------------------------------------------------------------


def test_the_file_says_its_shape_and_names() -> None:
    said = file.read(str(SHAPES))
    assert said.picture.shape == (1, 3, 192, 320)
    assert said.said.names == dict(enumerate(KINDS))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'a', 1: 'b'}", {0: "a", 1: "b"}),
        ("['a', 'b']", {0: "a", 1: "b"}),
        ("__import__('os').system('true')", {}),
        ('{"0": "a", "1": "b"}', {0: "a", 1: "b"}),
        ("{", {}),
        ("7", {}),
        ("[" * 5000, {}),
        ("", {}),
    ],
)
def test_names_are_read_and_never_run(text: str, names: dict[int, str]) -> None:
    assert metadata.names(text) == names


# ---- letterbox -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(720, 1280), (1280, 720), (10, 3000), (1, 1), (192, 320)])
def test_what_goes_in_comes_back_at_its_place(shape: tuple[int, int]) -> None:
    height, width = shape
    canvas, fit = letterbox.fit(np.zeros((height, width, 3), np.uint8), (320, 192))
    assert canvas.shape == (192, 320, 3)
    inside = np.argwhere(canvas[..., 0] == 0)
    (top, left), (bottom, right) = inside.min(0), inside.max(0) + 1
    whole = np.array([[left, top, right, bottom]], np.float32)
    slack = 1.01 / fit.across
    assert fit.back(whole, width, height)[0] == pytest.approx((0, 0, width, height), abs=slack)
    beyond = np.array([[-50, -50, 900, 900]], np.float32)
    assert fit.back(beyond, width, height)[0] == pytest.approx((0, 0, width, height), abs=slack)
