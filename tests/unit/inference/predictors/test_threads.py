"""Workers share the cores, and the user's own word on threads counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from framefan_inference.predictors import threads

SAID = """
import json, os
from framefan_inference.predictors import threads
threads.limit(2)
import cv2
threads.limit_opencv()
print(json.dumps([os.environ["OMP_NUM_THREADS"], cv2.getNumThreads(), threads.here()]))
"""


@pytest.mark.parametrize("own", ["", "3"])
def test_a_process_uses_its_share_unless_the_user_says_otherwise(own: str) -> None:
    env = {key: text for key, text in os.environ.items() if not key.endswith("_NUM_THREADS")}
    if own:
        env["OMP_NUM_THREADS"] = own
    done = subprocess.run(
        [sys.executable, "-c", SAID], env=env, stdout=subprocess.PIPE, check=True, timeout=60
    )
    number = int(own or threads.share(2))
    assert json.loads(done.stdout) == [str(number), number, number]


@pytest.mark.parametrize(("cores", "workers", "each"), [(8, 2, 4), (8, 3, 2), (2, 16, 1)])
def test_cores_are_those_it_may_use(
    cores: int, workers: int, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert threads.share(workers) == each
