"""The certificate of the listening socket, from the settings to an SSLContext."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from framefan.errors import StartError

if TYPE_CHECKING:
    from framefan.settings import Settings


def context(settings: Settings) -> ssl.SSLContext | None:
    """What to serve with, None for plain text; raises StartError for a pair that will not do."""
    if not settings.tls_cert:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password OpenSSL would ask the terminal for that of an encrypted key, and wait.
        made.load_cert_chain(settings.tls_cert, settings.tls_key or None, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StartError(
            f"cannot serve TLS with {settings.tls_cert} and {settings.tls_key}",
            str(error),
            "give --tls-cert a PEM certificate chain and --tls-key its key, readable, without "
            "a password",
        ) from error
    return made
