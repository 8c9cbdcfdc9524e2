"""Checks a certificate and its key: whether TLS can use them, and when the certificate expires.

The standard library cannot read dates from a certificate file, but a TLS client reads them from its
server's certificate. So a client that trusts this certificate does a handshake, in memory, with a
server that uses it.
"""

from __future__ import annotations

import contextlib
import ssl

from framefan.base import clock
from framefan.errors import StartError

_ROUNDS = 10
"""More rounds than a handshake has messages."""
_DAY_S = 86400.0


def server_context(cert: str, key: str) -> ssl.SSLContext:
    """A server context with this pair. Raises StartError for an unusable pair."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # With no password given, OpenSSL would prompt on the terminal for an encrypted key's.
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
    """Days until the certificate expires. Raises StartError if it is not valid today."""
    served = server_context(cert, key)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be a CA certificate
    try:
        trusting.load_verify_locations(cert)
        until = _handshake(served, trusting)
    except ssl.SSLCertVerificationError as error:
        raise StartError(
            f"no client will accept {cert}", error.verify_message, "have it renewed"
        ) from error
    return (until - clock.wall()) / _DAY_S


def _handshake(served: ssl.SSLContext, trusting: ssl.SSLContext) -> float:
    """When the certificate expires, as wall time. Raises SSLCertVerificationError."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there)
    server = served.wrap_bio(there, back, server_side=True)
    for _ in range(_ROUNDS):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    found = client.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))
