"""Settings from pipes: read once, and not waited for without end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from framefan.base import clock
from framefan.config import small_file
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import StartError

TOML = '[[camera]]\nname = "a"\nsource = "demo"\n'


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def write(path: Path, text: str) -> threading.Thread:
    """As `cat FILE > PIPE &` does."""
    writer = threading.Thread(target=path.write_text, args=(text,))
    writer.start()
    return writer


@pytest.mark.parametrize("size", [0, 9, 300_000])
def test_a_pipe_is_read_to_its_end(pipe: Path, size: int) -> None:
    writer = write(pipe, "x" * size)
    assert small_file.read(str(pipe)) == b"x" * size
    writer.join()


def test_a_configuration_and_a_token_may_come_by_a_pipe(pipe: Path) -> None:
    writer = write(pipe, TOML)
    settings, _ = configure((), Options(config=str(pipe)), {})
    assert [each.name for each in settings.cameras] == ["a"]
    writer.join()
    writer = write(pipe, "let-me-in-1234567\n")
    settings, _ = configure(("demo",), Options(token_file=str(pipe)), {})
    assert settings.token.reveal() == "let-me-in-1234567"
    writer.join()


@pytest.mark.parametrize("option", ["config", "token_file"])
def test_a_pipe_that_nobody_writes_to_is_given_up(
    pipe: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_file, "WAIT_S", 0.2)
    began = clock.now()
    with pytest.raises(StartError) as raised:
        configure(("demo",), Options(**{option: str(pipe)}), {})
    assert "nobody wrote it" in raised.value.why
    assert clock.now() - began < 5


def test_what_the_shell_pipes_in_is_the_same_at_each_reload() -> None:
    for token in ("let-me-in-1234567", "another-one-1234567"):
        reading, writing = os.pipe()
        os.write(writing, token.encode())
        os.close(writing)
        for _ in range(2):
            made = configure(("demo",), Options(token_file=f"/dev/fd/{reading}"), {})[0]
            assert made.token.reveal() == token
        os.close(reading)


@pytest.mark.parametrize("option", ["tls_cert", "tls_key", "model", "labels"])
def test_what_several_processes_read_cannot_be_a_pipe(pipe: Path, option: str) -> None:
    (pipe.parent / "model.onnx").touch()
    options = {
        "model": {"predictor": f"onnx:{pipe}"},
        "labels": {"predictor": f"onnx:{pipe.parent}/model.onnx?labels={pipe}"},
    }.get(option, {option: str(pipe)})
    with pytest.raises(StartError) as raised:
        configure(("demo",), Options(**options), {})
    assert str(pipe) in raised.value.what
    assert "gives its content once" in raised.value.why
