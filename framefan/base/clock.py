"""The clocks: deadlines and ages read `now()`, people read `wall()`.

`now()` is CLOCK_MONOTONIC, the same for every process of the machine, so stamps of one process
can be compared in another. The wall clock may jump; nothing but a message field may depend on it.
"""

from __future__ import annotations

import time

now = time.monotonic
"""Seconds since an arbitrary start, never going back, shared by all processes of the machine."""

wall = time.time
"""Seconds since 1970 as this machine believes; for `ts` fields and logs only."""

cpu = time.process_time
"""Seconds that this process has computed."""
