"""Why something that a predictor returned cannot be sent."""

from __future__ import annotations


class ResultError(Exception):
    """What a predictor returned cannot be sent; `kind` says why in one word."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
