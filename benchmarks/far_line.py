"""A line to a far place: a network namespace behind a pair of tun devices that delay each packet.

`python -m benchmarks.far_line DEVICE HERE THERE ONE_WAY_S` makes a namespace without a name, whose
address is THERE; packets between it and HERE take ONE_WAY_S. It prints `up` when the line stands,
and takes all of it along when it ends: at the end of its input, or with the process that started
it. Needs root, /dev/net/tun and iproute2; the kernel's own netem would do, where there is one.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
from typing import Self

from framefan.base import clock

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_MTU = 1500
_AT_ONCE = 64
_libc = ctypes.CDLL(None, use_errno=True)


class FarLine:
    """The process that holds the far place, seen from the benchmark."""

    def __init__(self, number: int, here: str, there: str, one_way_s: float) -> None:
        self.there = there
        self.one_way_s = one_way_s
        arguments = [f"fan{os.getpid() % 100_000}n{number}", here, there, str(one_way_s)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.far_line", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "up\n":
            self.__exit__()
            raise SystemExit("no line to a far place: it needs root, /dev/net/tun and iproute2")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for each in (self._process.stdin, self._process.stdout):
            if each:
                each.close()

    @property
    def enter(self) -> list[str]:
        """What comes before a command that is to run there."""
        return ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", "--"]


def _tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


def _set_up(name: str, address: str, peer: str) -> int:
    device = _tun(name)
    _ip(f"address add {address} peer {peer} dev {name}")
    _ip(f"link set {name} up mtu {_MTU} txqueuelen 1000")
    return device


def _pass_on(here: int, there: int, one_way_s: float) -> None:
    """Each packet to the other side, as late as it is to be; both ways are equally long."""
    late: collections.deque[tuple[float, int, bytes]] = collections.deque()
    while True:
        now = clock.now()
        while late and late[0][0] <= now:
            _, device, packet = late.popleft()
            with contextlib.suppress(OSError):  # a full device drops it, as a router does
                os.write(device, packet)
        wait = max(0.0, late[0][0] - clock.now()) if late else None
        ready, _, _ = select.select([here, there, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            return
        for device in ready:
            with contextlib.suppress(BlockingIOError):
                for _ in range(_AT_ONCE):
                    packet = os.read(device, _MTU + 100)
                    other = there if device == here else here
                    late.append((clock.now() + one_way_s, other, packet))


def main() -> None:
    name, here, there, one_way_s = sys.argv[1:]
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    near = _set_up(name, here, there)
    if _libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace")
    _ip("link set lo up")
    far = _set_up("far", there, here)
    print("up", flush=True)
    _pass_on(near, far, float(one_way_s))


if __name__ == "__main__":
    main()
