"""The tutorial and the how-tos: files are shown as they are, code runs, commands are understood."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from framefan.commands.cli import app
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.settings.run import Limits, Settings
from framefan_capture.sources.scene import Scene
from framefan_inference.predictors import results
from framefan_inference.predictors.predictor import Frame, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"
PAGES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
TEXTS = {page.stem: page.read_text() for page in PAGES}
SHOWN = [("systemd", "ini", "framefan.service"), ("nginx-tls", "nginx", "nginx.conf")]
_BEFORE = r"(?:sudo .*|docker exec CONTAINER |\S*/bin/)?"
_SHELL = (";", "|", ">", "&&", "#")


def _blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [(name, text) for name, page in TEXTS.items() for text in pattern.findall(page)]


def _commands() -> list[str]:
    """What stands behind `framefan` in the lines to be typed."""
    lines = [line for text in TEXTS.values() for line in text.splitlines()]
    found = [re.fullmatch(rf"    {_BEFORE}framefan(?: (?!is ready)(.*))?", each) for each in lines]
    return sorted({each[1] for each in found if each and each[1]})


@pytest.mark.parametrize(("page", "language", "file"), SHOWN)
def test_a_file_to_deploy_is_shown_as_it_is(page: str, language: str, file: str) -> None:
    assert [text for name, text in _blocks(language) if name == page] == [
        (DEPLOY / file).read_text()
    ]


def test_every_file_to_deploy_is_shown_or_linked() -> None:
    linked = re.findall(r"\(\.\./\.\./examples/deploy/(.+?)\)", "".join(TEXTS.values()))
    assert {path.name for path in DEPLOY.iterdir()} == {file for _, _, file in SHOWN} | set(linked)


def test_every_alert_is_told() -> None:
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    assert re.findall(r"^\| `(Framefan\w+)` \| (?!and)", TEXTS["monitoring"], re.M) == alerts


def test_the_unit_stops_later_than_the_run_does() -> None:
    unit = (DEPLOY / "framefan.service").read_text()
    values = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    limits = Limits()
    assert float(values["TimeoutStopSec"]) > limits.grace_s
    assert int(values["LimitNOFILE"]) > limits.max_clients
    assert values["Environment"] == f"XDG_RUNTIME_DIR=/run/{values['RuntimeDirectory']}"
    assert values["RuntimeDirectoryMode"] == "0700"


@pytest.mark.parametrize(("page", "code"), _blocks("python"))
def test_its_predictors_predict(
    page: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # the model of an example is named by its path there
    found = re.findall(r"^(?:(?:class|def) (\w+)|(\w+) = chain)", code, re.MULTILINE)
    name = "".join(found[-1])
    file = tmp_path / f"doc_{page.replace('-', '_')}.py"
    file.write_text(code)
    picture = np.zeros((240, 320, 3), np.uint8)
    Scene(320, 240).draw(7, picture)
    picture.flags.writeable = False
    predictor = load(f"{file}:{name}")
    predictor.setup()
    returned: Any = predictor.predict(picture, Frame("cam", 1, 0.0, 1))
    _, payload = results.convert(returned, predictor.labels, 1 << 18)
    assert msgspec.msgpack.decode(payload), "it saw nothing"
    predictor.close()


@pytest.mark.parametrize(("page", "text"), _blocks("toml"))
def test_its_configurations_are_read(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"{page}.toml"
    file.write_text(text)
    settings, _ = configure([], Options(config=str(file)), {})
    assert len(settings.cameras) == text.count("[[camera]]")


def test_commands_are_found() -> None:
    assert len(_commands()) > 20


@pytest.mark.parametrize("command", _commands())
def test_its_commands_are_understood(command: str) -> None:
    words = shlex.split(command)
    assert not set(words) & set(_SHELL)
    app.parse_args(words, exit_on_error=False, print_error=False)


def test_the_image_has_what_an_installation_needs() -> None:
    steps = (ROOT / "Dockerfile").read_text()
    copied = {
        name for line in re.findall(r"^COPY (?!-)(.*) \S+$", steps, re.M) for name in line.split()
    }
    assert copied == {"pyproject.toml", "README.md", "LICENSE", *_packages()}
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert set(sent) == copied


def test_the_image_starts_without_a_shell() -> None:
    steps = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    forms = dict(re.findall(r"^(ENTRYPOINT|CMD|HEALTHCHECK.*?CMD) (\[.*\])$", steps, re.M))
    started = {key.split()[0]: json.loads(words) for key, words in forms.items()}
    assert started["ENTRYPOINT"] + started["CMD"] == ["framefan", "run"]
    assert started["HEALTHCHECK"][:2] == ["python", "-c"]
    compile(started["HEALTHCHECK"][2], "healthcheck", "exec")
    assert f":{Settings().port}/healthz" in started["HEALTHCHECK"][2]


def _packages() -> set[str]:
    """The folders that hold what pyproject.toml builds."""
    built = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    assert built
    return {path.split("/")[0] for path in re.findall(r'"(.+?)"', built[1])}
