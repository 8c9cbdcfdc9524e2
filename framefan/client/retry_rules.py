"""Why a client has no connection, and whether coming back would help.

The table of docs/protocol.md: whatever passes by itself (a restart, a full gateway, the network) is
tried again; what would end the same way each time is an error for the person.
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
    1003: "the client sent what the gateway does not take",
    1007: "the client sent text that is not UTF-8",
    1008: "the client broke a limit of the gateway: too many messages, or one it does not allow",
    1009: "a message was too big",
    4400: "the gateway does not understand what was asked for",
    4401: "no token, or a wrong one",
}
_FIXES = {
    400: "correct what is asked for",
    401: "give the token of the run: token=..., or --token-file FILE",
    403: "connect by the name that the gateway serves, or allow the origin with --origin",
    404: "the WebSocket is at /ws",
    1008: "send fewer commands",
    4400: "correct what is asked for",
    4401: "give the token of the run: token=..., or --token-file FILE",
}
_PLAIN_AND_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


_UNKNOWN_OPTION = 104


class _Body(msgspec.Struct):
    error: str = ""


def is_of_ack(told: CommandError | None) -> bool:
    """Whether that is how a gateway older than `ack` answers who asks for it."""
    return told is not None and told.code == _UNKNOWN_OPTION and '"ack"' in told.message


def of_closing(url: str, error: ConnectionClosed, told: CommandError | None) -> Refused | None:
    """Why a connection that ended is not to be tried again; None when it is.

    `told`: the error without an id that the gateway sent before, if it did.
    """
    code = next((c.code for c in (error.rcvd, error.sent) if c and c.code in _FINAL_CODES), 0)
    if not code or (told and told.temporary):
        return None
    reason = next((c.reason for c in (error.rcvd, error.sent) if c and c.reason), "")
    why = (told.message if told else "") or reason or _FINAL_CODES[code]
    return Refused(f"{url} closed the connection ({code})", why, _FIXES.get(code, ""), code)


def of_opening(url: str, error: Exception) -> Refused | None:
    """Why a connection that did not come about is not to be tried again; None when it is."""
    if isinstance(error, InvalidStatus):
        return _of_status(url, error.response)
    if isinstance(error, ssl.SSLCertVerificationError):
        fix = "name the certificate's authority: ssl=..., or --tls-ca FILE"
        return Refused(f"{url} has a certificate that is not trusted", error.verify_message, fix)
    if isinstance(error, ssl.SSLError) and any(each in str(error) for each in _PLAIN_AND_TLS):
        return Refused(f"{url} does not speak TLS", "", "write ws:// or http:// instead")
    if isinstance(error, OSError) or _is_cut(error):
        return None
    why = f"{type(error).__name__}: {error}"
    return Refused(f"{url} is no WebSocket", why, "check the address")


def _is_cut(error: Exception) -> bool:
    """The connection ended before an answer to the handshake."""
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
    """The reason that the gateway gave with an HTTP status, if it did."""
    try:
        return msgspec.json.decode(response.body, type=_Body).error[:500]
    except msgspec.DecodeError:
        return ""


def shortly(error: Exception) -> str:
    """One line for a log: why there is no connection."""
    if isinstance(error, InvalidStatus):
        return f"{error.response.status_code} {said(error.response)}".strip()
    if isinstance(error, ConnectionClosed):
        return f"closed: {error.rcvd or error.sent}" if error.rcvd or error.sent else "cut"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused: nothing listens there"
    return str(error) or type(error).__name__
