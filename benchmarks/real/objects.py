"""Return values: objects of real libraries, at a client of `once`, `run`, `swap`, `--reload`.

In a run, after a swap and after a reload one predictor returns all kinds in turn. `once` is started
with a kind of each sort.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect

from benchmarks.real import page, places
from benchmarks.real.compare import Verdict, compare
from benchmarks.real.places import say
from benchmarks.real.returned import KINDS, InTurn
from benchmarks.run import Run
from framefan.base import clock

if TYPE_CHECKING:
    from pathlib import Path

Kinds = dict[str, tuple[type, str]]
Wanted = dict[str, Any]
ONCE = ("Detect", "Classify", "Supervision")
"""`once` starts a run for each result, so it is tried with a kind of each sort only."""
HEAD = ("predict returns", "which is", "run", "swap", "--reload", "once", "at the client")
ENVIRONMENT = {"PYTHONPATH": str(places.ROOT)}
WAIT_S = 300.0
_CONFIDENCE = 2e-3


def prove(only: list[str]) -> bool:
    """`only`: names of classes in returned.py; none means all."""
    began = clock.now()
    kinds = {key: kind for key, kind in KINDS.items() if not only or kind[0].__name__ in only}
    os.environ.update(ENVIRONMENT)
    picture = places.pictures()["street"]
    say("what is expected")
    wanted = _expected(kinds, picture)
    told: dict[str, dict[str, Verdict]] = {name: {} for name in kinds}
    for way, go in {"run": _run, "swap": _swap, "reload": _reload, "once": _once}.items():
        say(f"way {way}")
        for name, message in go(kinds, wanted, picture):
            told[name][way] = judge(wanted[name], message)
            say(f"    {name}: {told[name][way].wrong[:2] or told[name][way]}")
    rows = [[name, KINDS[name][1], *_cells(some)] for name, some in told.items()]
    if not only:
        page.write("objects", page.table(HEAD, rows), clock.now() - began)
    return all(cell != "FAIL" for row in rows for cell in row)


def _cells(verdicts: dict[str, Verdict]) -> list[str]:
    words = {way: "pass" if not it.wrong and it.wanted else "FAIL" for way, it in verdicts.items()}
    wrong = [f"{way}: {it.wrong[0]}" for way, it in verdicts.items() if it.wrong]
    return [words.get(way, "") for way in ("run", "swap", "reload", "once")] + [
        "; ".join(wrong) or str(verdicts["run"])
    ]


def _expected(kinds: Kinds, picture: Path) -> Wanted:
    """By kind, from a process of its own: torch keeps its memory."""
    target = places.FOLDER / "expected.json"
    code = (
        "import json, pathlib, cv2; from benchmarks.real import returned\n"
        f"image, found = cv2.imread({str(picture)!r}), {{}}\n"
        "image.flags.writeable = False\n"
        f"for name in {[kind.__name__ for kind, _ in kinds.values()]!r}:\n"
        "    made = getattr(returned, name)(); made.setup()\n"
        "    found[name] = made.expected(image)\n"
        f"pathlib.Path({str(target)!r}).write_text(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=places.ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found = json.loads(target.read_text())
    return {name: found[kind.__name__] for name, (kind, _) in kinds.items()}


def judge(wanted: Any, message: dict[str, Any]) -> Verdict:
    """`message`: a result as a client has it."""
    if "detections" not in message:
        return _judge_classes(wanted, message)
    if isinstance(wanted, dict):
        return Verdict(wrong=[f"classes were expected: {str(message)[:200]}"])
    rows = [_row(each) for each in message["detections"]]
    verdict = compare(wanted, rows)
    labels = {each["class"]: each["label"] for each in wanted}
    for each in rows:
        if labels.get(each["class"], each["label"]) != each["label"]:
            verdict.wrong.append(f"label {each['label']} of class {each['class']}")
    if any(each.get("has_track") for each in wanted):
        verdict.wrong += ["no track id" for each in rows if each["track"] is None]
    return verdict


def _row(each: dict[str, Any]) -> dict[str, Any]:
    row = {"box": each["box"], "score": each["confidence"], "class": each["class_id"]}
    names = {"mask": "mask", "keypoints": "points", "angle": "angle"}
    row |= {names[key]: each[key] for key in names if key in each}
    return row | {"label": each["label"], "track": each.get("track_id")}


def _judge_classes(wanted: Any, message: dict[str, Any]) -> Verdict:
    result = message.get("result")
    if not isinstance(wanted, dict) or not isinstance(result, dict):
        return Verdict(wrong=[str(message)[:300]])
    verdict = Verdict(wanted=len(wanted["classes"]))
    pairs = zip(wanted["classes"], result["classes"], strict=True)
    for (number, score), each in pairs:
        apart = abs(score - each["confidence"])
        verdict.score = max(verdict.score, apart)
        if each["class_id"] != number or apart > _CONFIDENCE:
            verdict.wrong.append(f"class {number} {score:.4f}: {each}")
    return verdict


# ---- ways ----------------------------------------------------------------------------------------


def _reference(kind: type) -> str:
    return f"benchmarks.real.returned:{kind.__name__}"


def _once(kinds: Kinds, _: Wanted, picture: Path) -> Any:
    for name, kind in [(name, kind) for name, (kind, _) in kinds.items() if kind.__name__ in ONCE]:
        command = [sys.executable, "-m", "framefan", "once", str(picture), "--json"]
        done = subprocess.run(
            [*command, "--timeout", f"{WAIT_S:g}", "-p", _reference(kind)],
            cwd=places.ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        yield name, _message(done)


def _message(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    try:
        message: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"no result": done.stderr[-300:]}
    return message


def _run(_: Kinds, wanted: Wanted, picture: Path) -> Any:
    with Run(str(picture), predictor=_reference(InTurn), workers=1, options=("--loop",)) as run:
        run.wait_address()
        yield from _each_in_turn(run, wanted)


def _swap(_: Kinds, wanted: Wanted, picture: Path) -> Any:
    with Run(str(picture), predictor="health", workers=1, options=("--loop",)) as run:
        run.wait_ready()
        done = subprocess.run(
            [sys.executable, "-m", "framefan", "swap", _reference(InTurn), "--name", run.name],
            cwd=places.ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"swap failed: {done.stderr}")
        yield from _each_in_turn(run, wanted)


def _reload(_: Kinds, wanted: Wanted, picture: Path) -> Any:
    file = places.FOLDER / "reloaded.py"
    file.write_text("def mean(image):\n    return float(image.mean())\n\n\nModel = mean\n")
    options = ("--loop", "--reload")
    with Run(str(picture), predictor=f"{file}:Model", workers=1, options=options) as run:
        run.wait_ready()
        partial = file.with_suffix(".partial")
        partial.write_text("from benchmarks.real.returned import InTurn as Model\n")
        partial.rename(file)
        yield from _each_in_turn(run, wanted)


def _each_in_turn(run: Run, wanted: Wanted) -> Any:
    """A message of each kind, the first that is right or, if none is in time, the last."""
    names, right = list(KINDS), set()
    last: dict[str, dict[str, Any]] = {}
    deadline = clock.now() + WAIT_S
    with connect(f"{run.websocket}?delivery=every", proxy=None) as client:
        while clock.now() < deadline and not set(wanted) <= right:
            try:
                message = json.loads(client.recv(timeout=5))
            except TimeoutError:
                continue
            name = names[message.get("seq", 0) % len(names)]
            if message["type"] in ("result", "error") and name in wanted and name not in right:
                last[name] = message
                if not judge(wanted[name], message).wrong:
                    right.add(name)
    for name in wanted:
        yield name, last.get(name, {"no result": f"within {WAIT_S:g} s"})
