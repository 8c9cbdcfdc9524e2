"""Chains as predictors, for the tests of this folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from framefan.predictors import chain
from framefan_inference.predictors.predictor import load, set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def imports_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports_as_before: None
) -> Callable[..., Any]:
    """The loaded predictor of a chain in a file, set up."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    given: Any = type(sys)("given_chain")
    monkeypatch.setitem(sys.modules, "given_chain", given)
    (tmp_path / "own.py").write_text("from given_chain import it\n")

    def make(detector: Any, on_crops: Any, device: str = "", **options: Any) -> Any:
        given.it = chain(detector, on_crops, **options)
        predictor: Any = load(f"{tmp_path}/own.py:it")
        predictor.uses_device = set_up(predictor, "own.py:it", device)
        return predictor

    return make
