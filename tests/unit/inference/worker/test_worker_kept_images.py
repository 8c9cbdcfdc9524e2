"""A predictor that keeps the image it was shown is told so once, and then given copies."""

from __future__ import annotations

from typing import Any

import pytest
from peers import PlayedPool

from framefan.ipc.messages import Notice

KEEPING = {
    "itself": "image",
    "a slice": "image[2:, ::2]",
    "a memoryview": "memoryview(image)",
    "its base": "image.base",
    "a transposed view": "image.T",
    "a dict of it": "{'last': [image]}",
    "an iterator over it": "iter(image)",
}
KEEPER = """
import numpy as np

class Model:
    def predict(self, image):
        self.kept = {expression}
        return {{"values": np.unique(image), "writeable": image.flags.writeable}}
"""


@pytest.mark.parametrize("expression", KEEPING.values(), ids=KEEPING)
def test_a_predictor_that_keeps_the_image_is_told_once(written: Any, expression: str) -> None:
    with PlayedPool(written(KEEPER.format(expression=expression))) as pool:
        pool.ready()
        pool.attach()
        for value in (1, 2, 3):
            assert pool.predict(value) == ("value", {"values": [value], "writeable": False})
        (notice,) = pool.heard(Notice)
        assert notice.kind == "kept_image"
        assert "Model keeps the image" in notice.message
        assert "image.copy()" in notice.message


def test_what_is_kept_after_the_notice_stays_as_it_was(written: Any) -> None:
    code = """
    class Model:
        kept = None

        def predict(self, image):
            before, self.kept = self.kept, image
            return None if before is None else int(before[0, 0, 0])
    """
    with PlayedPool(written(code)) as pool:
        pool.ready()
        pool.attach()
        assert pool.predict(1)[1]["kind"] == "returned_none"
        assert pool.predict(2) == ("value", 2), "kept before the notice: the slot has a new frame"
        assert pool.predict(3) == ("value", 2)
        assert pool.predict(4) == ("value", 3)


def test_a_kept_copy_is_nobodys_business(written: Any) -> None:
    code = KEEPER.format(expression="image.copy()")
    with PlayedPool(written(code)) as pool:
        pool.ready()
        pool.attach()
        assert pool.predict(1) == ("value", {"values": [1], "writeable": False})
        assert pool.heard(Notice) == []


def test_an_image_kept_through_an_exception_counts(written: Any) -> None:
    code = """
    class Model:
        def predict(self, image):
            try:
                image[0] = 1
            except ValueError as error:
                self.error = error
                raise
    """
    with PlayedPool(written(code)) as pool:
        pool.ready()
        pool.attach()
        assert pool.predict(1)[1]["kind"] == "ValueError"
        assert [notice.kind for notice in pool.heard(Notice)] == ["kept_image"]


def test_a_result_that_holds_its_picture_is_delivered(written: Any) -> None:
    """What the YOLO class of Ultralytics does, with what it returns kept by itself."""
    code = """
    from types import SimpleNamespace
    import numpy as np

    class Model:
        def predict(self, image):
            boxes = SimpleNamespace(
                xyxy=np.array([[1.0, 2, 3, 4]]), conf=np.array([0.5]), cls=np.array([0.0]),
            )
            self.results = [SimpleNamespace(orig_img=image, boxes=boxes, names={0: "person"})]
            return self.results
    """
    with PlayedPool(written(code)) as pool:
        pool.ready()
        pool.attach()
        for value in (1, 2):
            kind, (seen,) = pool.predict(value)
            assert (kind, seen["label"], seen["box"]) == ("detections", "person", [1, 2, 3, 4])
        assert [notice.kind for notice in pool.heard(Notice)] == ["kept_image"]
