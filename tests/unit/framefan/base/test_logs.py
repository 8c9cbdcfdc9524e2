"""Log lines: one format, secrets masked, JSON when machines read."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from framefan.base import logs
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText

URL = "rtsp://admin:hunter2@cam/live"


@pytest.fixture(autouse=True)
def _quiet_again():
    yield
    logging.getLogger("framefan").handlers = []


def test_text_lines_name_process_level_and_facts(capfd) -> None:
    logs.configure(Settings(), "pool")
    logs.info("all is well", camera="front", fps=30)
    logs.warning("less so")
    first, second = capfd.readouterr().err.splitlines()
    assert first.endswith("pool        all is well  camera=front  fps=30")
    assert "warning: less so" in second


def test_json_lines(capfd) -> None:
    logs.configure(Settings(log_format="json"), "pool")
    logs.error("broken", camera="front", what=object)
    line = json.loads(capfd.readouterr().err)
    assert line["level"] == "error"
    assert line["process"] == "pool"
    assert line["message"] == "broken"
    assert line["camera"] == "front"
    assert line["ts"] > 1e9


@pytest.mark.parametrize(
    "line", ["hello", '  File "/a.py", line 6 in predict', "{'a': 1}", "{", "[1]", '{"n": 1}', ""]
)
def test_what_a_child_prints_is_an_object_of_a_json_log_and_itself_in_a_text_log(
    line: str, capfd
) -> None:
    logs.configure(Settings(), "supervisor")
    logs.pass_on(line, "workers")
    assert capfd.readouterr().err == line + "\n"
    logs.configure(Settings(log_format="json"), "supervisor")
    logs.pass_on(line, "workers")
    told = json.loads(capfd.readouterr().err)
    if line == '{"n": 1}':  # it was one already
        assert told == {"n": 1}
    else:
        facts = {"level": "info", "process": "workers", "message": line, "event": "output"}
        assert told.items() >= facts.items()


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_password_in_message_fact_or_traceback(capfd, form) -> None:
    logs.configure(Settings(log_format=form, log_level="debug"), "capture")
    try:
        raise ValueError(f"cannot open {URL}")
    except ValueError:
        logs.exception(f"failed: {URL}", source=URL)
    said = capfd.readouterr().err
    assert "ValueError" in said
    assert "hunter2" not in said
    assert "admin" not in said


def test_tracebacks_are_for_debug_only(capfd) -> None:
    logs.configure(Settings(), "capture")
    try:
        raise ValueError("x")
    except ValueError:
        logs.exception("failed")
    assert "Traceback" not in capfd.readouterr().err


def test_levels_hold(capfd) -> None:
    logs.configure(Settings(log_level="error"), "capture")
    logs.debug("a")
    logs.info("b")
    logs.warning("c")
    logs.error("d")
    assert capfd.readouterr().err.count("\n") == 1


def test_a_fact_may_be_called_message(capfd) -> None:
    logs.configure(Settings(), "pool")
    logs.info("status", message="m")
    assert "message=m" in capfd.readouterr().err


def test_a_password_that_json_escapes_is_no_more_seen(capfd) -> None:
    password = 'k"\u00e4 w\\rd'
    camera = CameraSettings(name="a", source=SourceText(f"rtsp://u:{password}@h/x"))
    logs.configure(Settings(log_format="json", cameras=(camera,)), "capture")
    logs.info(f"said {password}", fact=password, other=Path(password))
    line = json.loads(capfd.readouterr().err)
    assert password not in "".join(map(str, line.values()))
    assert line["message"] == "said ***"
    assert line["fact"] == line["other"] == "***"
