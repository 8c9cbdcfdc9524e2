"""What only the system can give the tests: Chromium, Node.js, GStreamer's RTSP server, promtool.

Run by `make test`, it installs what is missing where it may (apt-get, as root). Elsewhere it says
in one line which group of tests is skipped. With CI=true nothing may be missing. With the argument
`bench` the same for what the benchmark `clients` needs, which cannot do without any of it.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEM_PYTHON = "/usr/bin/python3"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
UNPACKED = Path(sys.prefix) / "share" / "framefan-tests"
"""Where packages are unpacked of which one program is wanted, and no service that they start."""
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


def promtool() -> str | None:
    """The program that checks Prometheus' rules."""
    return shutil.which(
        "promtool", path=os.pathsep.join((os.environ["PATH"], f"{UNPACKED}/usr/bin"))
    )


def has_promtool() -> bool:
    return promtool() is not None


def has_ip() -> bool:
    return shutil.which("ip", path=SYSTEM_PATH) is not None


class Group(NamedTuple):
    marker: str
    there: Callable[[], bool]
    packages: tuple[str, ...]
    is_unpacked: bool = False
    """Not installed, so that no service of theirs is started: it is enough to have the files."""


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
    Group("promtool", has_promtool, ("prometheus",), is_unpacked=True),
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
    _quietly("apt-get", "update", "-qq")
    installed = [name for group in groups if not group.is_unpacked for name in group.packages]
    if installed:
        _quietly("apt-get", "install", "-y", "-qq", "--no-install-recommends", *installed)
    for group in groups:
        if group.is_unpacked:
            unpack(group.packages)


def unpack(packages: tuple[str, ...]) -> None:
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        as_us = ("-o", f"APT::Sandbox::User={getpass.getuser()}")  # its own user cannot write there
        _quietly("apt-get", *as_us, "download", "-qq", *packages, cwd=folder)
        for file in Path(folder).glob("*.deb"):
            _quietly("dpkg-deb", "-x", str(file), str(UNPACKED))


def _quietly(*command: str, cwd: str | None = None) -> None:
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, cwd=cwd, check=False)


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
