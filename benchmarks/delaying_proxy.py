"""A TCP proxy whose way is long, and nginx behind it: what stands before framefan in the world.

`python -m benchmarks.delaying_proxy TARGET_PORT ONE_WAY_S ...` prints one port for each ONE_WAY_S;
what comes in there goes to TARGET_PORT so much later, and back as late.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from benchmarks.run import until
from framefan.base import clock

_CHUNK = 1 << 16
_NGINX = """
daemon off;
worker_processes 1;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{target};
            proxy_http_version 1.1;
            proxy_set_header Host localhost;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
            proxy_buffering off;
        }}
    }}
}}
"""


class Nginx:
    """Debian's nginx before a port of this machine, as docs/howto/nginx-tls.md says but for TLS."""

    def __init__(self, target: int) -> None:
        command = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
        if command is None:
            raise SystemExit("nginx is not installed; as root: apt-get install nginx")
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="framefan-bench-nginx-")
        path = Path(self._folder.name, "nginx.conf")
        path.write_text(_NGINX.format(folder=self._folder.name, port=self.port, target=target))
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", command, "-e", "stderr", "-c", str(path)]
        )

    def __enter__(self) -> Self:
        until(lambda: _takes(self.port), 10, "nginx")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._folder.cleanup()


class DelayingProxy:
    """The process with a port for each delay, seen from the benchmark."""

    def __init__(self, target: int, one_way_s: list[float]) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.delaying_proxy", str(target)),
                *(str(each) for each in one_way_s),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self.ports: list[int] = json.loads(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for each in (self._process.stdin, self._process.stdout):
            if each:
                each.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _takes(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way_s: float
) -> None:
    """Chunks wait in line; a chunk is never waited for by the one that reads the next."""
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, data = await line.get()
            await asyncio.sleep(max(0.0, due - clock.now()))
            if not data:
                break
            writer.write(data)
            await writer.drain()

    task = asyncio.create_task(write())
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            line.put_nowait((clock.now() + one_way_s, data))
    line.put_nowait((clock.now() + one_way_s, b""))
    with contextlib.suppress(OSError):
        await task
    writer.close()


async def _serve(target: int, delays: list[float]) -> None:
    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way_s: float
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        for each in (writer, back):
            sock = each.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(_pass_on(reader, back, one_way_s), _pass_on(there, writer, one_way_s))

    servers = [
        await asyncio.start_server(lambda r, w, delay=each: accept(r, w, delay), "127.0.0.1", 0)
        for each in delays
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    # The end of its input is the end of who started it.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), [float(each) for each in sys.argv[2:]]))
