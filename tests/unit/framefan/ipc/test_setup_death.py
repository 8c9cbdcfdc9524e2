"""A predictor whose process dies in set-up: what people are told to do."""

from __future__ import annotations

import importlib.util

import pytest

from framefan.commands import once, run_table
from framefan.ipc import setup_death
from framefan.ipc.records import StateRecord, WorkerFacts

INSTALL = "pip install 'framefan[onnx]'"


@pytest.mark.parametrize(
    ("reference", "has_runtime", "words"),
    [
        ("onnx:a.onnx", False, INSTALL),
        ("onnx:a.onnx?backend=cv2", False, INSTALL),
        ("onnx:a.onnx?backend=cv2", True, "leave backend=cv2 out"),
        ("onnx:a.onnx", True, "backend=cv2"),
        ("own.py:predict", False, "by itself"),
        ("motion", False, "by itself"),
        ("no predictor at all", False, "by itself"),
    ],
)
def test_the_advice_works(
    reference: str, has_runtime: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if has_runtime else None)
    error = setup_death.told(reference, "killed by SIGFPE")
    assert words in error.fix
    assert error.why == "killed by SIGFPE"
    assert reference in error.what
    assert len(error.lines()) == 3


def test_once_says_what_killed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = WorkerFacts(
        id=1, state="backoff", predictor="onnx:a.onnx?backend=cv2", reason="killed by SIGFPE"
    )
    fields = dict.fromkeys(StateRecord.__struct_fields__)
    state = StateRecord(**fields | {"workers": [worker], "cameras": {}})  # type: ignore[arg-type]
    monkeypatch.setattr(run_table, "fetch", lambda *_: state)
    why, do = once._reason("any")
    assert "killed by SIGFPE" in why
    assert "takes longer" not in why
    assert do == setup_death.cure(worker.predictor)
