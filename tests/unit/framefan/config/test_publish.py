"""`--publish`: what it may name, the keys it asks for, and the socket it leaves nothing of."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq
import zmq.auth

from framefan.commands.doctor import endpoint_checks as doctor_served
from framefan.commands.doctor.findings import Level
from framefan.config import publish
from framefan.config.configure import configure
from framefan.config.options import Options
from framefan.errors import FramefanError, StartError, UsageError
from framefan.ipc import processes
from framefan.supervisor import publish_listener, reload_plan
from framefan.supervisor.publish_listener import PublishListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan.settings.run import Settings


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short path: sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="ff-")).resolve()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


def made(env: dict[str, str] | None = None, **options: str) -> Settings:
    return configure((), Options(**options), env or {})[0]  # type: ignore[arg-type]


def refuse(kind: type[FramefanError], *words: str, **options: str) -> FramefanError:
    with pytest.raises(kind) as raised:
        made(**options)
    lines = raised.value.lines()
    assert len(lines) == 3, lines
    for word in words:
        assert word in "\n".join(lines)
    return raised.value


def keys(*readers: str) -> str:
    """A folder of keys."""
    Path("keys/clients").mkdir(parents=True)
    zmq.auth.create_certificates("keys", "server")
    for name in readers:
        zmq.auth.create_certificates("keys/clients", name)
    return "keys"


# ---- what is asked for -----------------------------------------------------------------------


def test_without_it_nothing_is_published() -> None:
    assert made().publish == ""
    assert not made().publish_keys


def test_flag_environment_and_file() -> None:
    Path("f.toml").write_text('publish = "tcp://127.0.0.1:1"\n')
    env = {"FRAMEFAN_PUBLISH": "tcp://127.0.0.1:2"}
    assert made(config="f.toml").publish == "tcp://127.0.0.1:1"
    assert made(env, config="f.toml").publish == "tcp://127.0.0.1:2"
    assert made(env, publish="ipc://x").publish == "ipc://x"


@pytest.mark.parametrize(
    "text",
    ["tcp://127.0.0.1:0", "tcp://127.8.9.1:65535", "tcp://localhost:5555", "tcp://[::1]:5555"]
    + ["ipc:///run/results", "ipc://results"],
)
def test_this_machine_needs_no_keys(text: str) -> None:
    assert made(publish=text).publish == text


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "*", "[::]", "192.0.2.7", "lo", "eth0", "cameras.example", "[2001:db8::1]"]
)
def test_others_need_keys(host: str) -> None:
    text = f"tcp://{host}:5555"
    refuse(UsageError, f"--publish {text} without keys", "--publish-keys FOLDER", publish=text)
    settings = made(publish=text, publish_keys=keys("one"))
    assert settings.publish_keys


@pytest.mark.parametrize(
    "text",
    ["x", "tcp://", "tcp://127.0.0.1", "tcp://:5555", "tcp://127.0.0.1:", "tcp://127.0.0.1:x"]
    + ["tcp://127.0.0.1:65536", "tcp://127.0.0.1:*", "tcp://127.0.0.1:5555/x", "tcp://::1:5555"]
    + ["tcp://a;b:5555", "tcp://a b:1", "udp://127.0.0.1:5555", "ipc://", "ipc://@abstract"]
    + ["ipc://*", "ipc:///" + "x" * 107, "ipc:///a\0b", " tcp://127.0.0.1:1", "inproc://x"],
)
def test_what_is_no_endpoint(text: str) -> None:
    refuse(UsageError, "is not an endpoint", "tcp://127.0.0.1:5555", publish=text)


def test_the_runs_own_folder_is_no_place(here: Path) -> None:
    folder = here / "framefan" / "lab"
    refuse(UsageError, "own folder", publish=f"ipc://{folder}/results", name="lab")
    refuse(UsageError, "own folder", publish=f"ipc://{folder}/x/../results", name="lab")
    made(publish=f"ipc://{folder}/results", name="other")


# ---- keys ------------------------------------------------------------------------------------


def test_keys_are_read_and_shown_to_nobody() -> None:
    settings = made(publish="tcp://*:1", publish_keys=keys("one", "two"))
    secret = zmq.auth.load_certificate("keys/server.key_secret")[1]
    assert secret is not None
    public = {zmq.auth.load_certificate(f"keys/clients/{name}.key")[0] for name in ("one", "two")}
    assert settings.publish_keys.secret.reveal() == secret.decode()
    assert {each.encode() for each in settings.publish_keys.readers} == public
    assert secret.decode() not in repr(settings)
    sees = {
        stage.name: bool(processes.settings_for(stage, "demo", settings).publish_keys)
        for stage in processes.STAGES
    }
    assert sees == {"capture": False, "pool": True, "worker": False, "gateway": False}


@pytest.mark.parametrize("kind", ["file", "loop"])
def test_what_is_no_folder_of_keys(kind: str) -> None:
    if kind == "file":
        Path("keys").write_text("x")
    else:
        Path("keys").symlink_to("keys")
    refuse(
        StartError, "cannot read the folder of keys keys", publish="tcp://*:1", publish_keys="keys"
    )


def test_keys_alone_are_an_error() -> None:
    refuse(UsageError, "--publish-keys without --publish", publish_keys=keys("one"))


def _mend(error: FramefanError) -> None:
    """Do what the error says, in a shell."""
    command = error.fix.removeprefix("make them: ")
    assert command != error.fix
    subprocess.run(["sh", "-c", command], check=True, timeout=30)


@pytest.mark.parametrize("missing", ["keys", "keys/server.key_secret", "keys/clients", "reader"])
def test_what_is_missing_is_named_with_the_command_that_makes_it(missing: str) -> None:
    keys("reader")
    words = missing
    if missing == "reader":
        Path("keys/clients/reader.key").unlink()
        Path("keys/clients/reader.key_secret").unlink()
        words = "keys/clients contains no public key"
    elif Path(missing).is_dir():
        shutil.rmtree(missing)
    else:
        Path(missing).unlink()
    error = refuse(StartError, words, publish="tcp://*:1", publish_keys="keys")
    _mend(error)
    assert len(made(publish="tcp://*:1", publish_keys="keys").publish_keys.readers) == 1
    new = "keys/server" if missing.endswith("secret") else "keys/clients/reader"
    assert Path(f"{new}.key_secret").stat().st_mode & 0o077 == 0


def test_the_servers_key_outlives_the_making_of_a_readers() -> None:
    keys("reader")
    Path("keys/clients/reader.key").unlink()  # the secret one beside it lets nobody in
    before = Path("keys/server.key_secret").read_text()
    _mend(refuse(StartError, "no public key", publish="tcp://*:1", publish_keys="keys"))
    assert Path("keys/server.key_secret").read_text() == before


@pytest.mark.parametrize(
    "text",
    ["", "x", 'secret-key = "short"', f'secret-key = "{"~" * 40}"', f'secret-key = "{"é" * 40}"'],
)
@pytest.mark.parametrize("file", ["keys/server.key_secret", "keys/clients/one.key"])
def test_files_that_hold_no_key(file: str, text: str) -> None:
    keys("one")
    Path(file).write_text(text.replace("secret", "public") if file.endswith(".key") else text)
    error = refuse(StartError, file, publish="tcp://*:1", publish_keys="keys")
    assert "make" not in error.fix, "new keys would shut out who has the old ones"


def test_new_keys_take_no_others_place() -> None:
    keys("reader")
    before = {path: path.read_bytes() for path in Path("keys").rglob("*.key*")}
    command = publish.making(("keys", "server"), ("keys/clients", "reader"))
    subprocess.run(["sh", "-c", command.removeprefix("make them: ")], check=True, timeout=30)
    assert {path: path.read_bytes() for path in Path("keys").rglob("*.key*")} == before


def test_of_two_at_one_moment_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked before either listens."""
    monkeypatch.setattr(publish_listener, "_is_left_over", lambda *_: False)
    with PublishListener("ipc://place"):
        with pytest.raises(StartError, match="it is taken"):
            PublishListener("ipc://place")
        assert sorted(each.name for each in Path().glob("place*")) == ["place"]
        with socket.socket(socket.AF_UNIX) as reader:
            reader.connect("place")  # the first one's, still


def test_a_libzmq_without_curve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    keys("one")
    monkeypatch.setattr(zmq, "has", lambda capability: capability != "curve")
    refuse(StartError, "without CURVE", "pyzmq", publish="tcp://*:1", publish_keys="keys")


def test_a_public_key_is_no_secret_one() -> None:
    keys("one")
    shutil.copy("keys/server.key", "keys/server.key_secret")
    refuse(StartError, "contains no secret key", publish="tcp://*:1", publish_keys="keys")


@pytest.mark.parametrize("path", ["keys/server.key_secret", "keys/clients/one.key"])
def test_keys_that_cannot_be_read(path: str) -> None:
    keys("one")
    Path(path).unlink()
    Path(path).mkdir()
    refuse(StartError, f"cannot read the key {path}", publish="tcp://*:1", publish_keys="keys")


def test_a_folder_of_readers_that_is_none() -> None:
    keys("one")
    shutil.rmtree("keys/clients")
    Path("keys/clients").touch()
    refuse(StartError, "cannot read keys/clients", publish="tcp://*:1", publish_keys="keys")


def test_a_reload_names_no_key() -> None:
    old = made(publish="tcp://*:1", publish_keys=keys("one"))
    zmq.auth.create_certificates("keys/clients", "two")
    notes = reload_plan.plan(old, made(publish="tcp://*:2", publish_keys="keys")).notes
    assert notes == [
        "publish changed from tcp://*:1 to tcp://*:2: takes effect at the next start",
        "the keys of what is published changed: takes effect at the next start",
    ]


# ---- the socket ------------------------------------------------------------------------------


def test_any_free_port_and_every_address() -> None:
    with PublishListener("tcp://*:0") as listener:
        host, _, port = listener.endpoint.rpartition(":")
        assert host == "tcp://0.0.0.0"
        assert int(port) > 0
        with closing(socket.create_connection(("127.0.0.1", int(port)), 5)):
            pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(port)), 5)


def test_an_interface_by_its_name_as_zeromq_has_it() -> None:
    with PublishListener("tcp://lo:0") as listener:
        assert listener.endpoint.startswith("tcp://127.0.0.1:")


def test_a_port_that_is_taken_names_who_has_it() -> None:
    with PublishListener("tcp://127.0.0.1:0") as listener:
        with pytest.raises(StartError) as raised:
            PublishListener(listener.endpoint)
        text = "\n".join(raised.value.lines())
        assert listener.endpoint in text
        assert f"(pid {os.getpid()})" in text


def test_a_path_through_a_loop_of_links() -> None:
    Path("loop").symlink_to("loop")
    assert made(publish="ipc://loop/x").publish
    with pytest.raises(StartError, match="cannot publish at"):
        PublishListener("ipc://loop/x")


@pytest.mark.parametrize("text", ["tcp://192.0.2.7:5555", "tcp://nix.invalid:1", "ipc://no/dir/x"])
def test_an_address_that_is_not_ours(text: str) -> None:
    with pytest.raises(StartError, match="cannot publish at"):
        PublishListener(text)


def test_a_file_is_there_while_it_is_open(here: Path) -> None:
    with PublishListener("ipc://place") as listener:
        assert listener.endpoint == f"ipc://{here}/place"
        assert Path("place").is_socket()
    assert not Path("place").exists()


def test_a_file_that_somebody_listens_on_is_taken() -> None:
    with PublishListener("ipc://place"):
        with pytest.raises(StartError, match="taken"):
            PublishListener("ipc://place")
        assert Path("place").is_socket(), "it took it away"


def test_a_file_that_a_killed_run_left_is_replaced() -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind("place")
    with PublishListener("ipc://place"):
        pass
    assert not Path("place").exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(kind: str) -> None:
    if kind == "file":
        Path("place").write_text("mine")
    elif kind == "folder":
        Path("place").mkdir()
    else:
        Path("place").symlink_to("elsewhere")
    with pytest.raises(StartError, match="cannot publish at ipc://place"):
        PublishListener("ipc://place")
    assert Path("place").is_symlink() or Path("place").exists()


def test_a_file_that_is_somebody_elses_by_now_stays() -> None:
    with PublishListener("ipc://place"):
        Path("place").unlink()
        Path("place").write_text("mine")
    assert Path("place").read_text() == "mine"


# ---- doctor ----------------------------------------------------------------------------------


def test_doctor_says_nothing_of_what_is_not_asked_for() -> None:
    assert list(doctor_served.published(made())) == []


def test_doctor_looks_at_endpoint_and_keys() -> None:
    settings = made(publish="tcp://*:0", publish_keys=keys("one", "two"))
    Path("keys/server.key_secret").chmod(0o600)
    endpoint, found = doctor_served.published(settings)
    assert (endpoint.level, found.level) == (Level.OK, Level.OK)
    assert found.text == "keys admits 2 readers"
    Path("keys/server.key_secret").chmod(0o640)
    _, loose, _ = doctor_served.published(settings)
    assert (loose.level, loose.cure) == (Level.WARN, "chmod 600 keys/server.key_secret")
    with PublishListener("ipc://place"):
        (taken,) = doctor_served.published(made(publish="ipc://place"))
    assert taken.level is Level.PROBLEM
    assert not Path("place").exists()


def test_the_making_command_quotes_its_folders() -> None:
    assert publish.making(("it's", "server")).endswith(""" 'it'"'"'s' server)""")


def test_of_two_starts_that_find_one_socket_left_over_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with publish_listener._alone_in(tmp_path, f"ipc://{path}"):  # it has not bound yet
        with pytest.raises(StartError, match="taken"):
            publish_listener._unix(path, f"ipc://{path}")
        assert path.exists()
    sock = publish_listener._unix(path, f"ipc://{path}")
    with pytest.raises(StartError, match="taken"):
        publish_listener._unix(path, f"ipc://{path}")
    sock.close()
