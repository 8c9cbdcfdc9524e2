"""The listening sockets: bound by the supervisor before anything starts, inherited by children.

So `--port 0` works, a port in use is an error at once, and no client is refused while a child
restarts: new connections wait in the backlog. SO_REUSEPORT is never set: with it a second run would
bind the same port without an error and get some of the clients.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from framefan.errors import StartError

BACKLOG = 4096
"""The most connections that no gateway has accepted yet; the kernel's own limit may be lower."""
_DEFER_S = 5
"""On Linux the kernel holds a new connection back for about this long, until it has sent something.
Of a thousand clients that connect at the same moment, many send their request late. Until then they
need no descriptor, and are not mistaken for connections that never send a request."""
_DEFER = getattr(socket, "TCP_DEFER_ACCEPT", None)


def tcp(host: str, port: int) -> socket.socket:
    """A listening socket at host and port (0: any free one). Raises StartError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(
            f'"{host}" is not an address of this machine',
            str(error),
            "use --host 127.0.0.1, or an address that `ip addr` shows",
        ) from error
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if _DEFER is not None:
            sock.setsockopt(socket.IPPROTO_TCP, _DEFER, _DEFER_S)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(host, port, error) from error
    return sock


def _refused(host: str, port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port {port} is taken",
            f"{holder(port) or 'another program'} listens on it",
            f"stop it, or choose another port: --port {port + 1 if port < 65535 else 8766}"
            " (--port 0 takes any free one)",
        )
    if error.errno == errno.EACCES:
        return StartError(
            f"port {port} is not allowed",
            "ports below 1024 need root",
            "choose another port: --port 8765",
        )
    return StartError(
        f"cannot listen on {host} port {port}",
        error.strerror or str(error),
        "use --host 127.0.0.1, or an address that `ip addr` shows",
    )


def holder(port: int) -> str:
    """The process that listens on `port`, as `NAME (pid N)`; empty if it cannot be found."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1] == port
            if listens and connection.pid:
                return _told(connection.pid)
    return ""


def _told(pid: int) -> str:
    """A process as text; for a process of a run, the run's name and its supervisor's pid."""
    import psutil

    from framefan.settings.run import run_root
    from framefan.supervisor import rundir

    own = psutil.Process(pid)
    line = [own, *own.parents()]
    runs = {rundir.holder(run_root() / name): name for name in rundir.running()}
    for each in line:
        if each.pid in runs:
            return f'the run "{runs[each.pid]}" (pid {each.pid})'
    for each in line:  # a run of another user, or with another XDG_RUNTIME_DIR
        if each.name() == "framefan supervisor":
            return f"another framefan (pid {each.pid})"
    return f"{own.name()} (pid {pid})"


def unix(path: str) -> socket.socket:
    """A listening Unix stream socket at `path`, which must not exist."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(BACKLOG)
    return sock
