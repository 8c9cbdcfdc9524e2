"""An OpenCV that does not import is not the predictor's fault, and is said so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from framefan.errors import StartError
from framefan_inference.predictors.predictor import load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("opencv", "mine", "advice"),
    [
        ("raise ImportError('libxcb.so.1: cannot open')", "import cv2", "framefan doctor"),
        ("", "from cv2 import nothing_of_it", "fix it"),
        ("", "import nowhere_to_be_found", "install what it needs"),
    ],
)
def test_the_doctor_is_named_where_opencv_itself_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opencv: str, mine: str, advice: str
) -> None:
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(opencv)
    (tmp_path / "mine.py").write_text(f"{mine}\ndef predict(image): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    with pytest.raises(StartError) as raised:
        load(f"{tmp_path / 'mine.py'}:predict")
    sys.modules.pop("cv2", None)
    assert "ImportError" in raised.value.why or "ModuleNotFoundError" in raised.value.why
    assert advice in raised.value.fix
