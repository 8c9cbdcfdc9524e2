"""The SSLContext of the listening socket."""

from __future__ import annotations

from asyncio import sslproto
from typing import TYPE_CHECKING

from framefan.base import certificates

if TYPE_CHECKING:
    import ssl

    from framefan.settings.run import Settings

_READ_BYTES = 32 * 1024
"""asyncio allocates a buffer of this size for each TLS connection, 256 KiB by default. The longest
TLS record takes 16 KiB and a little more."""


def context(settings: Settings) -> ssl.SSLContext | None:
    """The context for the configured certificate; None for plain text.

    Raises StartError if the certificate or its key cannot be used.
    """
    if not settings.tls_cert:
        return None
    if hasattr(sslproto.SSLProtocol, "max_size"):
        sslproto.SSLProtocol.max_size = _READ_BYTES
    return certificates.server_context(settings.tls_cert, settings.tls_key)
