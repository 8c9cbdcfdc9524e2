"""References of a command's own folder, as the run that it talks to has to have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from framefan.settings.predictor_ref import onnx_options, parse
from framefan.supervisor.scale_swap import absolute

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_those_of_the_commands_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("own.py:predict") == f"{tmp_path}/own.py:predict"
    assert absolute("onnx:a b.onnx") == f"onnx:{tmp_path}/a b.onnx"
    found = onnx_options(parse(absolute("onnx:a.onnx?conf=0.5&labels=my names.txt")).target)
    assert (found.path, found.labels) == (f"{tmp_path}/a.onnx", f"{tmp_path}/my names.txt")
    assert found.conf == 0.5


@pytest.mark.parametrize("reference", ["motion", "package.module:Name"])
def test_names_stay_as_they_are(reference: str) -> None:
    assert absolute(reference) == reference
