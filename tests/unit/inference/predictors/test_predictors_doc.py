"""docs/predictors.md: its code runs, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from framefan.settings.predictor_ref import _READERS, BUILTIN
from framefan.settings.run import Limits
from framefan_capture.sources.scene import Scene
from framefan_inference.predictors import results
from framefan_inference.predictors.predictor import Frame, load

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "predictors.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
DETECT = ("Detector", "Regions", "Bright", "things")


@pytest.fixture
def image() -> Any:
    picture = np.zeros((240, 320, 3), np.uint8)
    Scene(320, 240).draw(7, picture)
    picture.flags.writeable = False
    return picture


@pytest.mark.parametrize("code", CODE, ids=lambda code: code.split("(")[0].split()[-1])
def test_its_code_predicts(
    code: str, image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # the model of an example is named by its path there
    name = re.findall(r"^(?:(?:class|def) (\w+)|(\w+) = chain)", code, re.MULTILINE)[-1]
    name = "".join(name)
    file = tmp_path / f"doc_{name.lower()}.py"
    file.write_text(code)
    predictor = load(f"{file}:{name}")
    predictor.setup()
    returned: Any = predictor.predict(image, Frame("cam", 1, 0.0, 1))
    kind, payload = results.convert(returned, predictor.labels, 1 << 18)
    assert kind == ("detections" if name in DETECT else "value")
    assert msgspec.msgpack.decode(payload), "it saw nothing"
    predictor.close()


@pytest.mark.parametrize("code", re.findall(r"```python untested\n(.*?)```", PAGE, re.DOTALL))
def test_what_is_not_run_is_python_all_the_same(code: str) -> None:
    compile(code, "recipe", "exec")


def test_it_names_what_there_is() -> None:
    for name in BUILTIN:
        assert f"| `{name}` |" in PAGE
    for option in _READERS:
        assert f"| `{option}` |" in PAGE
    assert f"`limits.batch_wait_ms` ({Limits().batch_wait_ms:g} ms)" in PAGE.replace("\n", " ")
