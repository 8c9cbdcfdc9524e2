"""A worker that cannot be started is a death like others, not the end of the pool."""

from __future__ import annotations

import errno

import pytest

from framefan.base import clock
from framefan.ipc import processes
from framefan.settings.run import Settings
from framefan_inference.pool.worker_handle import WorkerHandle


def test_no_descriptor_for_a_worker_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def child(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(processes, "Child", child)
    worker = WorkerHandle(1, Settings())
    with pytest.raises(OSError) as caught:
        worker.start()
    worker.not_born(caught.value)
    assert worker.facts.state == "backoff"
    assert "Too many open files" in worker.facts.reason
    assert worker.deadline is not None
    assert worker.deadline > clock.now()
