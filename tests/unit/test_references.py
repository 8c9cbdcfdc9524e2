"""docs/cli.md and docs/configuration.md say what the commands and the records say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import cli_reference
import config_reference

from framefan.config.configure import configure
from framefan.config.options import Options

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()


def test_the_commands_are_told_as_their_help_tells_them() -> None:
    assert (DOCS / "cli.md").read_text() == cli_reference.page()


def test_who_touches_the_environment_is_told() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text()
    openers = {"pipe.py", "video.py", "opencv_stream.py"}
    for package in ("framefan", "capture", "inference", "gateway"):
        for file in (ROOT / package).rglob("*.py"):
            if re.search(r"\bos\.(environ|getenv)\b", file.read_text()):
                assert f"{file.name}`" in told or file.name in openers, file


def test_the_settings_are_told_as_the_records_have_them() -> None:
    assert config_reference.page() == CONFIGURATION


def test_its_file_is_read(tmp_path: Path) -> None:
    text = re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)[0]
    assert tomllib.loads(text)["predictor"] == "model.py:predict"
    (tmp_path / "model.py").write_text("def predict(image):\n    return 1\n")
    (tmp_path / "framefan.toml").write_text(text.replace("model.py", str(tmp_path / "model.py")))
    settings, _ = configure([], Options(config=str(tmp_path / "framefan.toml")), {})
    assert (settings.workers, settings.limits.history_s) == (4, 120)
    assert settings.camera("front").max_fps == 10
