"""What a WebSocket client gets of everything a predictor may return or do, row by row."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import returned
from faults import limits, sabotage
from runs import Run, assert_balanced, framefan
from waiting import SCALE, wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).parent / "returned.py"
SOURCE = "cam=demo?size=400x300&fps=100"
QUICK = limits(state_every_s=0.2)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def _read(run: Run, query: str = "") -> Iterator[dict[str, Any]]:
    """Results and errors, as a reader of strict JSON gets them."""
    with connect(run.ws + query, proxy=None, max_size=None) as client:
        while True:
            message = json.loads(client.recv(timeout=20 * SCALE), parse_constant=_refuse)
            if message["type"] in ("result", "error"):
                yield message


def _one_of_each(run: Run) -> dict[str, dict[str, Any]]:
    """The first message of each row."""
    found: dict[str, dict[str, Any]] = {}
    for count, message in enumerate(_read(run, "?delivery=every")):
        found.setdefault(returned.NAMES[message["seq"] % len(returned.NAMES)], message)
        if len(found) == len(returned.NAMES) or count > 3 * len(returned.NAMES):
            return found
    raise AssertionError


def _wrong(name: str, message: dict[str, Any]) -> str:
    """What is wrong with a row's message; nothing if it is as the table says."""
    expected = returned.ROWS[name][1]
    if "kind" not in expected:
        got = {key: message[key] for key in ("result", "detections") if key in message}
        return "" if got == expected and message["type"] == "result" else f"{name}: {message}"
    if message["type"] != "error" or message["error"]["kind"] != expected["kind"]:
        return f"{name}: {message}"
    text = message["error"]["message"]
    place = re.search(rf" \({FILE.name}, line (\d+), in (\w+)\)$", text)
    if expected["says"] not in text or not place or len(text) > 500:
        return f"{name}: {text}"
    function = expected["line"]
    if function == "predict":  # what was returned has no line; where predict is, has
        return "" if place[2] in ("predict", "predict_batch") else f"{name}: {text}"
    right = place[2] == function and int(place[1]) in returned.lines_of(function)
    return "" if right else f"{name}: {text}"


def _all_wrong(run: Run) -> dict[str, str]:
    """What is wrong, by row; the schema that the gateway serves has its say in it."""
    status, schema = run.get("/schema/result.v1.json")
    assert status == 200
    validator = jsonschema.Draft202012Validator(schema)
    wrong = {}
    for name, message in _one_of_each(run).items():
        against = "" if validator.is_valid(message) else f"not in the schema: {message}"
        wrong[name] = against or _wrong(name, message)
    return {name: what for name, what in wrong.items() if what}


@pytest.mark.parametrize("form", ["predict", "Whole", "Batch"])
def test_every_return_reaches_a_client_as_the_table_says(form: str) -> None:
    with Run(SOURCE, "-p", f"{FILE}:{form}", "-w", "1", env=QUICK) as run:
        worker = run.pid_of("worker")
        assert _all_wrong(run) == {}
        assert run.pid_of("worker") == worker, "it died of one of them"
        state = run.fresh_state()
        assert state.cameras["cam"].lost == 0
        assert_balanced(state)


FORMS = {"builtins:len": 300, f"{FILE}:PARTIAL": [2, 300], f"{FILE}:CALLABLE": 400}


@pytest.mark.parametrize(("reference", "result"), FORMS.items(), ids=["C", "partial", "instance"])
def test_other_forms_of_predictor(reference: str, result: Any) -> None:
    with Run(SOURCE, "-p", reference, "-w", "1") as run:
        assert next(_read(run))["result"] == result


FAILS = """
def predict(image):
    return 1 / 0
"""


def test_a_predictor_that_fails_on_each_frame_is_seen_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(FAILS)
    with Run("front=demo?size=160x120", "-p", f"{file}:predict", "-w", "1", env=QUICK) as run:
        said = "ZeroDivisionError: division by zero (own.py, line 3, in predict)"
        wait_until(lambda: run.camera("front").errors > 5, 10, "errors")
        warned = [line for line in run.log().splitlines() if "predict fails" in line]
        assert len(warned) == 1
        assert f"warning: camera front: predict fails  why={said}" in warned[0]
        told = run.get("/readyz")[1]["cameras"]["front"]
        assert (told["predictor"], told["error"]) == ("failing", "ZeroDivisionError")
        metrics = run.get("/metrics")[1].decode()
        count = re.search(r'framefan_camera_errors_in_row\{camera="front"\} (\d+)', metrics)
        assert count
        assert int(count[1]) > 5
        status = framefan("status", "--name", run.name, env={"XDG_RUNTIME_DIR": str(run.runtime)})
        assert said in status.stdout


FINITE = """
import framefan_inference.predictors.detection_check as c
import framefan_inference.predictors.detections as d
import framefan_inference.predictors.results as r
c.math = d.math = r.math = type("Math", (), {"isfinite": staticmethod(lambda _: True)})
r._finite = float
r._plain_array = lambda value, room, depth: value.tolist()
"""
SMALL = """
r._Room.take = lambda *_: None
def packed(value, limit):  # what is too much for this test's client goes out as a word
    data = r.msgspec.msgpack.encode(value)
    return data if len(data) <= limit else r.msgspec.msgpack.encode("much")
r._packed = packed
"""
LINES = """
import framefan.base.userfile as u
u.where = lambda error: ""
"""
GUARDS: dict[str, tuple[str, set[str]]] = {
    "numbers are finite": (
        FINITE,
        {"NaN", "infinity deep down", "NaN of numpy", "NaN in a box", "an infinite confidence"}
        | {"NaN of supervision", "complex numbers"},
    ),
    "results are small": (
        SMALL,
        {"50 MB of text", "50 MB of numbers", "a million numbers", "the image"}
        | {"a huge number", "a lone surrogate"},  # what packs is the one that refuses these
    ),
    "trees are shallow": ("r.DEPTH = 10**9", {"itself", "too deep"}),
    "keys are text": ("r._key = str", {"keys of tuples"}),
    "no key is lost": ("r._keep_keys = lambda *_: None", {"keys that become one"}),
    "None is no result": (
        "old = r.convert\nr.convert = lambda it, *more: old([] if it is None else it, *more)",
        {"None"},
    ),
    "errors name lines": (
        LINES,
        {name for name, (_, it) in returned.ROWS.items() if it.get("line", "predict") != "predict"},
    ),
}
"""What to take off, and the rows that are then wrong at the client."""


def test_without_a_guard_its_rows_are_red(tmp_path: Path) -> None:
    """All off at once, in one run: each has rows of its own, and the others stay as they were."""
    code = "\n".join(code for code, _ in GUARDS.values())
    broken = sabotage(tmp_path, "framefan_inference.worker.worker", code)
    with Run(SOURCE, "-p", f"{FILE}:predict", "-w", "1", env=QUICK | broken) as run:
        assert set(_all_wrong(run)) == set().union(*(rows for _, rows in GUARDS.values()))
