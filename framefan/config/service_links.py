"""Variables that Kubernetes and Docker set for a service called `framefan`, or `framefan-...`.

Kubernetes sets them in each container for every Service in its namespace. Docker's `--link` sets
them for the other container:

    FRAMEFAN_SERVICE_HOST=10.0.0.1          FRAMEFAN_PORT=tcp://10.0.0.1:8765
    FRAMEFAN_SERVICE_PORT=8765              FRAMEFAN_PORT_8765_TCP=tcp://10.0.0.1:8765
    FRAMEFAN_SERVICE_PORT_HTTP=8765         FRAMEFAN_PORT_8765_TCP_PROTO=tcp   (_PORT, _ADDR)

They start with our prefix but are no options. A complete set of them is ignored. A single one may
be a mistake, so it is an error, which says where such variables come from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from framefan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+")
_HOST = re.compile(r"(FRAMEFAN(?:_[A-Z0-9_]+)?)_SERVICE_HOST")
_PORT = re.compile(r"(FRAMEFAN(?:_[A-Z0-9_]+?)?)_PORT_\d+_(?:TCP|UDP|SCTP)")
_OF_A_SET = r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
_LIKE_ONE = re.compile(rf"FRAMEFAN_(\w+_)?({_OF_A_SET})")


def found(environment: Mapping[str, str]) -> set[str]:
    """The names of all variables that belong to such a set."""
    services = {match[1] for name in environment if (match := _HOST.fullmatch(name))}
    linked = {
        match[1]
        for name, text in environment.items()
        if (match := _PORT.fullmatch(name)) and _ADDRESS.fullmatch(text)
    }
    return {
        name
        for service in services | linked
        for name, text in environment.items()
        if name.startswith(f"{service}_")
        and _belongs(name.removeprefix(f"{service}_"), text, service in linked - services)
    }


def _belongs(rest: str, text: str, by_docker: bool) -> bool:
    """Whether a variable belongs to such a set. A port that is a plain number was set by a user."""
    if rest == "PORT":
        return bool(_ADDRESS.fullmatch(text))
    if by_docker and (rest.startswith("ENV_") or (rest == "NAME" and text.startswith("/"))):
        return True
    return bool(re.fullmatch(_OF_A_SET, rest))


def check(variable: str, text: str, is_known: bool) -> None:
    """Raises UsageError for a variable that looks like part of a set if the set is incomplete."""
    alone = variable == "FRAMEFAN_PORT" and _ADDRESS.fullmatch(text)
    if alone or (not is_known and _LIKE_ONE.fullmatch(variable)):
        raise UsageError(
            f"{variable} looks like a variable that Kubernetes makes of a Service",
            "the other variables of that Service are not set, so it may also be a mistake",
            "set enableServiceLinks: false in the pod, or unset it; a port: FRAMEFAN_PORT=8765",
        )
