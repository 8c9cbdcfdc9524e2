"""The demo scene: a synthetic camera whose ground truth follows from the frame number.

Four shapes of named kinds and distinct colours fly over a textured background, each bouncing in a
quarter of its own, so that they never meet. A QR code and an ArUco marker stand at the right edge.
The frame number is written twice along the bottom: as text, and as a strip of 32 cells.

What the numbers below are for:

- The background is drawn once, so a frame costs one copy and four filled outlines.
- The shapes move at a constant speed along both axes (a triangle wave), without stops. Background
  subtraction treats anything that stands still for a second, or returns to the same pixels too
  often, as background.
- The strip is in Gray code: from one frame to the next a single small cell changes, too small to be
  detected as a moving thing. It is black and white, so that it survives JPEG and H.264, which are
  coarse in colour.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from msgspec import Struct

from framefan.settings.demo import MIN_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

QR_TEXT: Final = "framefan"
ARUCO_ID: Final = 7
COLOURS: Final = {
    "circle": (30, 30, 230),
    "square": (40, 190, 30),
    "triangle": (235, 70, 20),
    "star": (10, 220, 245),
}
"""BGR of each moving kind."""

_BITS = 32
_ROWS = 2
_COLUMNS = _BITS // _ROWS
_QR_MODULES = 25  # a version 1 code and its quiet zone, as OpenCV draws it
_ARUCO_MODULES = 8  # four data cells, the black frame, and a white one that we add
_BAR = 24  # the grey level of the bar that the number stands on


class Shape(Struct, frozen=True):
    """One object in the picture. `box` is x1, y1, x2, y2 in pixels; x2 and y2 are exclusive."""

    kind: str
    box: tuple[int, int, int, int]
    moving: bool


class _Layout(Struct, frozen=True):
    """The layout of a picture of a given size; all in pixels."""

    margin: int
    qr_module: int
    aruco_module: int
    cell: int
    strip_x: int
    strip_y: int
    bar_y: int
    column_x: int
    """The shapes move left of it and above the bar; QR code and marker are right of it."""
    unit: float
    """1 at 1280x720."""


@lru_cache(maxsize=16)
def _layout(width: int, height: int) -> _Layout:
    unit = min(width / 1280, height / 720)
    margin = max(2, round(12 * unit))
    qr_module = max(2, round(6 * unit))
    cell = max(4, round(8 * unit))
    bar_y = height - _ROWS * cell - max(4, round(10 * unit))
    return _Layout(
        margin=margin,
        qr_module=qr_module,
        aruco_module=max(4, round(14 * unit)),
        cell=cell,
        strip_x=width - _COLUMNS * cell - margin,
        strip_y=(bar_y + height - _ROWS * cell) // 2,
        bar_y=bar_y,
        column_x=width - _QR_MODULES * qr_module - 2 * margin,
        unit=unit,
    )


class _Flyer:
    """One moving shape: its outline around its centre, and where the centre is at frame n."""

    def __init__(
        self, kind: str, room: tuple[int, int, int, int], radius: int, rng: np.random.Generator
    ) -> None:
        self.kind = kind
        self.colour = COLOURS[kind]
        self.radius = radius
        self.outline = _outline(kind, radius)
        x1, y1, x2, y2 = room
        self._low = (x1 + radius, y1 + radius)
        self._range = (x2 - x1 - 2 * radius - 1, y2 - y1 - 2 * radius - 1)
        speed = radius / 4  # px per frame: it has left its own outline after eight frames
        angle = math.radians(rng.uniform(30, 60))
        self._speed = (speed * math.cos(angle), speed * math.sin(angle))
        self._phase = [float(turn) for turn in rng.uniform(0, 2, 2) * self._range]

    def centre(self, n: int) -> tuple[int, int]:
        return (
            self._low[0] + round(_bounce(self._phase[0] + n * self._speed[0], self._range[0])),
            self._low[1] + round(_bounce(self._phase[1] + n * self._speed[1], self._range[1])),
        )

    def box(self, n: int) -> tuple[int, int, int, int]:
        x, y = self.centre(n)
        if self.outline is None:
            return x - self.radius, y - self.radius, x + self.radius + 1, y + self.radius + 1
        (x1, y1), (x2, y2) = self.outline.min(0), self.outline.max(0)
        return int(x + x1), int(y + y1), int(x + x2 + 1), int(y + y2 + 1)

    def draw(self, n: int, out: NDArray[np.uint8]) -> None:
        centre = self.centre(n)
        if self.outline is None:
            cv2.circle(out, centre, self.radius, self.colour, cv2.FILLED)
        else:
            cv2.fillPoly(out, [self.outline], self.colour, offset=centre)


def _bounce(travelled: float, extent: float) -> float:
    """The position of a point that moves back and forth on 0..extent at constant speed."""
    there = travelled % (2 * extent)
    return there if there <= extent else 2 * extent - there


def _outline(kind: str, radius: int) -> NDArray[np.int32] | None:
    """Corner points about the centre, inside a square of 2 radius + 1; None for the circle."""
    if kind == "circle":
        return None
    if kind == "square":
        side = round(radius * 0.9)
        return np.array([(-side, -side), (side, -side), (side, side), (-side, side)], np.int32)
    if kind == "triangle":
        points = [(0.0, -1.0), (1.0, 0.8), (-1.0, 0.8)]
    else:
        turns = [(math.pi * k / 5 - math.pi / 2, 1.0 if k % 2 == 0 else 0.5) for k in range(10)]
        points = [(length * math.cos(turn), length * math.sin(turn)) for turn, length in turns]
    corners = [(round(x * radius), round(y * radius)) for x, y in points]
    return np.array(corners, np.int32)


class Scene:
    """The scene of one size and seed; frame n always looks the same."""

    def __init__(self, width: int, height: int, seed: int = 1) -> None:
        self.width = width
        self.height = height
        self._layout = _layout(width, height)
        rng = np.random.default_rng(seed)
        self._flyers = self._fly(rng)
        self._background = _texture(width, height, rng)
        self._static = self._place_codes()
        self._strip = 0
        self._text = ""
        self._glyphs: dict[str, NDArray[np.uint8]] = {}

    def draw(self, n: int, out: NDArray[np.uint8]) -> None:
        """Draw frame `n` into `out`, `uint8[height, width, 3]` BGR."""
        self._write_strip(_gray(n))
        self._write_text(f"#{n}")
        np.copyto(out, self._background)
        for flyer in self._flyers:
            flyer.draw(n, out)

    def truth(self, n: int) -> list[Shape]:
        """The objects in frame `n`: the moving shapes first, then the QR code and the marker."""
        moving = [Shape(flyer.kind, flyer.box(n), moving=True) for flyer in self._flyers]
        return moving + self._static

    def _fly(self, rng: np.random.Generator) -> list[_Flyer]:
        at = self._layout
        across = (at.column_x - 3 * at.margin) // 2
        down = (at.bar_y - 3 * at.margin) // 2
        flyers = []
        for index, kind in enumerate(COLOURS):
            x = at.margin + (index % 2) * (across + at.margin)
            y = at.margin + (index // 2) * (down + at.margin)
            size = (88 + 8 * index) * at.unit
            radius = max(8, round(min(size, across * 0.45, down * 0.45) / 2))
            flyers.append(_Flyer(kind, (x, y, x + across, y + down), radius, rng))
        return flyers

    def _place_codes(self) -> list[Shape]:
        at = self._layout
        picture = self._background
        picture[at.bar_y :] = _BAR
        height, width = _ROWS * at.cell, _COLUMNS * at.cell
        picture[at.strip_y : at.strip_y + height, at.strip_x : at.strip_x + width] = 0
        codes = {
            "qr": _enlarge(cv2.QRCodeEncoder.create().encode(QR_TEXT), at.qr_module),
            "aruco": _enlarge(_aruco(), at.aruco_module),
        }
        shapes = []
        x, y = at.column_x + at.margin, at.margin
        for kind, code in codes.items():
            side = len(code)
            picture[y : y + side, x : x + side] = code[:, :, None]
            shapes.append(Shape(kind, (x, y, x + side, y + side), moving=False))
            y += side + at.margin
        return shapes

    # The number is drawn into the background, only where it differs from the previous one: usually
    # one cell and one or two digits.

    def _write_strip(self, number: int) -> None:
        at = self._layout
        differ, self._strip = self._strip ^ number, number
        while differ:
            bit = differ.bit_length() - 1
            differ ^= 1 << bit
            row, column = divmod(_BITS - 1 - bit, _COLUMNS)
            y, x = at.strip_y + row * at.cell, at.strip_x + column * at.cell
            self._background[y : y + at.cell, x : x + at.cell] ^= 255

    def _write_text(self, text: str) -> None:
        at = self._layout
        old, self._text = self._text, text
        for place in range(max(len(old), len(text))):
            new = text[place : place + 1]
            if new == old[place : place + 1]:
                continue
            glyph = self._glyphs.get(new)
            if glyph is None:
                glyph = self._glyphs[new] = _glyph(new, at.unit)
            height, width = glyph.shape[:2]
            y, x = (at.bar_y + self.height - height) // 2, at.margin + place * width
            self._background[y : y + height, x : x + width] = glyph


def _gray(n: int) -> int:
    n &= 2**_BITS - 1
    return n ^ (n >> 1)


def _glyph(letter: str, unit: float) -> NDArray[np.uint8]:
    """One letter of the text on the bar's colour, or an empty place."""
    scale = max(0.3, 0.6 * unit)
    height, width = max(8, round(20 * unit)), max(6, round(12 * unit))
    patch = np.full((height, width, 3), _BAR, np.uint8)
    place = (0, round(height * 0.8))
    white = (235, 235, 235)
    cv2.putText(patch, letter, place, cv2.FONT_HERSHEY_SIMPLEX, scale, white, max(1, int(scale)))
    return patch


def read_number(image: NDArray[np.uint8]) -> int | None:
    """Read the frame number from a picture of the scene, `uint8[H,W,3]`; None if unreadable.

    The picture must have its original size. A cell that is neither black nor white is unreadable.
    """
    height, width = image.shape[:2]
    if width < MIN_SIZE[0] or height < MIN_SIZE[1]:
        return None
    at = _layout(width, height)
    x, y, cell = at.strip_x, at.strip_y, at.cell
    strip = image[y : y + _ROWS * cell, x : x + _COLUMNS * cell, 1]
    inner = slice(cell // 4, cell - cell // 4)
    levels = strip.reshape(_ROWS, cell, _COLUMNS, cell)[:, inner, :, inner].mean(axis=(1, 3))
    if ((levels > 90) & (levels < 165)).any():
        return None
    gray = int.from_bytes(np.packbits(levels > 127).tobytes(), "big")
    number = 0
    while gray:
        number ^= gray
        gray >>= 1
    return number


def _texture(width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Soft grey blotches over fine grain: it has detail, but not the colour of any shape."""
    blotches = rng.integers(85, 150, (max(2, height // 60), max(2, width // 60)), np.uint8)
    soft = cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(0, 25, ((height + 1) // 2, (width + 1) // 2), np.uint8)
    fine = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
    grey = np.asarray(cv2.add(soft, fine), np.uint8)
    return np.stack([grey + np.uint8(14), grey, grey], axis=2)  # at most 190: no overflow


def _aruco() -> NDArray[np.uint8]:
    """The marker, one pixel per module, with a white frame to separate it from the background."""
    known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    marker = cv2.aruco.generateImageMarker(known, ARUCO_ID, _ARUCO_MODULES - 2)
    return np.pad(np.asarray(marker, np.uint8), 1, constant_values=255)


def _enlarge(code: cv2.typing.MatLike, module: int) -> NDArray[np.uint8]:
    return np.asarray(code, np.uint8).repeat(module, 0).repeat(module, 1)
