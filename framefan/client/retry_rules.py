"""Why a client has no connection, and whether it should reconnect.

The rules are the table of docs/protocol.md, except that this client does not reconnect after 1008
and 1009: it would send the same again. The client retries after temporary errors (a restart, a
full gateway, the network). An error that would recur each time is reported to the user.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from framefan.errors import Refused

if TYPE_CHECKING:
    from websockets.http11 import Response

    from framefan.ipc.protocol import CommandError

_PASSING_STATUSES = {408, 429, 500, 502, 503, 504}
_FINAL_CODES = {
    1002: "the client broke the WebSocket protocol",
    1003: "the client sent data that the gateway does not accept",
    1007: "the client sent text that is not UTF-8",
    1008: "the client broke a limit of the gateway: too many messages, or one it does not allow",
    1009: "a message was too big",
    4400: "the gateway does not understand the request",
    4401: "no token, or a wrong one",
}
_FIXES = {
    400: "correct the request",
    401: "give the token of the run: token=..., or --token-file FILE",
    403: "connect by the name that the gateway serves, or allow the origin with --origin",
    404: "the WebSocket is at /ws",
    1008: "send fewer commands",
    4400: "correct the request",
    4401: "give the token of the run: token=..., or --token-file FILE",
}
_PLAIN_AND_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


_UNKNOWN_OPTION = 104


class _Body(msgspec.Struct):
    error: str = ""


def is_of_ack(told: CommandError | None) -> bool:
    """Whether this is the reply of a gateway that is too old for `ack`."""
    return told is not None and told.code == _UNKNOWN_OPTION and '"ack"' in told.message


def of_closing(url: str, error: ConnectionClosed, told: CommandError | None) -> Refused | None:
    """Why not to reconnect after a connection ended; None: reconnect.

    `told`: the error without an id that the gateway sent before the end, if any.
    """
    code = next((c.code for c in (error.rcvd, error.sent) if c and c.code in _FINAL_CODES), 0)
    if not code or (told and told.temporary):
        return None
    reason = next((c.reason for c in (error.rcvd, error.sent) if c and c.reason), "")
    why = (told.message if told else "") or reason or _FINAL_CODES[code]
    return Refused(f"{url} closed the connection ({code})", why, _FIXES.get(code, ""), code)


def of_opening(url: str, error: Exception) -> Refused | None:
    """Why not to retry after a failed attempt to connect; None: retry."""
    if isinstance(error, InvalidStatus):
        return _of_status(url, error.response)
    if isinstance(error, ssl.SSLCertVerificationError):
        fix = "give the certificate's authority: ssl=..., or --tls-ca FILE"
        return Refused(f"{url} has a certificate that is not trusted", error.verify_message, fix)
    if isinstance(error, ssl.SSLError) and any(each in str(error) for each in _PLAIN_AND_TLS):
        return Refused(f"{url} does not use TLS", "", "write ws:// or http:// instead")
    if isinstance(error, OSError) or _is_cut(error):
        return None
    why = f"{type(error).__name__}: {error}"
    return Refused(f"{url} is not a WebSocket", why, "check the address")


def advice(url: str, error: Exception) -> str:
    """What to do about an address to which no attempt succeeded."""
    if url.startswith("ws://") and (_is_cut(error) or isinstance(error, ConnectionResetError)):
        return "something listens there; if it serves TLS, write wss://"
    return "start it: framefan run; or name another address"


def _is_cut(error: Exception) -> bool:
    """Whether the connection ended before the reply to the handshake."""
    return isinstance(error, ConnectionClosed) or (
        isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError)
    )


def _of_status(url: str, response: Response) -> Refused | None:
    status = response.status_code
    if status in _PASSING_STATUSES:
        return None
    why = said(response) or response.reason_phrase
    return Refused(f"{url} answered {status}", why, _FIXES.get(status, "check the address"), status)


def said(response: Response) -> str:
    """The reason that the gateway gave with an HTTP status, if any."""
    try:
        return msgspec.json.decode(response.body, type=_Body).error[:500]
    except msgspec.DecodeError:
        return ""


def shortly(error: Exception) -> str:
    """Why there is no connection, as one line for a log."""
    if isinstance(error, InvalidStatus):
        return f"{error.response.status_code} {said(error.response)}".strip()
    if isinstance(error, ConnectionClosed):
        return f"closed: {error.rcvd or error.sent}" if error.rcvd or error.sent else "cut"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused: nothing listens there"
    return str(error) or type(error).__name__
