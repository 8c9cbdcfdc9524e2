"""The SSLContext of the listening socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.base import certificates

if TYPE_CHECKING:
    import ssl

    from framefan.settings.run import Settings


def context(settings: Settings) -> ssl.SSLContext | None:
    """The context for the configured certificate; None for plain text.

    Raises StartError if the certificate or its key cannot be used.
    """
    if not settings.tls_cert:
        return None
    return certificates.server_context(settings.tls_cert, settings.tls_key)
