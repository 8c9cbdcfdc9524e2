"""Frames of the ledger's world that are lent to a predictor on trial, and come back."""

from __future__ import annotations

from hypothesis.stateful import rule
from ledger_world import LedgerWorld

from framefan_inference.leases.camera_queue import NEWER, Freed


class LedgerLoans(LedgerWorld):
    @rule()
    def borrow(self) -> None:
        """The oldest of a camera, of a live one first; one at a time."""
        if any(camera.lent for camera in self.cameras.values()):
            return
        may = [camera for camera in self.cameras.values() if camera.waiting]
        found = self.ledger.borrow()
        assert (found is None) == (not may)
        if found is not None:
            camera = self.cameras[found[0]]
            live = any(each.mode == "live" for each in may)
            assert (camera.mode == "live") == live
            camera.lent, camera.overtaken = camera.waiting.pop(0), ""
            assert found[1] == camera.lent

    @rule()
    def give_borrowed_back(self) -> None:
        for camera in self.cameras.values():
            if camera.lent is None:
                continue
            frame, camera.lent = camera.lent, None
            newer = NEWER if camera.mode == "live" and camera.waiting else ""
            if cause := camera.overtaken or newer:
                self.ledger.give_back(camera.name)
                assert self.ledger.take_freed() == [Freed(camera.name, frame.ring, frame.slot)]
                camera.count[cause] += 1
                camera.freed(frame.ring, frame.slot)
            else:
                self.ledger.give_back(camera.name)
                assert self.ledger.take_freed() == []
                camera.waiting.insert(0, frame)
        self.park_settled()
