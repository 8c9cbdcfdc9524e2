"""The clocks: `now()` is for deadlines and ages, `wall()` for times that people read.

`now()` is CLOCK_MONOTONIC, which all processes of a machine share, so one process can compare
another's timestamps with its own. The wall clock may jump: use it for message fields and logs only.
"""

from __future__ import annotations

import time

now = time.monotonic
"""Seconds since an arbitrary start. It never goes back and is the same in all processes."""

wall = time.time
"""Seconds since 1970 by this machine's clock; for `ts` fields and logs only."""

cpu = time.process_time
"""CPU time of this process, in seconds."""
