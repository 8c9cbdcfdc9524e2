"""What a person is told at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from framefan.config.configure import Invocation, configure
from framefan.config.options import Options
from framefan.supervisor.startup import remarks

if TYPE_CHECKING:
    from pathlib import Path

LONG = "NnU1kqqfGX0C1b9m8n2XhQ"


def told(invocation: Invocation) -> list[tuple[str, str]]:
    settings, _ = configure(invocation.given, invocation.options, invocation.environment)
    return list(remarks(settings, invocation))


@pytest.mark.parametrize(
    ("token", "mode", "words"),
    [
        (LONG, 0o600, []),
        (LONG, 0o400, []),
        (LONG, 0o644, ["(mode 644)"]),
        (LONG, 0o640, ["(mode 640)"]),
        ("a", 0o600, ["fewer than 16 characters"]),
        ("a" * 15, 0o604, ["fewer than 16 characters", "(mode 604)"]),
        ("a" * 16, 0o600, []),
    ],
)
@pytest.mark.parametrize("place", ["flag", "variable", "file"])
def test_a_token_that_others_may_guess_or_read_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    token: str,
    mode: int,
    words: list[str],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    held = tmp_path / "token"
    held.write_text(token)
    held.chmod(mode)
    config = tmp_path / "f.toml"
    config.write_text(f'token_file = "{held}"\n')
    options = {
        "flag": Options(token_file=str(held)),
        "variable": Options(),
        "file": Options(config=str(config)),
    }[place]
    environment = {"FRAMEFAN_TOKEN_FILE": str(held)} if place == "variable" else {}
    invocation = Invocation((), options, environment)
    told = list(
        remarks(
            configure(invocation.given, invocation.options, invocation.environment)[0], invocation
        )
    )
    assert len(told) == len(words)
    for (text, advice), word in zip(told, words, strict=True):
        assert word in text
        assert advice
        assert token not in text or len(token) == 1


def test_without_a_token_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    invocation = Invocation((), Options(), {})
    assert (
        list(
            remarks(
                configure(invocation.given, invocation.options, invocation.environment)[0],
                invocation,
            )
        )
        == []
    )


def test_a_short_token_of_the_environment_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    invocation = Invocation((), Options(), {"FRAMEFAN_TOKEN": "abc"})
    ((text, _),) = remarks(
        configure(invocation.given, invocation.options, invocation.environment)[0], invocation
    )
    assert "fewer than 16" in text
