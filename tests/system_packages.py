"""What only the system can give the tests: Chromium, Node.js, and GStreamer's RTSP server.

Run by `make test`, it installs what is missing where it may (apt-get, as root). Elsewhere it says
in one line which group of tests is skipped. With CI=true nothing may be missing. With the argument
`bench` the same for what the benchmark `clients` needs, which cannot do without any of it.
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
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
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


def has_nginx() -> bool:
    return shutil.which("nginx", path=SYSTEM_PATH) is not None


def has_ip() -> bool:
    return shutil.which("ip", path=SYSTEM_PATH) is not None


class Group(NamedTuple):
    marker: str
    there: Callable[[], bool]
    packages: tuple[str, ...]


_CHROMIUM = Group("chromium", has_chromium, ("chromium",))
_NODE = Group("node", has_node, ("nodejs", "npm"))
GROUPS = (
    _CHROMIUM,
    _NODE,
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
BENCH_GROUPS = (
    _CHROMIUM,
    _NODE,
    Group("nginx", has_nginx, ("nginx",)),
    Group("ip", has_ip, ("iproute2",)),
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


def main(arguments: list[str]) -> int:
    bench = arguments == ["bench"]
    groups = BENCH_GROUPS if bench else GROUPS
    missing = [group for group in groups if not group.there()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install(missing)
        missing = [group for group in missing if not group.there()]
    for group in missing:
        those = "needed" if bench else f"tests marked {group.marker} are skipped; for them"
        print(f"framefan: {those}, as root: apt-get install {' '.join(group.packages)}")
    return 1 if missing and (bench or os.environ.get("CI") == "true") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
