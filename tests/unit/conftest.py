"""Tests of one room may use the fakes and helpers of another: each room is importable."""

from __future__ import annotations

import sys
from pathlib import Path

for room in sorted(Path(__file__).parent.glob("**/")):
    if room.name != "__pycache__" and str(room) not in sys.path:
        sys.path.append(str(room))
