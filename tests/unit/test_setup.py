"""What `make` says on a machine that lacks something: what, why, and what to do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_setup", ROOT / ".ci" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def pip_that_says(folder: Path, text: str) -> Path:
    """An interpreter that complains as pip would, and fails."""
    said = folder / "said"
    said.write_text(text + "\n")
    python = folder / "python"
    python.write_text(f"#!/bin/sh\ncat {said} >&2\nexit 1\n")
    python.chmod(0o755)
    return python


@pytest.mark.parametrize(
    ("said", "why", "fix"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full", "free about 500 MB"),
        ("WARNING: 'NewConnectionError('<pip..", "no package index", "PIP_INDEX_URL"),
        ("ERROR: something else", "", "fix that and run make again"),
    ],
)
def test_pips_complaint_stands_there_and_what_to_do(
    setup: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    said: str, why: str, fix: str,
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as raised:
        setup.pip(pip_that_says(tmp_path, said), "install", "x")
    assert raised.value.code == 3
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == said
    assert fix in lines[-1]
    assert any(line.startswith(f"  why: {why}") for line in lines) is bool(why)


def test_a_folder_that_cannot_be_written_is_not_told_as_a_python_that_lacks_venv(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(setup.os, "access", lambda *_: False)
    with pytest.raises(SystemExit):
        setup.make_environment(tmp_path / ".venv")
    said = capfd.readouterr().err
    assert "no write permission there" in said
    assert "venv (Debian" not in said


def test_venv_that_fails_says_why(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    fix, why = setup.venv_advice("Error: [Errno 28] No space left on device")
    assert "No space left" in why
    assert "free about 500 MB" in fix
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda _: None)
    fix, why = setup.venv_advice("whatever")
    assert "ensurepip" in why
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in fix


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("/nowhere/python3.12", "/nowhere/python3.12 does not run or is older than 3.11"),
        ("false", "false does not run or is older than 3.11"),
        ("", "no Python 3.11 or newer found"),
    ],
)
def test_a_python_that_will_not_do_is_named(python: str, said: str) -> None:
    done = subprocess.run(
        ["make", "-B", ".venv/.installed", f"PYTHON={python}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={key: text for key, text in os.environ.items() if not key.startswith("MAKE")},
        check=False,
    )
    assert done.returncode == 2
    assert ".ci/setup.py" not in done.stderr, "it went on with it"
    assert done.stderr.startswith(f"framefan: {said}\n  do:  install one")


def test_what_a_group_names_is_installed(setup: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[dependency-groups]\ntest = ["a>=1"]\ncheck = ["b", "c<2"]\nbench = ["d"]\n'
    )
    assert setup.requirements(["test", "check"]) == ["a>=1", "b", "c<2"]
