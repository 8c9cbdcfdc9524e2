"""The motion gate: tells which frames of a quiet scene need no prediction. No I/O.

It works on a small grey copy of each picture (`reduced`) and on the pictures' own times, never on a
clock. So a file gives the same answers at any speed.

Whether something moves in a picture:

1. The picture is smoothed over 3x3 pixels. The background is its average over the last
   `LEARN_S`: what stops moving becomes background within seconds.
2. Light is taken out before the two are compared: the picture is multiplied, at each place, by the
   ratio of the background's mean to its own mean in a large window there. So dusk, clouds, an
   automatic exposure and flicker, which change a whole window alike, make no difference.
3. A pixel differs if it is further from the background than a threshold. That follows the noise
   there: `NOISES` times the median distance of the last seconds. A median, so that what passes now
   and then does not count as noise. `LEAST` and `MOST` bound it: below is compression, above is a
   crowd.
4. Something moves where `PIXELS` of 5x5 neighbours differ. Noise leaves single pixels.
5. Places that differ for more than `RESTLESS` of the last minute are left out, with their
   surroundings: a clock in the picture, a blinking light. But not if they are more than `AREA` of
   the picture: that is a busy street.
6. If half of the picture differs, the camera was moved or the light switched: the picture becomes
   the background at once.

Which frames pass:

7. A frame passes if something moves in it, or moved within the last `HOLD_S`, so that the end of a
   movement is seen too.
8. So do the first frame and those in the `HOLD_S` after it, in which background and noise are
   learnt; one frame in each `keep_s`; and the next frame after `demand`.
9. When the time goes back by a second or more (a file starts again), or the picture's size
   changes, the frame is a first one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]
    Field = NDArray[np.float32]

SIDE = 320
"""The longer side of the small picture: a person of 40 pixels at 1080p is 7 pixels high there."""
HOLD_S = 2.0
LEARN_S = 1.5
NOISES = 7.0
"""In medians of the difference; 4.7 standard deviations of normal noise."""
LEAST, MOST = 6.0, 40.0
"""Bounds of the threshold, in grey levels."""
PIXELS = 8
RESTLESS = 0.15
AREA = 0.02
_WINDOW = 0.25
"""The window for light, as a share of the small picture's longer side."""
_NEAR = 19
"""The width of a restless pixel's surroundings."""
_NOISE_S, _RESTLESS_S = 5.0, 60.0
_FIRST_NOISE = 2.0
_DARK = 8.0
"""Added to means before they are divided, so that noise in black is not multiplied."""
_ROUNDING_S = 1e-6
_BACK_S = 1.0
"""Times that go back by less are those of a camera that counts badly, and no new beginning."""
_LONGEST_S = 10.0
"""A longer time between two frames counts as this long."""


def reduced(picture: NDArray[np.uint8]) -> Grey:
    """A grey copy of `uint8[H,W,3]`, its longer side SIDE at most; 0.3 ms at 1080p.

    Each of its pixels is the mean of four of the picture: averaging all would cost ten times more.
    """
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if scale < 0.5:
            twice = 2 * size[0], 2 * size[1]
            picture = cv2.resize(picture, twice, interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


class MotionGate:
    def __init__(self, keep_s: float) -> None:
        """`keep_s`: the longest time from one frame that passes to the next."""
        self._keep_s = keep_s
        self.forget()

    def forget(self) -> None:
        """Start over: the source was reopened."""
        self._background: Field | None = None
        self._noise: Field
        self._restless: Field
        """The share of the last minute in which each pixel differed."""
        self._began_at = self._seen_at = self._moved_at = self._passed_at = -math.inf
        self._is_demanded = False

    def demand(self) -> None:
        """Let the next frame pass, whatever it shows."""
        self._is_demanded = True

    @property
    def is_open(self) -> bool:
        """Whether something moved lately, as of the last picture; before the first one, too."""
        return self._background is None or self._seen_at - self._moved_at < HOLD_S

    def passes(self, grey: Grey, now: float) -> bool:
        """Whether the next picture, made by `reduced`, passes; `now`: its time in seconds."""
        background, goes_back = self._background, now < self._seen_at - _BACK_S
        if background is None or background.shape != grey.shape or goes_back:
            self._begin(grey, now)
            return True
        now = max(now, self._seen_at)
        step = now - self._seen_at
        self._seen_at = now
        if self._moves(background, grey, min(step, _LONGEST_S)):
            self._moved_at = now
        # The frame after this one would come too late.
        is_due = now + step - self._passed_at > self._keep_s + _ROUNDING_S
        if not (self.is_open or is_due or self._is_demanded):
            return False
        self._passed_at, self._is_demanded = now, False
        return True

    def _begin(self, grey: Grey, now: float) -> None:
        self._background = _smooth(grey)
        self._noise = np.full_like(self._background, _FIRST_NOISE)
        self._restless = np.zeros_like(self._background)
        self._began_at = self._seen_at = self._moved_at = self._passed_at = now
        self._is_demanded = False

    def _moves(self, background: Field, grey: Grey, step: float) -> bool:
        """Whether something moves; learns from the picture, which comes `step` seconds later."""
        picture = _smooth(grey)
        distance = _distance(picture, background)
        noise = cv2.blur(self._noise, (7, 7))
        differs = (distance > np.clip(NOISES * noise, LEAST, MOST)).astype(np.uint8)
        many = cv2.boxFilter(differs, -1, (5, 5), normalize=False) >= PIXELS
        self._learn(picture, distance, many, step)
        if differs.mean() > 0.5:
            self._background = picture
            return True
        return bool((many & ~self._left_out()).any())

    def _learn(self, picture: Field, distance: Field, many: NDArray[np.bool_], step: float) -> None:
        """Each average is over its whole time, or over the time since the beginning."""
        assert self._background is not None
        age = self._seen_at - self._began_at

        def share(seconds: float) -> float:
            return 1 - math.exp(-step / min(seconds, max(age, step, 1e-9)))

        cv2.accumulateWeighted(picture, self._background, share(LEARN_S))
        up = 1 + min(share(_NOISE_S), 0.5)
        self._noise *= np.where(distance > self._noise, np.float32(up), np.float32(1 / up))
        np.clip(self._noise, LEAST / NOISES / 2, MOST / NOISES, out=self._noise)
        slow = 1 - math.exp(-step / _RESTLESS_S)
        cv2.accumulateWeighted(many.astype(np.float32), self._restless, slow)

    def _left_out(self) -> NDArray[np.bool_]:
        """Places whose differences do not count."""
        restless = self._restless > RESTLESS
        if not restless.any() or restless.mean() > AREA:
            return np.zeros_like(restless)
        near = np.ones((_NEAR, _NEAR), np.uint8)
        return np.asarray(cv2.dilate(restless.astype(np.uint8), near), np.bool_)


def _smooth(grey: Grey) -> Field:
    return np.asarray(cv2.blur(grey.astype(np.float32), (3, 3)), np.float32)


def _distance(picture: Field, background: Field) -> Field:
    """How far each pixel is from the background, once both have the same light."""
    side = max(3, round(max(picture.shape) * _WINDOW))
    window = side, side
    light = (cv2.blur(background, window) + _DARK) / (cv2.blur(picture, window) + _DARK)
    return np.asarray(cv2.absdiff(picture * light, background), np.float32)
