"""The clients' records under their public name; docs/protocol.md describes them."""

from framefan.ipc.protocol import *  # noqa: F403
