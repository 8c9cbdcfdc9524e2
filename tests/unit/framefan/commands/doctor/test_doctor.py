"""The doctor's findings, one check at a time."""

from __future__ import annotations

import re
import subprocess

import pytest

from framefan.commands.doctor import examine as doctor
from framefan.commands.doctor.findings import Level
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import RunError
from framefan.ipc.tryout import PredictorFacts
from framefan.settings.run import CameraSettings, Limits, PredictorSettings, Settings
from framefan.settings.secret import SourceText


@pytest.fixture(autouse=True)
def _runtime(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def settings(*sources: str, **options: object) -> Settings:
    return configure(sources, Options(**options), {})[0]


def test_opencv_that_does_not_import_names_both_remedies(monkeypatch) -> None:
    failed = subprocess.CompletedProcess(
        [], 1, "", "Traceback\nImportError: libGL.so.1: no such file"
    )
    monkeypatch.setattr(doctor, "_try", lambda *_: failed)
    (finding,) = doctor._opencv()
    assert finding.level is Level.PROBLEM
    assert "libGL.so.1" in finding.text
    assert "apt-get install libgl1" in finding.cure
    assert "opencv-python-headless==" in finding.cure


def test_both_wheels_at_once_are_a_problem(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda _: "5.0")
    (finding,) = doctor._opencv()
    assert finding.level is Level.PROBLEM
    assert "pip install opencv-python" in finding.cure


def test_opencv_without_ffmpeg_is_a_problem(monkeypatch) -> None:
    said = '{"version": "5.0", "gui": "NONE", "backends": ["V4L2"]}'
    monkeypatch.setattr(doctor, "_try", lambda *_: subprocess.CompletedProcess([], 0, said, ""))
    version, video = doctor._opencv()
    assert "without windows" in version.text
    assert video.level is Level.PROBLEM


def test_opencv_that_is_killed_is_no_library_that_lacks(monkeypatch) -> None:
    killed = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(doctor, "_try", lambda *_: killed)
    (finding,) = doctor._opencv()
    assert "killed by SIGSEGV" in finding.text
    assert "libgl1" not in finding.cure


def test_a_predictor_that_takes_longer_than_a_worker_may() -> None:
    slow = PredictorFacts(12.0, 0, 1, 0, uses_device=False)
    (finding,) = doctor._predictor(settings(), slow)
    assert finding.level is Level.PROBLEM
    assert "predict_s = 24" in finding.cure


def test_a_device_nobody_uses_is_a_warning() -> None:
    ok, warning = doctor._predictor(
        settings(device="cuda:0"), PredictorFacts(0.01, 0, 1, 0, uses_device=False)
    )
    assert (ok.level, warning.level) == (Level.OK, Level.WARN)
    assert "10 ms per frame" in ok.text


def test_each_of_several_predictors_is_tried_with_a_camera_of_its_own(monkeypatch) -> None:
    tried = []

    def attempt(only: Settings, width: int, height: int, jpeg: bytes) -> PredictorFacts | RunError:
        tried.append((only.predictor, only.cameras[0].name, width, only.limits.predict_s))
        if only.predictor == "qr":
            return RunError("it does not load")
        return PredictorFacts(1.0, 7, 1, 0, uses_device=True)

    monkeypatch.setattr(doctor.predictor_check, "attempt", attempt)
    people = PredictorSettings(name="people", predictor="motion", limits=Limits(predict_s=9))
    plates = PredictorSettings(name="plates", predictor="qr")
    unused = PredictorSettings(name="unused", predictor="aruco", limits=Limits(predict_s=0.5))
    cameras = [
        CameraSettings(name=name, source=SourceText("0"), predictor=predictor)
        for name, predictor in (("a", "plates"), ("b", "people"))
    ]
    run = Settings(cameras=tuple(cameras), predictors=(people, plates, unused))
    findings = doctor._predictors(run, {}, {"a": (320, 240), "b": (640, 480)})
    found, known = [], {}
    try:
        while True:
            found.append(next(findings))
    except StopIteration as end:
        known = end.value
    assert tried == [("motion", "b", 640, 9), ("qr", "a", 320, 10), ("aruco", "a", 320, 0.5)]
    assert [(each.level, each.subject) for each in found] == [
        (Level.OK, "people"),
        (Level.PROBLEM, "plates"),
        (Level.PROBLEM, "unused"),
        (Level.WARN, "unused"),
    ]
    assert "no camera has this predictor" in found[-1].text
    assert {name: facts.own_bytes for name, facts in known.items()} == {"people": 7, "unused": 7}


def test_where_the_tokens_file_is_named(tmp_path, monkeypatch) -> None:
    config = tmp_path / "run.toml"
    config.write_text('token_file = "from-file"\n')
    assert doctor._token_file(Options()) == ""
    assert doctor._token_file(Options(config=str(config))) == "from-file"
    monkeypatch.setenv("FRAMEFAN_TOKEN_FILE", "from-environment")
    assert doctor._token_file(Options(config=str(config))) == "from-environment"
    assert doctor._token_file(Options(token_file="from-flag")) == "from-flag"


def test_all_of_it_for_a_run_that_cannot_work(tmp_path, capfd) -> None:
    (tmp_path / "my.py").write_text("def predict(image):\n    raise ValueError('no')\n")
    token = tmp_path / "token"
    token.write_text("open-sesame")
    token.chmod(0o644)
    options = Options(port=0, predictor="my.py:predict", token_file=str(token), workers=200)
    assert doctor.examine(["demo?size=320x240"], options) == 1
    out = capfd.readouterr().out
    assert re.search(r"warn +token .*chmod 600", out)
    assert re.search(r"problem +predictor .*ValueError: no \(my.py, line 2", out)
    assert re.search(r"warn +workers +200 on", out)
    assert re.search(r"memory +about \d+ MiB of \d+ MiB", out)


def test_a_missing_source_is_the_doctors_problem_not_its_end(capfd) -> None:
    assert doctor.examine(["nix.mp4"], Options()) == 1
    assert "nix.mp4" in capfd.readouterr().out


def test_each_camera_is_tried_and_one_that_fails_is_a_problem(tmp_path, capfd) -> None:
    (tmp_path / "garb.mp4").write_bytes(b"no video" * 100)
    assert doctor.examine(["demo?size=320x240", "bad=garb.mp4"], Options(port=0)) == 1
    lines = capfd.readouterr().out.splitlines()
    assert any(
        re.fullmatch(r"ok +demo +320x240, first picture after \d\.\d s", line) for line in lines
    )
    (problem,) = [line for line in lines if line.startswith("problem")]
    assert re.match(r"problem +bad +garb\.mp4 cannot be played as a video: .+  ->  ", problem)


def test_settings_that_are_hardly_meant() -> None:
    source = SourceText("rtsp://h/x")
    slow = CameraSettings(name="s", source=source, max_fps=0.1)
    (finding,) = doctor._doubts(slow)
    assert finding.level is Level.WARN
    assert "stalled_s to more than 10" in finding.cure
    (finding,) = doctor._doubts(CameraSettings(name="f", source=source, frozen_s=1))
    assert "frozen_s" in finding.text
    assert not list(doctor._doubts(CameraSettings(name="u", source=source)))


def test_steps_are_for_people_at_a_terminal(monkeypatch, capfd) -> None:
    doctor._step("looking")
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(doctor.sys.stderr, "isatty", lambda: True)
    doctor._step("looking")
    assert capfd.readouterr().err == "  looking ...\n"
