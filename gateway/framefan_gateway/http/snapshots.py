"""`/snapshot/CAMERA.jpg`: the next frame of a camera that a worker processes, encoded on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from framefan.settings import query
from framefan.settings.run import NAME
from framefan_gateway.http.previews import Busy
from framefan_gateway.http.replies import JSON, pack, reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.http11 import Request, Response

    from framefan.ipc.records import CameraFacts
    from framefan_gateway.intake import Intake

PREFIX = "/snapshot/"
_SUFFIX = ".jpg"
_WAIT_S = 2.0
_FLAGS = {"1": "boxes", "true": "boxes", "0": "full", "false": "full"}


class Snapshots:
    def __init__(
        self, take: Callable[[str, str, float], Awaitable[bytes]] | None, intake: Intake
    ) -> None:
        """`take(camera, picture, seconds)` requests a picture and waits for it: see previews.py."""
        self._take = take
        self._intake = intake

    def answer(self, request: Request) -> Response | Awaitable[Response]:
        address = urlsplit(request.path)
        camera = address.path.removeprefix(PREFIX).removesuffix(_SUFFIX)
        state = self._intake.state
        known = {} if state is None else state.cameras
        if not address.path.endswith(_SUFFIX) or not NAME.fullmatch(camera):
            return _no(request, 404, f"a snapshot is at {PREFIX}CAMERA{_SUFFIX}", known)
        if state is not None and camera not in known:
            return _no(request, 404, f'there is no camera "{camera}"', known)
        picture = "full"
        for key, value in query.pairs(address.query):
            if key != "boxes" or value.lower() not in _FLAGS:
                return _no(request, 400, "the only option is boxes=1")
            picture = _FLAGS[value.lower()]
        return self._wait(request, camera, picture)

    async def _wait(self, request: Request, camera: str, picture: str) -> Response:
        if self._take is None or not self._intake.fresh:
            return _no(request, 503, "the pool does not respond; try again soon")
        try:
            jpeg = await self._take(camera, picture, _WAIT_S)
        except Busy:
            return _no(request, 503, "too many snapshots are pending; try again soon")
        except TimeoutError:
            state = self._intake.state
            facts = None if state is None else state.cameras.get(camera)
            missing = f'no frame of "{camera}" was processed within {_WAIT_S:g} s'
            return _no(request, 503, "; ".join(filter(None, (missing, _why(facts)))))
        return reply(request, 200, jpeg, "image/jpeg")


def _why(facts: CameraFacts | None) -> str:
    if facts is None:
        return "it was removed"
    if facts.state != "live":
        reason = facts.message or facts.reason
        return f"it is {facts.state}" + (f": {reason}" if reason else "")
    if facts.circuit != "closed":
        return f"its frames are left out: {facts.circuit_message}"
    return ""


def _no(
    request: Request, code: int, why: str, known: dict[str, CameraFacts] | None = None
) -> Response:
    body: dict[str, object] = {"error": why}
    if known is not None:
        body["cameras"] = sorted(known)
    return reply(request, code, pack(body), JSON)
