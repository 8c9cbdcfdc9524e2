"""HTTP responses, with the headers that all of them have."""

from __future__ import annotations

import email.utils
import http
from typing import TYPE_CHECKING, Any

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Response

if TYPE_CHECKING:
    from websockets.http11 import Request

JSON = "application/json"
POLICY = "default-src 'self'"
_ALWAYS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Connection": "close",
}


def pack(value: Any) -> bytes:
    return msgspec.json.encode(value)


def refuse(code: http.HTTPStatus, message: str) -> Response:
    """A complete response that says why a request is refused, whatever its method was."""
    body = pack({"error": message})
    head = Headers({"Date": email.utils.formatdate(usegmt=True), "Content-Type": JSON} | _ALWAYS)
    head["Content-Length"] = str(len(body))
    return Response(code.value, code.phrase, head, body)


def reply(request: Request, code: int, body: bytes, kind: str, **headers: str) -> Response:
    """A complete response; HEAD gets the same headers without the body."""
    head = Headers(
        {"Date": email.utils.formatdate(usegmt=True), "Content-Type": kind} | _ALWAYS | headers
    )
    head["Content-Length"] = str(len(body))
    shown = b"" if request.method == "HEAD" else body
    return Response(code, http.HTTPStatus(code).phrase, head, shown)
