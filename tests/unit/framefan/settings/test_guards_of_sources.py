"""What tests of sources show without the guard that each of them is about: they fail."""

from __future__ import annotations

import re

import pytest
import test_child_output
import test_logs
import test_reload_of_cameras
import test_source_spec

from framefan.errors import UsageError
from framefan.settings import secret, source_spec
from framefan.settings.run import Settings
from framefan.supervisor.reload_plan import Plan


def test_without_masks_passwords_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_source_spec, "mask_source", lambda text: text)
    with pytest.raises(AssertionError):
        test_source_spec.test_no_password_survives()


def test_without_redaction_they_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret.Redaction, "clean", lambda self, text: text)
    with pytest.raises(AssertionError):
        test_child_output.test_secrets_of_the_camera_are_taken_out()


@pytest.mark.parametrize("form", ["text", "json"])
def test_without_redaction_they_are_logged(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(secret.Redaction, "clean", lambda self, text: text)
    with pytest.raises(AssertionError):
        test_logs.test_no_password_in_message_fact_or_traceback(capfd, form)


def test_without_its_schemes_every_address_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_spec, "_SCHEME", re.compile("(no scheme at all):"))
    for text in ("file:///etc/passwd", "concat:a|b"):
        with pytest.raises(pytest.fail.Exception, match=UsageError.__name__):
            test_source_spec.test_refused(text)


def test_a_reload_that_compares_nothing_restarts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(old: Settings, new: Settings) -> Plan:
        names = {camera.name for camera in old.cameras} & {camera.name for camera in new.cameras}
        return Plan([], sorted(names), [], [])

    monkeypatch.setattr(test_reload_of_cameras, "plan", careless)
    with pytest.raises((AssertionError, ExceptionGroup)):
        test_reload_of_cameras.test_following_the_plan_makes_the_old_cameras_the_new_ones()
