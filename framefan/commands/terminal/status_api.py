"""Gets a run's table over HTTP from `/api/status`, for commands that are ordinary clients."""

from __future__ import annotations

import http
import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from framefan.errors import RunError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_ANSWER_S = 5.0


def asking(
    url: str, token: str | None, trust: ssl.SSLContext | None
) -> Callable[[], dict[str, Any] | str]:
    """Returns a function that gets the table, or a text that says why it could not.

    That function raises RunError if the token is missing or wrong.
    """
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "wss" else "http"
    path = parts.path.rpartition("/")[0]
    where = urlunsplit((scheme, parts.netloc, f"{path}/api/status", "", ""))
    # Without a proxy: it must not see the token, and it cannot reach loopback addresses.
    straight = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )

    def ask() -> dict[str, Any] | str:
        request = urllib.request.Request(where)  # noqa: S310 - http or https
        if token:  # sent to this server only, not to a redirect's target
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with straight.open(request, timeout=_ANSWER_S) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.UNAUTHORIZED:
                raise RunError(
                    f"{url} answered 401: the run's token is needed",
                    "no token was given" if not token else "the given token is wrong",
                    "name the file that holds it: --token-file FILE",
                ) from error
            return f"{where} answered {error.code}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            return str(error)

    return ask
