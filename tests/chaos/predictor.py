"""A predictor that misbehaves on demand, and tells which frame it saw."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["CHAOS_FOLDER"])


class Predictor:
    def predict(self, image: Any, frame: Any) -> Any:
        threading.Event().wait(0.004)
        self._misbehave(frame.camera)
        if frame.camera.startswith("demo"):
            from framefan_capture.sources.scene import read_number

            return {"number": read_number(image)}
        return {"mean": float(image[::16, ::16].mean())}

    def _misbehave(self, camera: str) -> None:
        """What a file of this name asks for; whoever takes one of its links does it, once."""
        for name in os.listdir(FOLDER):
            kind, _, rest = name.partition(".")
            if kind == "poison" and rest.split(".")[0] != camera:
                continue
            try:
                (FOLDER / name).unlink()
            except FileNotFoundError:
                continue
            if kind == "raise":
                raise RuntimeError("chaos")
            if kind == "hang":
                threading.Event().wait()
            os._exit(9)
