"""The bus's records under their public name; docs/bus.md describes them."""

from framefan.ipc.records import *  # noqa: F403
