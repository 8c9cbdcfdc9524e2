"""docs/predictors.md: its code runs, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framefan.predictors import _OPTIONS, BUILTIN
from framefan.settings import Limits
from framefan_inference import results
from framefan_inference.predictor import Frame, load

PAGE = (Path(__file__).parents[3] / "docs" / "predictors.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
IMAGE = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("code", CODE, ids=lambda code: code.split("(")[0].split()[-1])
def test_its_code_predicts(code: str, tmp_path: Path) -> None:
    name = re.findall(r"^(?:class|def) (\w+)", code, re.MULTILINE)[-1]
    file = tmp_path / f"doc_{name.lower()}.py"
    file.write_text(code)
    predictor = load(f"{file}:{name}")
    predictor.setup()
    returned: Any = predictor.predict(IMAGE, Frame("cam", 1, 0.0, 1))
    kind, _ = results.convert(returned, predictor.labels, 1 << 18)
    assert kind == ("detections" if name == "Detector" else "value")
    predictor.close()


def test_it_names_what_there_is() -> None:
    for name in BUILTIN:
        assert f"| `{name}` |" in PAGE
    for option in _OPTIONS:
        assert f"| `{option}` |" in PAGE
    assert f"`limits.batch_wait_ms` ({Limits().batch_wait_ms:g} ms)" in PAGE.replace("\n", " ")
