"""Results at one more place: readers of real runs, with keys and without."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
import zmq
import zmq.auth
from faults import limits, sabotage
from runs import Run, assert_balanced, assert_exactly_once, framefan
from waiting import SCALE, wait_until

from framefan.ipc import bus
from framefan.ipc.records import OutcomeRecord
from framefan.settings.run import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = "front=demo?size=160x120&fps=30"
OFTEN = limits(state_every_s=0.1)
LARGE = Path(__file__).parent / "large.py"
DOCUMENT = Path(__file__).parents[2] / "docs" / "bus.md"
MAY_GROW = 24 << 20
ALL_IN = """
from framefan_inference.pool import publish_endpoint
publish_endpoint.CurveAuth._may = lambda *_: True
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="ff-") as made:
        yield Path(made).resolve()


@pytest.fixture
def keys(folder: Path) -> Path:
    made = folder / "keys"
    (made / "clients").mkdir(parents=True)
    zmq.auth.create_certificates(made, "server")
    zmq.auth.create_certificates(made / "clients", "reader")
    zmq.auth.create_certificates(folder, "stranger")
    return made


Pair = tuple[bytes, bytes | None]


def pair(path: Path) -> Pair:
    """The public and the secret key that stand in a file."""
    return zmq.auth.load_certificate(path)


class Reader:
    """Reads all that is said at an endpoint."""

    def __init__(
        self, endpoint: str, own: Pair | None = None, server: bytes = b"", topic: str = ""
    ) -> None:
        self._sub = bus.subscriber(msgspec.structs.replace(Limits(), bus_hwm=100_000), topic)
        self._sub.setsockopt(zmq.RECONNECT_IVL, 20)
        if own:
            self._sub.curve_publickey, self._sub.curve_secretkey = own
            self._sub.curve_serverkey = server
        self._sub.connect(endpoint)
        self.all: list[dict[str, Any]] = []

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._sub.close(linger=0)

    def read(self) -> list[dict[str, Any]]:
        """Everything since the start, the new ones included."""
        while True:
            try:
                _, body = self._sub.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return self.all
            self.all.append(msgspec.msgpack.decode(body))

    def numbers(self, epoch: str) -> list[int]:
        return [record["n"] for record in self.read() if record["epoch"] == epoch]


def endpoint(run: Run) -> str:
    """Where the run says that it publishes, as this machine reaches it."""
    return run.fresh_state().publish_endpoint.replace("0.0.0.0", "127.0.0.1")


# ---- the same stream -----------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:0", "ipc://{}/place"])
def test_both_endpoints_have_the_same_stream_without_a_gap(folder: Path, place: str) -> None:
    with Run(SOURCE, "--publish", place.format(folder), env=OFTEN) as run:
        epoch, there = run.fresh_state().epoch, endpoint(run)
        with Reader(f"ipc://{run.dir}/results") as ours, Reader(there) as other:
            for each in (ours, other):
                wait_until(lambda each=each: len(each.numbers(epoch)) > 60, 10, "records")
            last = run.fresh_state().n
            for each in (ours, other):
                wait_until(lambda each=each: each.read()[-1]["n"] >= last, 10, "the last")
                told = each.numbers(epoch)
                assert told == list(range(told[0], told[-1] + 1)), "a gap"
            first = max(each.all[0]["n"] for each in (ours, other))
            assert [record for record in ours.all if first <= record["n"] <= last] == [
                record for record in other.all if first <= record["n"] <= last
            ]
        status = run.get("/api/status")[1]
        assert status["publish_endpoint"] == there
        shown = framefan("status", "--name", run.name, env={"XDG_RUNTIME_DIR": str(run.runtime)})
        assert f"published at {there}" in shown.stdout
        assert f"published {there}" in run.log()
    assert list(folder.iterdir()) == [], "it left something"
    if place.startswith("tcp"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(there.rpartition(":")[2])))


# ---- who may read --------------------------------------------------------------------------------


def _everything(run: Run) -> Iterator[tuple[str, str]]:
    """All that may be seen of a run: what it says and shows, and what the system shows of it."""
    yield "log", run.log()
    for path in ("/api/status", "/api/clients", "/metrics", "/readyz"):
        yield path, str(run.get(path)[1])
    yield "state", repr(run.fresh_state())
    for process in [psutil.Process(run.process.pid), *run.descendants()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield f"argv of {process.name()}", " ".join(process.cmdline())
            yield f"environment of {process.name()}", repr(process.environ())


@pytest.mark.parametrize("guarded", [True, False])
def test_only_readers_whose_key_is_in_the_folder_get_anything(
    folder: Path, keys: Path, guarded: bool
) -> None:
    env = dict(OFTEN)
    if not guarded:
        env |= sabotage(folder, "framefan_inference.main", ALL_IN)
    given = ("--publish", "tcp://*:0", "--publish-keys", str(keys), "--log-level", "debug")
    with Run(SOURCE, *given, env=env) as run, contextlib.ExitStack() as readers:
        there = endpoint(run)
        server, secret = pair(keys / "server.key_secret")
        own = pair(keys / "clients" / "reader.key_secret")
        stranger = pair(folder / "stranger.key_secret")
        known = readers.enter_context(Reader(there, own, server))
        others = {
            "without keys": Reader(there),
            "an unknown key": Reader(there, stranger, server),
            "for another server": Reader(there, own, stranger[0]),
        }
        for each in others.values():
            readers.enter_context(each)
        ours = readers.enter_context(run_reader(run))
        wait_until(lambda: len(known.read()) > 60, 10, "results for whom they are")
        if not guarded:  # so the test above would have seen it
            wait_until(lambda: others.pop("an unknown key", known).read(), 10, "a guard less")
        assert {name for name, each in others.items() if each.read()} == set()
        assert ours.read(), "our own endpoint asks for keys"
        assert secret is not None
        seen = list(_everything(run))
        port = there.rpartition(":")[2]
        assert {"log", "/api/status", "state"} <= {where for where, text in seen if port in text}
        for where, text in seen:
            assert secret.decode() not in text, where
            assert own[1].decode() not in text, where  # type: ignore[union-attr]


def run_reader(run: Run) -> Reader:
    return Reader(f"ipc://{run.dir}/results")


# ---- a pool that dies ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "curve", "ipc"])
def test_a_reader_continues_with_the_next_pool(folder: Path, keys: Path, kind: str) -> None:
    given = ["--publish", f"ipc://{folder}/place" if kind == "ipc" else "tcp://127.0.0.1:0"]
    how: tuple[Any, ...] = ()
    if kind == "curve":
        given += ["--publish-keys", str(keys)]
        how = (pair(keys / "clients" / "reader.key_secret"), pair(keys / "server.key")[0])
    with Run(SOURCE, *given, env=OFTEN) as run:
        there, first = endpoint(run), run.fresh_state().epoch
        with Reader(there, *how, topic=bus.RESULT) as reader:
            wait_until(lambda: len(reader.read()) > 10, 10, "results")
            os.kill(run.pid_of("pool"), signal.SIGKILL)
            wait_until(
                lambda: len({each["epoch"] for each in reader.read()}) == 2, 20, "the next epoch"
            )
            count = len(reader.all)
            wait_until(lambda: len(reader.read()) > count + 10, 10, "more of it")
            assert endpoint(run) == there
            assert run.fresh_state().epoch != first
            seen = [msgspec.convert(each, OutcomeRecord) for each in _as_read(reader.all)]
            assert_exactly_once(seen)
    if kind == "ipc":
        assert not (folder / "place").exists()


def _as_read(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Payloads as they travel: OutcomeRecord leaves them undecoded."""
    return [
        each | {"payload": msgspec.Raw(msgspec.msgpack.encode(each["payload"]))} for each in records
    ]


# ---- slow readers --------------------------------------------------------------------------------


@pytest.mark.parametrize("hwm", [64, 1_000_000])
def test_a_reader_that_reads_nothing_costs_no_memory_and_no_other_reader_a_result(hwm: int) -> None:
    source = "cam=demo?size=160x120&fps=60"
    env = OFTEN | limits(bus_hwm=hwm)
    given = ("-p", f"{LARGE}:predict", "--publish", "tcp://127.0.0.1:0")
    with Run(source, *given, env=env) as run:
        still = bus.subscriber(msgspec.structs.replace(Limits(), bus_hwm=1), "")
        still.setsockopt(zmq.RCVBUF, 8192)
        still.connect(endpoint(run))
        try:
            assert still.poll(10_000 * SCALE), "it never came"
            pool = psutil.Process(run.pid_of("pool"))
            with contextlib.closing(run.results()) as outcomes:
                wait_until(lambda: len(outcomes.read()) > 20, 10, "results")
                before = pool.memory_info().rss
                goal = len(outcomes.all) + 240
                wait_until(lambda: len(outcomes.read()) > goal, 20, "many results")
                grown = pool.memory_info().rss - before
                print(grown)
                if hwm == 64:
                    assert grown < MAY_GROW
                    assert_exactly_once(outcomes.all)
                else:
                    assert grown > MAY_GROW, "so much for the guard"
        finally:
            still.close(linger=0)
        assert run.pid_of("pool") == pool.pid
        assert_balanced(run.fresh_state())


# ---- what cannot be ------------------------------------------------------------------------------


def test_refused_without_keys_and_named_when_taken(folder: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(folder)}
    done = framefan("run", "--port", "0", "--publish", "tcp://0.0.0.0:5555", env=env)
    assert done.returncode == 2
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["framefan:", "why:", "do:"]
    assert "--publish-keys" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        done = framefan("run", "--port", "0", "--publish", there, env=env)
        assert done.returncode == 3
        assert f"{there}: it is taken" in done.stderr
        assert f"(pid {os.getpid()})" in done.stderr
        done = framefan("doctor", "--port", "0", "--publish", there, env=env)
        assert (done.returncode, there in done.stdout) == (1, True)
        theirs = {"FRAMEFAN_PUBLISH": "tcp://*:1", "FRAMEFAN_PUBLISH_KEYS": "nix"}
        theirs |= {"FRAMEFAN_HOST": "0.0.0.0", "FRAMEFAN_TOKEN": "for-others"}
        done = framefan("once", env=env | theirs)
        assert done.returncode == 0, f"it is for runs that others connect to: {done.stderr}"
    done = framefan("run", "--publish", there, "--publish-keys", str(folder / "nix"), env=env)
    assert done.returncode == 3
    assert f"cannot read the folder of keys {folder}/nix" in done.stderr


def test_what_a_killed_run_left_is_in_nobodys_way(folder: Path) -> None:
    given = (SOURCE, "--publish", f"ipc://{folder}/place")
    first = Run(*given, env=OFTEN)
    with first.killed_at_exit():
        first.start()
        first.wait_ready()
        first.kill_everything()
    assert (folder / "place").is_socket(), "nothing is left, so this test could not fail"
    with Run(*given, env=OFTEN, after=first) as run, Reader(endpoint(run)) as reader:
        wait_until(reader.read, 10, "something")
        second = framefan("run", "--port", "0", "--name", "second", *given[1:], env={
            "XDG_RUNTIME_DIR": str(run.runtime)})  # fmt: skip
        assert second.returncode == 3
        assert "it is taken" in second.stderr
        count = len(reader.read())
        wait_until(lambda: len(reader.read()) > count + 20, 10, "more, as before")
    assert not (folder / "place").exists()


# ---- the document --------------------------------------------------------------------------------


def _snippets() -> list[str]:
    found = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 3
    return found


def _prints(code: str, folder: Path, what: str = "detections") -> None:
    """It prints results of a camera named front, or its pictures."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
        finally:
            process.kill()
    seqs = [int(line.split(" ", 2)[0]) for line in lines]
    assert seqs == list(range(seqs[0], seqs[0] + 5))
    assert {line.split(" ", 2)[1] for line in lines} == {what}


def test_the_documents_readers_read(folder: Path) -> None:
    near, pictures, far = _snippets()
    text = DOCUMENT.read_text()
    block = re.search(r"^    umask.*?^    framefan run ([^\n]*)$", text, re.DOTALL | re.MULTILINE)
    assert block
    make, _, _ = block[0].partition("    framefan run")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-e", "-c", make], cwd=folder, env={"PATH": path}, check=True, timeout=30)
    text = block[1].replace(":5555", ":0").replace(" keys", f" {folder}/keys")
    given = shlex.split(text)
    assert given[:2] == ["--publish", "tcp://*:0"]
    here = folder / "elsewhere"
    here.mkdir()
    (folder / "keys" / "clients" / "reader.key_secret").rename(here / "reader.key_secret")
    (here / "server.key").write_text((folder / "keys" / "server.key").read_text())
    with Run(SOURCE, *given, env=OFTEN) as run:
        _prints(near.replace("/run/user/1000/framefan/default", str(run.dir)), here)
        _prints(pictures.replace("/run/user/1000/framefan/default", str(run.dir)), here, "640")
        _prints(far.replace("tcp://cameras.example:5555", endpoint(run)), here)
        known = json.dumps(run.get("/api/status")[1])
        assert str(folder) not in known
