"""The doctor's findings, one check at a time."""

from __future__ import annotations

import re
import subprocess

import pytest

from framefan import doctor, host
from framefan.configure import configure
from framefan.doctor import Level
from framefan.options import Options
from framefan.secret import SourceText
from framefan.settings import CameraSettings, Settings


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


def test_opencv_without_ffmpeg_is_a_problem(monkeypatch) -> None:
    said = '{"version": "5.0", "gui": "NONE", "backends": ["V4L2"]}'
    monkeypatch.setattr(doctor, "_try", lambda *_: subprocess.CompletedProcess([], 0, said, ""))
    version, video = doctor._opencv()
    assert "without windows" in version.text
    assert video.level is Level.PROBLEM


def test_memory_counts_all_rings_and_says_both_numbers(monkeypatch) -> None:
    made = settings("demo?size=160x120", "rtsp://h/x")
    monkeypatch.setattr(host, "available_bytes", lambda: 1 << 40)
    assert doctor._memory(made).level is Level.OK
    monkeypatch.setattr(host, "available_bytes", lambda: 280 << 20)
    finding = doctor._memory(made)
    assert finding.level is Level.PROBLEM
    assert "29 MiB of 280 MiB" in finding.text


def test_few_descriptors_are_a_warning(monkeypatch) -> None:
    monkeypatch.setattr(host, "descriptor_limit", lambda: 1024)
    finding = doctor._descriptors(settings())
    assert finding.level is Level.WARN
    assert "896 clients" in finding.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("x = (", "my.py"),
        ("def other(image): return []", "Name"),
        ("import os; os._exit(3)", "without a word"),
    ],
)
def test_predictors_that_do_not_load(tmp_path, text: str, words: str) -> None:
    (tmp_path / "my.py").write_text(text)
    finding = doctor._predictor(settings(predictor="my.py:Name"))
    assert finding.level is Level.PROBLEM
    assert words in finding.text


def test_a_predictor_that_loads(tmp_path) -> None:
    (tmp_path / "my.py").write_text("def predict(image): return []")
    assert doctor._predictor(settings(predictor="my.py:predict")).level is Level.OK


def test_a_missing_source_is_the_doctors_problem_not_its_end(capsys) -> None:
    assert doctor.examine(["nix.mp4"], Options()) == 1
    assert "nix.mp4" in capsys.readouterr().out


def test_a_run_folder_that_cannot_be_used(tmp_path) -> None:
    (tmp_path / "framefan").mkdir(mode=0o755)
    assert doctor._folder(settings()).level is Level.PROBLEM


def test_each_camera_is_tried_and_one_that_fails_is_a_problem(tmp_path, capsys) -> None:
    (tmp_path / "garb.mp4").write_bytes(b"no video" * 100)
    assert doctor.examine(["demo?size=320x240", "bad=garb.mp4"], Options(port=0)) == 1
    lines = capsys.readouterr().out.splitlines()
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


def test_a_size_limit_makes_rings_smaller() -> None:
    run = settings()
    large = CameraSettings(name="a", source=SourceText("rtsp://h/x"))
    small = CameraSettings(name="a", source=SourceText("rtsp://h/x"), max_size="640x360")
    assert doctor._ring_bytes(run, small) < doctor._ring_bytes(run, large) / 5
