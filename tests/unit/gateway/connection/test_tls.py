"""Certificates that serve, and those that end the run."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from gateway_server import Gateway, read, until
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage

from framefan.errors import StartError
from framefan.ipc import messages, processes
from framefan.settings.run import Settings
from framefan_gateway.connection import tls


def make_pair(folder: Path, name: str, *options: str) -> Settings:
    cert, key = str(folder / f"{name}.crt"), str(folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
               "-keyout", key, "-out", cert, *(options or ("-nodes",))]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return Settings(run_dir=str(folder), tls_cert=cert, tls_key=key)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_pair(tmp_path_factory.mktemp("tls"), "good")


async def test_clients_are_served_over_tls_and_only_over_tls(pair: Settings) -> None:
    """No callback may raise: TLS pauses a line for the handshake's last bytes, before all else."""
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    gateway = Gateway()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    gateway.port = listener.getsockname()[1]
    await gateway.server.start(listener, tls.context(pair))
    trust = ssl.create_default_context(cafile=pair.tls_cert)
    address = f"//127.0.0.1:{gateway.port}/ws"
    async with connect(f"wss:{address}", ssl=trust, proxy=None) as client:
        for seq in range(50):
            gateway.publish(kind="value", payload="x" * 5000)
            assert (await read(client))["seq"] == seq
        with pytest.raises((ConnectionError, InvalidMessage)):
            await connect(f"ws:{address}", proxy=None)
    await until(lambda: gateway.hub.clients == 0)
    await gateway.server.close()
    assert not raised


def test_no_certificate_means_plain_text() -> None:
    assert tls.context(Settings()) is None


@pytest.mark.parametrize("fault", ["mismatched", "missing", "empty", "garbage", "password"])
def test_an_unusable_certificate_is_refused_with_the_reason(
    pair: Settings, fault: str, tmp_path: Path
) -> None:
    cert, key = pair.tls_cert, pair.tls_key
    match fault:
        case "mismatched":
            key = make_pair(tmp_path, "other").tls_key
        case "missing":
            key = str(tmp_path / "nowhere.key")
        case "empty":
            cert = str(tmp_path / "empty.crt")
            Path(cert).touch()
        case "garbage":
            key = str(tmp_path / "garbage.key")
            Path(key).write_bytes(b"\0\xffno key")
        case "password":
            locked = make_pair(tmp_path, "locked", "-passout", "pass:1234")
            cert, key = locked.tls_cert, locked.tls_key
    with pytest.raises(StartError) as raised:
        tls.context(Settings(tls_cert=cert, tls_key=key))
    what, why, fix = raised.value.what, raised.value.why, raised.value.fix
    assert key in what
    assert why
    assert "--tls-key" in fix


def test_a_certificate_error_is_fatal_for_the_supervisor(pair: Settings, tmp_path: Path) -> None:
    other = make_pair(tmp_path, "other")
    settings = Settings(run_dir=str(tmp_path), tls_cert=pair.tls_cert, tls_key=other.tls_key)
    child = processes.Child(processes.GATEWAY, "1", settings, messages.ToSupervisor, -1)
    try:
        fatal = child.link.receive(block=True)[0]
        assert isinstance(fatal, messages.Fatal)
        assert fatal.exit_code == 3
        assert other.tls_key in fatal.what
        assert fatal.why
        assert fatal.fix
        assert child.process.wait(10) == 3
    finally:
        child.kill()
