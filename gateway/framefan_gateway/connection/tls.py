"""The certificate of the listening socket, from the settings to an SSLContext."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.base import certificates

if TYPE_CHECKING:
    import ssl

    from framefan.settings.run import Settings


def context(settings: Settings) -> ssl.SSLContext | None:
    """What to serve with, None for plain text; raises StartError for a pair that will not do."""
    if not settings.tls_cert:
        return None
    return certificates.server_context(settings.tls_cert, settings.tls_key)
