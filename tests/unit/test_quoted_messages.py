"""What the docs quote is what framefan says, and the explanations name what the code counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from websockets.datastructures import Headers

from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import FramefanError
from framefan.ipc import protocol
from framefan.settings.run import Settings
from framefan.settings.states import REASONS, STILL
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.http.web import Web
from framefan_gateway.intake import Intake
from framefan_inference.leases import camera_queue, sequencer
from framefan_inference.predictors.predictor import load

DOCS = Path(__file__).parents[2] / "docs"
TRANSPORT = '[[camera]]\nname = "front"\nsource = "demo"\ntransport = "udp"\n'


def page(name: str) -> str:
    return (DOCS / name).read_text()


def said(error: FramefanError) -> str:
    return "\n".join(error.lines())


@pytest.mark.parametrize(
    ("name", "options", "environment", "quoted"),
    [
        ("docker", {"host": "0.0.0.0"}, {}, "--host 0.0.0.0 without a token"),
        ("docker", {}, {"TOKEN": ""}, "the variable FRAMEFAN_TOKEN holds no token"),
        ("docker", {}, {"MINE": "1"}, "framefan does not know the variable FRAMEFAN_"),
        (
            "docker",
            {},
            {"PORT": "tcp://x"},
            "looks like a variable that Kubernetes makes of a Service",
        ),
        ("docker", {"token_file": "nix"}, {}, "cannot read the token file: "),
        ("onnx-model", {"predictor": "onnx:nix.onnx"}, {}, "cannot read the model: "),
        ("onnx-model", {"predictor": "onnx:a?confi=1"}, {}, 'onnx: has no option "confi"'),
        ("rtsp-camera", {"config": "f.toml"}, {}, "has a transport and is no RTSP camera"),
    ],
)
def test_what_is_refused_at_the_start(
    name: str,
    options: dict[str, str],
    environment: dict[str, str],
    quoted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.toml").write_text(TRANSPORT)
    variables = {f"FRAMEFAN_{key}": text for key, text in environment.items()}
    with pytest.raises(FramefanError) as caught:
        configure([], Options(**options), variables)  # type: ignore[arg-type]
    assert quoted in said(caught.value)
    assert quoted in page(f"howto/{name}.md")


@pytest.mark.parametrize(
    ("name", "reference", "quoted"),
    [
        ("predictor", "{}/bright.py:Brigth", 'bright.py" has no "Brigth"'),
        ("predictor", "bright.pi:Bright", 'the predictor module "bright.pi" was not found'),
        ("onnx-model", "onnx:{}/junk.onnx", "is not an ONNX model"),
    ],
)
def test_what_is_refused_as_it_is_loaded(
    name: str, reference: str, quoted: str, tmp_path: Path
) -> None:
    (tmp_path / "bright.py").write_text(
        "class Bright:\n    def predict(self, image):\n        pass\n"
    )
    (tmp_path / "junk.onnx").write_text("junk")
    with pytest.raises(FramefanError) as caught:
        load(reference.format(tmp_path)).setup()
    assert quoted in said(caught.value)
    assert quoted in page(f"howto/{name}.md")


@pytest.mark.parametrize(
    ("headers", "quoted"),
    [
        ({"Host": "cams.example.org"}, "this Host is not this machine"),
        ({"Host": "localhost", "Origin": "https://a.example"}, "this Origin is not allowed"),
    ],
)
def test_whom_nginx_is_refused_for(headers: dict[str, str], quoted: str) -> None:
    hub = Hub(1, 1)
    web = Web(Settings(origins=("https://cams.example.org",)), 1, hub, Intake(hub, 3.0))
    assert quoted in web.refusal(Headers(headers))
    assert quoted in page("howto/nginx-tls.md")
    assert web.refusal(Headers(Host="localhost", Origin="https://cams.example.org")) == ""


@pytest.mark.parametrize("name", ["rtsp-camera", "webcam", "docker"])
def test_reasons_in_brackets_are_reasons(name: str) -> None:
    rows = [line for line in page(f"howto/{name}.md").splitlines() if line.startswith("| ")]
    found = {each for line in rows for each in re.findall(r"`\((\w+)\)`", line)}
    assert found
    assert found <= REASONS.keys()


def test_every_cause_is_explained() -> None:
    text = page("why-frames-are-dropped.md")
    parts = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    for heading, module, causes in (
        ("superseded", camera_queue, "NEWER NO_WORKER NO_SLOT MAX_FPS REMOVED CIRCUIT"),
        ("lost", sequencer, "LATE NO_OUTCOME WORKER_DIED PREDICT_TIMEOUT STOPPED"),
    ):
        part = next(part for title, part in parts.items() if title.endswith(heading))
        told = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
        of_capture = [STILL] if heading == "superseded" else []
        expected = [getattr(module, cause) for cause in causes.split()]
        assert sorted(told) == sorted(expected + of_capture)


def test_every_stage_is_explained() -> None:
    told = re.findall(r"^\| `(\w+)` \| .+ \| .+ \| .+ \|$", page("latency.md"), re.MULTILINE)
    assert tuple(told) == protocol.Latency.__struct_fields__
