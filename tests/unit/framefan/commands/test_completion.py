"""`framefan completion` prints or installs a script with which a real shell completes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cyclopts.completion import detect

from framefan.commands import completion
from framefan.commands.cli import app
from framefan.errors import StartError, UsageError

COMPLETE = """
source "$1"
COMP_WORDS=(framefan "${@:2}")
COMP_CWORD=$(( $# - 1 ))
_framefan
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], {"predictors"}),
        (["sta"], {"status"}),
        (["run", "--tls"], {"--tls-cert", "--tls-key"}),
        (["completion", "f"], {"fish"}),
    ],
)
def test_bash_completes_commands_flags_and_choices(
    words: list[str], expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completion.show(app, "bash", install=False) == 0
    script = tmp_path / "framefan"
    script.write_text(capsys.readouterr().out)
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", script, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {each.strip() for each in done.stdout.split()} == expected


def test_it_is_installed_for_this_user_and_the_path_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert completion.show(app, "fish", install=True) == 0
    path = Path(capsys.readouterr().out.split()[0])
    assert path.is_relative_to(tmp_path)
    assert "complete -c framefan" in path.read_text()


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(StartError, match="cannot be written"):
        completion.show(app, "fish", install=True)


def test_an_unknown_shell_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise detect.ShellDetectionError

    for found in (fail, lambda: "powershell"):
        monkeypatch.setattr(completion, "detect_shell", found)
        with pytest.raises(UsageError, match="not known"):
            completion.show(app, None, install=False)
