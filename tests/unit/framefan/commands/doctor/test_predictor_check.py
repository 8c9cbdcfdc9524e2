"""A predictor tried as a worker would: whatever it does, the doctor lives and says it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from framefan.commands.doctor import predictor_check
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import FramefanError
from framefan.ipc.tryout import PredictorFacts
from framefan.settings.run import Limits, Settings
from framefan_inference.predictors import threads


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def attempt(text: str, name: str = "predict", **limits: float) -> PredictorFacts | FramefanError:
    Path("my.py").write_text(text)
    made: Settings = configure((), Options(predictor=f"my.py:{name}"), {})[0]
    made = Settings(cameras=made.cameras, predictor=made.predictor, limits=Limits(**limits))
    return predictor_check.attempt(made, 160, 120)


def test_what_one_worker_takes() -> None:
    tried = attempt(
        "import time\nprint('hello')\n"
        "def predict(image):\n"
        "    assert image.shape == (120, 160, 3) and not image.flags.writeable\n"
        "    time.sleep(0.02)\n    return {'mean': float(image.mean())}\n"
    )
    assert isinstance(tried, PredictorFacts)
    assert tried.predict_s >= 0.02
    assert tried.own_bytes > 1 << 20
    assert tried.threads >= 1


@pytest.mark.parametrize(
    ("text", "words", "fix"),
    [
        ("import nowhere_to_be_found", "nowhere_to_be_found", "install"),
        ("x = (", "my.py", "fix it"),
        ("def other(image): return []", "other", "my.py:NAME"),
        ("import os; os._exit(3)", "exit code 3", "by itself"),
        ("import os; os.abort()", "SIGABRT", "by itself"),
        ("def predict(image): raise ValueError('too dark')", "ValueError: too dark", "fix it"),
        ("def predict(image): image[0] = 1", "read-only", "fix it"),
        ("def predict(image): return object()", "JSON", "docs/predictors.md"),
        (
            "class predict:\n    def setup(self): raise OSError('no weights')\n"
            "    def predict(self, image): return 1",
            "OSError: no weights",
            "setup()",
        ),
    ],
)
def test_what_goes_wrong_is_said_and_what_to_do(text: str, words: str, fix: str) -> None:
    failed = attempt(text)
    assert isinstance(failed, FramefanError)
    assert words in f"{failed.what}: {failed.why}"
    assert fix in failed.fix


SHAPES = Path(__file__).parents[5] / "examples" / "shapes" / "shapes.onnx"


def test_a_model_is_described_with_what_it_sees() -> None:
    import cv2
    import numpy as np

    from framefan_capture.sources.scene import Scene

    image = np.empty((720, 1280, 3), np.uint8)
    Scene(1280, 720, 8).draw(8, image)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    made: Settings = configure((), Options(predictor=f"onnx:{SHAPES}"), {})[0]
    tried = predictor_check.attempt(made, 160, 120, jpeg)
    assert isinstance(tried, PredictorFacts)
    assert tried.about["model head"] == "detect, layout scores, 6 classes"
    assert tried.about["model input"] == "320x192 float32 NCHW, RGB 0 to 1"
    classes = tried.about["model classes"]
    assert classes == "6: circle, square, triangle, star, qr, aruco"
    assert "onnxruntime" in tried.about["model runs_on"]
    assert tried.about["model sees"].startswith(("circle ", "square ", "star ", "qr ", "aruco "))
    takes = tried.about["model takes"]
    assert re.fullmatch(r"[\d.]+ ms with 1 thread.*", takes)
    counts = re.findall(r"with (\d+) thread", takes)
    assert list(map(int, counts)) == sorted({1, threads.share(made.workers), threads.share(1)})
    assert takes.count("(what a worker uses)") == 1
    assert attempt("def predict(image): return 1").about == {}  # type: ignore[union-attr]


def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_check, "_GRACE_S", 1.0)
    hangs = "import threading\nthreading.Event().wait()\n"
    failed = attempt(hangs, worker_start_s=0.0, predict_s=0.0)
    assert isinstance(failed, FramefanError)
    assert "no result within 1 s" in failed.what
    assert "predict_s" in failed.fix


def test_an_answer_counts_though_something_it_started_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictor_check, "_GRACE_S", 5.0)
    lives_on = (
        "import subprocess\n"
        "class predict:\n"
        "    def setup(self): subprocess.Popen(['sleep', '7'])\n"  # with our stdout and stderr
        "    def predict(self, image): return 1\n"
    )
    assert isinstance(attempt(lives_on, worker_start_s=0.0, predict_s=0.0), PredictorFacts)
