"""Decoding: every model x backend gives what its authors see, or is refused with a reason.

The files and the answers of their authors are kept in build/prove-real/models: to make one anew,
remove its files there.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.real import page, places
from benchmarks.real.compare import CONF, IOU, MASK_IOU, SCORES, Verdict, compare
from benchmarks.real.models import REFUSED, every_model
from benchmarks.real.places import say
from framefan.base import clock

if TYPE_CHECKING:
    from benchmarks.real.models import Model

BACKENDS = ("onnxruntime", "cv2")
HEAD = ("model", "from", "backend", "taken as", "beside the reference", "verdict")
DECODE_S = 120.0
_MOST_TOLD = 3
_LONGEST = 170


def prove(only: list[str]) -> bool:
    """`only`: names of models; none means all."""
    began, rows = clock.now(), []
    models = [each for each in every_model() if not only or each.name in only]
    for number, model in enumerate(models, 1):
        say(f"model {number} of {len(models)}: {model.name}")
        rows += _rows(model)
        for row in rows[-len(BACKENDS) :]:
            say(f"    {row[2]}: {row[3]}: {row[4]}: {row[5]}")
    good = all(row[-1] in ("equal", "refused") for row in rows)
    if not only:
        counts = {
            word: sum(row[-1] == word for row in rows) for word in sorted({r[-1] for r in rows})
        }
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        text = f"{page.versions()}.\n\n{len(models)} models: {told}.\n\n{page.table(HEAD, rows)}"
        page.write("heads", text, clock.now() - began)
    return good


def _rows(model: Model) -> list[list[str]]:
    path = places.MODELS / f"{model.name}.onnx"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            model.make(path)
        wanted = _reference(model)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - exporters raise whatever they like
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return [[model.name, model.source, each, "", why, "NOT MADE"] for each in BACKENDS]
    return [[model.name, model.source, *_row(model, each, wanted)] for each in BACKENDS]


def _reference(model: Model) -> dict[str, Any]:
    """By picture, from the file where it is kept."""
    path = places.MODELS / f"{model.name}.reference.json"
    if model.refer is None:
        return {}
    if not path.exists():
        onnx = places.MODELS / f"{model.name}.onnx"
        found = {name: model.refer(onnx, each) for name, each in places.pictures().items()}
        path.write_text(json.dumps(found))
    answer: dict[str, Any] = json.loads(path.read_text())
    return answer


def _row(model: Model, backend: str, wanted: dict[str, Any]) -> list[str]:
    """Backend, how framefan takes it, what was compared, and the verdict."""
    answer = ask(model, backend)
    if "died" in answer:
        told = once(model, backend)
        return [backend, "", told or answer["died"], "refused" if told else "SILENT"]
    if "refused" in answer:
        expected = model.name in REFUSED or backend == "cv2"
        return [backend, "", _told(answer["refused"]), "refused" if expected else "REFUSED"]
    if model.name in REFUSED:
        return [backend, answer["head"], "", "NONSENSE"]
    verdict = Verdict()
    for name, mine in answer["found"].items():
        verdict.add(judge(wanted[name], mine, half=model.half))
    good = not verdict.wrong and verdict.wanted > 0
    masks = verdict.mask_iou
    good = good and (not masks or sorted(masks)[len(masks) // 2] >= MASK_IOU)
    wrong = "; ".join(verdict.wrong[:_MOST_TOLD])
    told = str(verdict) + (f"; {len(verdict.wrong)} wrong: {wrong}" if wrong else "")
    return [backend, answer["head"], told, "equal" if good else "DIFFERENT"]


def _told(lines: list[str]) -> str:
    """An error's lines, each cut to what fits into a table, without this machine's folders."""
    short = [" ".join(line.replace(f"{places.MODELS}/", "").split()) for line in lines]
    return "; ".join(each if len(each) <= _LONGEST else f"{each[:_LONGEST]}..." for each in short)


def judge(wanted: Any, mine: Any, *, half: bool) -> Verdict:
    if not isinstance(wanted, dict):
        return compare(wanted, mine, half=half)
    verdict, own = Verdict(wanted=len(wanted["classes"])), dict(mine["classes"])
    for number, score in wanted["classes"]:
        apart = abs(own.get(number, -1) - score)
        verdict.score = max(verdict.score, apart)
        if apart > SCORES[half]:
            verdict.wrong.append(f"class {number}: {score:.4f} and {own.get(number)}")
    return verdict


def ask(model: Model, backend: str) -> dict[str, Any]:
    """The answer of decode.py, or `died` and how."""
    job = {
        "reference": _option(model, backend),
        "pictures": {name: str(path) for name, path in places.pictures().items()},
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.real.decode"], input=json.dumps(job), text=True,
        capture_output=True, timeout=DECODE_S, check=False, cwd=places.ROOT,
    )  # fmt: skip
    if done.returncode < 0:
        return {"died": f"killed by {signal.Signals(-done.returncode).name}"}
    if done.returncode:
        raise SystemExit(f"decode.py failed on {model.name}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _option(model: Model, backend: str) -> str:
    options = f"conf={CONF}&backend={backend}&{model.options or f'iou={IOU}'}"
    return f"onnx:{places.MODELS / model.name}.onnx?{options}"


def once(model: Model, backend: str) -> str:
    """What `framefan once` says of a model that ends its process; "" if it names no reason."""
    command = [sys.executable, "-m", "framefan", "once", str(places.pictures()["street"])]
    done = subprocess.run(
        [*command, "--predictor", _option(model, backend)], text=True, capture_output=True,
        check=False, timeout=DECODE_S, cwd=places.ROOT,
    )  # fmt: skip
    told = " ".join(done.stderr.split())
    return told[-300:] if done.returncode and "SIG" in told and "do:" in told else ""
