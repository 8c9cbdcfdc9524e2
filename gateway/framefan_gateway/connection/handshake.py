"""How a connection begins and ends: it explains each refusal in JSON, and closes in time.

websockets answers some of these in plain text that speaks of opening a WebSocket, whatever was
requested, and closes the connection without an answer if it cannot parse the request.
"""

from __future__ import annotations

import asyncio
import http
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidMessage
from websockets.http11 import Response

from framefan_gateway.http import replies

_LIBRARY_SAYS = "Failed to open a WebSocket connection: "
_REASONS = {
    http.HTTPStatus.REQUEST_URI_TOO_LONG: "the request line is longer than 8192 bytes",
    http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "a header is longer than 8192 bytes, or there are more than 128 headers"
    ),
}
_BODY = "a request with a body is not served"
_CLIENT_HELLO = b"\x16\x03"
_TLS = "this port serves no TLS; use http:// and ws://"


_REASON_BYTES = 123
"""The greatest length of a close reason: a close frame carries 125 bytes, two of them the code."""


def shorten_reason(reason: str) -> str:
    """A close reason that fits into a close frame."""
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore")


class HandshakeConnection(ServerConnection):
    """A connection of websockets that explains each refusal in JSON."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.protocol.reject = _reject  # type: ignore[method-assign]
        self._explained = False

    def data_received(self, data: bytes) -> None:
        if self.request is None and data.startswith(_CLIENT_HELLO):
            self._explain(_TLS)  # as nginx does; TLS libraries recognise HTTP in the answer
            self.transport.close()
            return
        super().data_received(data)

    def send_data(self) -> None:
        """Send what the protocol has, after the answer to a request that it could not parse."""
        error = self.protocol.handshake_exc
        closed = self.protocol.reader.eof
        if isinstance(error, InvalidMessage) and self.request is None and not closed:
            self._explain(_cause(error))
        super().send_data()

    def abort(self, why: str) -> None:
        raise NotImplementedError

    async def close_in_time(self, code: int, reason: str, seconds: float) -> None:
        """Close with this code; abort after `seconds`.

        websockets first waits until its buffer has drained, which a client can delay for hours.
        """
        try:
            async with asyncio.timeout(seconds):
                await self.close(code, shorten_reason(reason))
        except TimeoutError:
            self.abort("stalled")

    def _explain(self, why: str) -> None:
        if not self._explained:
            self._explained = True
            self.transport.write(replies.refuse(http.HTTPStatus.BAD_REQUEST, why).serialize())


def _reject(status: int, text: str) -> Response:
    """The response to a request that is refused; takes the place of the protocol's method."""
    code = http.HTTPStatus(status)
    reason = text.removeprefix(_LIBRARY_SAYS).partition("\n")[0].removesuffix(".")
    return replies.refuse(code, _REASONS.get(code, reason))


def _cause(error: InvalidMessage) -> str:
    cause = error.__cause__
    if isinstance(cause, NotImplementedError) or "request body" in str(cause):
        return _BODY
    if isinstance(cause, UnicodeDecodeError):
        return "the address has letters beyond ASCII; percent-encode them"
    if isinstance(cause, EOFError):
        cause = cause.__cause__ or cause
    return f"this is no valid HTTP request: {cause}"[:300]
