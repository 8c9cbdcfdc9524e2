"""Answers 200 KB for each frame: traffic that fills what is not bounded."""

from __future__ import annotations

from typing import Any


def predict(image: Any) -> dict[str, str]:
    return {"text": "x" * 200_000}
