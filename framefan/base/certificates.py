"""Whether a certificate and its key will do: for TLS at all, and by the calendar.

The standard library reads no dates out of a file, but a client that trusts this very certificate
and checks it does. So one shakes hands with a server that has it, in memory.
"""

from __future__ import annotations

import contextlib
import ssl

from framefan.base import clock
from framefan.errors import StartError

_ROUNDS = 10
"""More than a handshake has messages."""
_DAY_S = 86400.0


def server_context(cert: str, key: str) -> ssl.SSLContext:
    """Raises StartError for a pair that will not do."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password OpenSSL would ask the terminal for that of an encrypted key, and wait.
        made.load_cert_chain(cert, key or None, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StartError(
            f"cannot serve TLS with {cert} and {key}",
            str(error),
            "give --tls-cert a PEM certificate chain and --tls-key its key, readable, without "
            "a password",
        ) from error
    return made


def days_left(cert: str, key: str) -> float:
    """Until it expires. Raises StartError where it cannot be used today."""
    served = server_context(cert, key)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be an authority's
    try:
        trusting.load_verify_locations(cert)
        until = _handshake(served, trusting)
    except ssl.SSLCertVerificationError as error:
        raise StartError(
            f"no client will accept {cert}", error.verify_message, "have it renewed"
        ) from error
    return (until - clock.wall()) / _DAY_S


def _handshake(served: ssl.SSLContext, trusting: ssl.SSLContext) -> float:
    """The end of its validity, as a wall time. Raises SSLCertVerificationError."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there)
    server = served.wrap_bio(there, back, server_side=True)
    for _ in range(_ROUNDS):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    found = client.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))
