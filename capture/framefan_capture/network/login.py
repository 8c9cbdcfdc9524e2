"""Authorization headers for HTTP and RTSP: Basic, and Digest (RFC 7616). No I/O."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

# A fixed start and a limited length of the name avoid quadratic time on long runs of letters.
_FIELD = re.compile(r'(?<!\w)(\w{1,32})=(?:"([^"]*)"|([^\s,]*))')


class Account(NamedTuple):
    user: str
    password: str

    def __repr__(self) -> str:
        return "Account(***)"


def authorization(
    challenges: list[str], account: Account, method: str, uri: str, count: int = 1
) -> str | None:
    """The `Authorization` for the first supported challenge of a 401's `WWW-Authenticate`.

    `count`: how many requests have answered this challenge, this one included.
    """
    for challenge in challenges:
        scheme, _, rest = challenge.strip().partition(" ")
        if scheme.lower() == "basic":
            return basic(account)
        fields = {name.lower(): quoted or plain for name, quoted, plain in _FIELD.findall(rest)}
        if scheme.lower() == "digest" and "nonce" in fields:
            return _digest(fields, account, method, uri, count)
    return None


def basic(account: Account) -> str:
    text = f"{account.user}:{account.password}".encode()
    return f"Basic {base64.b64encode(text).decode()}"


def _digest(asked: dict[str, str], account: Account, method: str, uri: str, count: int) -> str:
    algorithm = asked.get("algorithm", "MD5")
    realm, nonce = asked.get("realm", ""), asked["nonce"]
    secret = _hash(algorithm, account.user, realm, account.password)
    wanted = _hash(algorithm, method, uri)
    said = {"username": account.user, "realm": realm, "nonce": nonce, "uri": uri}
    if "auth" in re.split(r"[,\s]+", asked.get("qop", "")):
        number = f"{count:08x}"
        said["response"] = _hash(algorithm, secret, nonce, number, _CNONCE, "auth", wanted)
        tail = f', qop=auth, nc={number}, cnonce="{_CNONCE}"'
    else:
        said["response"] = _hash(algorithm, secret, nonce, wanted)
        tail = ""
    if "opaque" in asked:
        said["opaque"] = asked["opaque"]
    fields = ", ".join(f'{name}="{value}"' for name, value in said.items())
    return f"Digest {fields}, algorithm={algorithm}{tail}"


_CNONCE = "66616e"
"""A fixed client nonce. A random one protects against precomputed passwords; this one does not."""


def _hash(algorithm: str, *parts: str) -> str:
    text = ":".join(parts).encode()
    if algorithm.upper() == "SHA-256":
        return hashlib.sha256(text).hexdigest()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()
