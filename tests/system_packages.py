"""What only the system can give the tests: Chromium, Node.js, and GStreamer's RTSP server.

Run by `make test`, it installs what is missing where it may (apt-get, as root). Elsewhere it says
in one line which group of tests is skipped. With CI=true nothing may be missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEM_PYTHON = "/usr/bin/python3"
_GSTREAMER = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
raise SystemExit(Gst.ElementFactory.find("x264enc") is None)
"""


def has_chromium() -> bool:
    return shutil.which("chromium") is not None


def has_node() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None


def has_gstreamer() -> bool:
    """Whether the system's Python can serve H.264 over RTSP."""
    try:
        return (
            subprocess.run(
                [SYSTEM_PYTHON, "-c", _GSTREAMER], capture_output=True, timeout=60, check=False
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


class Group(NamedTuple):
    marker: str
    there: Callable[[], bool]
    packages: tuple[str, ...]


GROUPS = (
    Group("chromium", has_chromium, ("chromium",)),
    Group("node", has_node, ("nodejs", "npm")),
    Group(
        "gstreamer",
        has_gstreamer,
        (
            "gir1.2-gst-rtsp-server-1.0",
            "python3-gi",
            "gstreamer1.0-plugins-base",
            "gstreamer1.0-plugins-good",
            "gstreamer1.0-plugins-ugly",
            "gstreamer1.0-tools",
        ),
    ),
)


def install(groups: list[Group]) -> None:
    packages = [package for group in groups for package in group.packages]
    print(f"framefan: installing for the tests: {' '.join(packages)}", flush=True)
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False)


def main() -> int:
    missing = [group for group in GROUPS if not group.there()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install(missing)
        missing = [group for group in missing if not group.there()]
    for group in missing:
        print(
            f"framefan: tests marked {group.marker} are skipped; for them, as root:"
            f" apt-get install {' '.join(group.packages)}"
        )
    return 1 if missing and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
