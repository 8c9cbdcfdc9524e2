"""`framefan examples` copies what is there, and nothing over anything."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from framefan.commands import examples
from framefan.errors import UsageError

ROOT = Path(__file__).parents[4]


def test_the_examples_and_the_model_are_copied_and_each_named_file_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tried"
    assert examples.copy(str(folder)) == 0
    words = capsys.readouterr().out.replace(":predict", "").replace("onnx:", "").split()
    named = [Path(word) for word in words if word.startswith(f"{folder}/")]
    assert len(named) == 3
    assert all(path.is_file() for path in named)
    assert not list(folder.rglob("__pycache__"))
    with pytest.raises(UsageError, match="there already"):
        examples.copy(str(folder))


def test_a_folder_that_cannot_be_made_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be copied") as raised:
        examples.copy(str(tmp_path / "file" / "below"))
    assert raised.value.why == os.strerror(20)


def test_the_wheel_holds_them_where_the_command_looks() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    (inside,) = build["targets"]["wheel"]["force-include"].values()
    assert ROOT / inside == examples._FOLDERS[0]
