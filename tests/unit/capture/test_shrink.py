"""Pictures that are too large: to what size they are scaled, and that nothing else is touched."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from framefan.settings.source_spec import fitted
from framefan_capture.shrink import Shrink

SIDE = st.integers(1, 8000)


@given(SIDE, SIDE, SIDE, SIDE)
def test_fitted_is_within_and_as_large_as_can_be(w: int, h: int, most_w: int, most_h: int):
    width, height = fitted(w, h, (most_w, most_h))
    assert 1 <= width <= min(w, most_w)
    assert 1 <= height <= min(h, most_h)
    if w <= most_w and h <= most_h:
        assert (width, height) == (w, h)
        return
    assert width == most_w or height == most_h
    scale = min(most_w / w, most_h / h)
    assert abs(width - w * scale) <= 1
    assert abs(height - h * scale) <= 1


def test_no_limit_leaves_every_size():
    assert fitted(7680, 4320, None) == (7680, 4320)


def test_a_large_picture_is_decoded_beside_and_scaled_into_the_slot():
    shrink = Shrink((320, 180))
    large = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    slot = np.zeros((180, 320, 3), np.uint8)
    assert shrink.destination(None) is None
    assert shrink.size(large) == (320, 180)
    shrink.write(large, slot)
    assert (slot == cv2.resize(large, (320, 180), interpolation=cv2.INTER_AREA)).all()
    buffer = shrink.destination(slot)
    assert buffer is not None
    assert buffer.shape == large.shape
    assert shrink.size(buffer) == (320, 180)
    assert shrink.destination(slot) is buffer  # nothing new for each frame


def test_a_picture_that_fits_goes_into_the_slot_again():
    shrink = Shrink((320, 180))
    shrink.size(np.zeros((720, 1280, 3), np.uint8))
    small = np.full((90, 160, 3), 7, np.uint8)
    slot = np.zeros((90, 160, 3), np.uint8)
    assert shrink.size(small) == (160, 90)
    assert shrink.destination(slot) is slot
    shrink.write(small, slot)
    assert (slot == 7).all()


def test_turned_pictures_are_scaled_too():
    shrink = Shrink((320, 180))
    turned = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)[::-1, ::-1, ::-1]
    slot = np.zeros((180, 320, 3), np.uint8)
    shrink.write(turned, slot)
    expected = cv2.resize(turned.copy(), (320, 180), interpolation=cv2.INTER_AREA)
    assert (slot == expected).all()
