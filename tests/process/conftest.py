"""Fixtures of the tests that run real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faults import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Catches a worker of `-p faults.GATED` at a known place."""
    with Gate() as gate:
        yield gate
