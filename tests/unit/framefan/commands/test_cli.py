"""The command line as a person meets it: a process, its exit code and what it prints."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys

import msgspec
import pytest

from framefan.commands import cli


def framefan(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "framefan", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | env,
        check=False,
    )


@pytest.fixture(autouse=True)
def _runtime(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


BAD = [
    (2, ["--wokers", "3"], "Did you mean --workers?"),
    (2, ["--workers", "three"], "three"),
    (2, ["--workers"], "--workers"),
    (2, ["--workers", "1.5"], "not a whole number"),
    (2, ["--port", "1.9"], "not a whole number"),
    (2, ["once", "demo", "demo"], "demo"),
    (2, ["--mode", "evry"], 'Did you mean "every"?'),
    (2, ["ftp://h/x"], "ftp"),
    (2, ["-p", "moton"], "did you mean motion?"),
    (2, ["--mode", "every", "rtsp://u:hunter2@h/x"], "live stream"),
    (2, ["--host", "0.0.0.0"], "--token-file"),
    (2, ["--publish", "tcp://0.0.0.0:1"], "--publish-keys FOLDER"),
    (2, ["status", "--nmae", "x"], "--name"),
    (2, ["status", "--name", "X"], '"X"'),
    (2, ["once", "ftp://h/x"], "ftp"),
    (2, ["scale", "0"], "the number of workers cannot be 0"),
    (2, ["scale", "three"], "`framefan scale --help`"),
    (2, ["scale", "2", "3"], "`framefan scale` takes no argument: 3"),
    (2, ["status", "front"], "`framefan status` takes no argument: front"),
    (2, ["once", "--", "-dash.mp4", "-p", "x.py:y"], "`framefan once` takes no argument: -p"),
    (
        2,
        ["once", "-p", "x.py:y", "--", "-dash.mp4", "-p", "x.py:y"],
        "every word is a source",
    ),
    (2, ["once", "-"], 'does not read from "-"'),
    (2, ["run", "--", "-"], 'does not read from "-"'),
    (3, ["run", "--", "-x.mp4", "-p", "x.py:y"], "cannot read the source -x.mp4"),
    (3, ["nix.mp4"], "No such file"),
    (3, ["run", "nix.mp4"], "No such file"),
    (3, ["once", "nix.mp4"], "No such file"),
    (3, ["-p", "nix.py:Name"], "nix.py"),
    (3, ["help"], "did you mean `framefan --help`?"),
    (3, ["--config", "nix.toml"], "nix.toml"),
    (1, ["status"], "no framefan of this user is running"),
]


@pytest.mark.parametrize(("code", "arguments", "words"), BAD)
def test_bad_input(capfd, code: int, arguments: list[str], words: str) -> None:
    assert cli.execute(arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("framefan: ")
    heads = [line[: line.index(": ") + 2].strip() for line in err.splitlines()]
    assert heads == ["framefan:", "why:", "do:"]
    assert "Traceback" not in err
    assert "hunter2" not in err


USAGE = {
    "run": "[SOURCE ...] [OPTIONS]",
    "doctor": "[SOURCE ...] [OPTIONS]",
    "once": "[SOURCE] [OPTIONS]",
    "status": "[OPTIONS]",
    "reload": "[OPTIONS]",
    "scale": "[WORKERS] [OPTIONS]",
    "swap": "PREDICTOR [OPTIONS]",
    "watch": "[URL] [OPTIONS]",
    "top": "[URL] [OPTIONS]",
}


@pytest.mark.parametrize("command", USAGE)
def test_usage_says_what_a_command_takes(capfd, command: str) -> None:
    cli.execute([command, "--help"])
    first = capfd.readouterr().out.splitlines()[0]
    assert first == f"Usage: framefan {command} {USAGE[command]}"


def test_a_taken_port_before_anything_starts(capfd, monkeypatch) -> None:
    from framefan.ipc import processes

    monkeypatch.setattr(processes, "name_this", lambda _: None)
    monkeypatch.setattr(processes, "Child", None)  # it would fail loudly
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.execute(["--port", str(port)]) == 3
    assert f"port {port} is taken" in capfd.readouterr().err


def test_tracebacks_are_for_debug_only() -> None:
    done = framefan("nix.mp4", "--log-level", "debug")
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert "framefan: cannot read the source" in done.stderr
    assert "Traceback" not in framefan("nix.mp4", "--log-level", "info").stderr
    assert "Traceback" in framefan("nix.mp4", FRAMEFAN_LOG_LEVEL="debug").stderr


def test_an_error_of_our_own_is_a_line_too(monkeypatch, capfd) -> None:
    import framefan.config.configure

    def broken(*_: object) -> None:
        raise ZeroDivisionError("rtsp://u:hunter2@h/x")

    monkeypatch.setattr(framefan.config.configure, "configure", broken)
    assert cli.execute([]) == 1
    said = capfd.readouterr().err
    assert "ZeroDivisionError" in said
    assert "hunter2" not in said
    assert "Traceback" not in said


def computed_s(*command: str) -> float:
    """What a command computes, in seconds; how busy the machine is does not matter much."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_lists_what_there_is_and_is_quick() -> None:
    done = framefan("--help")
    assert done.returncode == 0
    for word in (
        "--workers",
        "--predictor",
        "--track",
        "--port",
        "--publish",
        "--publish-keys",
        "--duration",
        "doctor",
        "once",
        "status",
    ):
        assert word in done.stdout
    libraries = "import cyclopts.help, rich.console, rich.table, rich.panel"
    printed = (sys.executable, "-m", "framefan", "--help")
    both = [(computed_s(sys.executable, "-c", libraries), computed_s(*printed)) for _ in range(5)]
    theirs, ours = (min(each) for each in zip(*both, strict=True))
    assert ours < 2.5 * theirs, "1.7 on a quiet machine"


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from framefan.commands.cli import execute; execute(['--help']);"
        "heavy = {'cv2', 'numpy', 'zmq', 'websockets', 'asyncio', 'msgspec'};"
        "print('LOADED', heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED set()" in done.stdout


@pytest.mark.parametrize("command", ["run", "doctor", "once", "status"])
def test_no_command_shows_an_address_in_the_process_list(command: str) -> None:
    look = (
        "import psutil; from framefan.commands import cli;"
        "cli.execute = lambda tokens: print(psutil.Process().cmdline(), tokens[0]) or 0;"
        "cli.main()"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", look, command, "front=rtsp://u:hunter2@h/x"], text=True
    )
    assert command in said, "the command itself is given the same arguments"
    assert "framefan" in said
    assert "hunter2" not in said


def test_version_and_predictors() -> None:
    assert framefan("--version").stdout.startswith("framefan 0.")
    assert "motion" in framefan("predictors").stdout


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "framefan", "predictors"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_sigint_before_the_run_has_begun_is_quiet(monkeypatch, capfd) -> None:
    import framefan.config.configure

    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(framefan.config.configure, "configure", interrupted)
    assert cli.execute([]) == 130
    assert capfd.readouterr().err == ""


def test_doctor_finds_all_well_and_names_what_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        bad = framefan("doctor", "--port", str(port))
    assert bad.returncode == 1
    (line,) = [line for line in bad.stdout.splitlines() if line.startswith("problem")]
    assert f"port {port} is taken" in line
    assert "->" in line
    good = framefan("doctor", "--port", "0")
    assert good.returncode == 0, good.stdout
    assert "FFMPEG" in good.stdout
    assert "motion loads" in good.stdout


def test_status_of_a_bus_that_answers() -> None:
    """A publisher that plays the pool: XPUB hears the subscription and answers it."""
    import threading

    from fake_stage import table

    from framefan.ipc import bus
    from framefan.settings.run import Limits
    from framefan.supervisor.rundir import RunDir

    with RunDir("played") as place:
        sock = bus.publisher(Limits())
        sock.bind(f"ipc://{place.path}/results")

        def answer() -> None:
            while not sock.recv().startswith(b"\x01"):
                pass  # the one before has left
            sock.send_multipart([b"state/", b"no record"])
            sock.send_multipart([b"state/", msgspec.msgpack.encode(table(7))])

        done = []
        for form in (["--json"], []):
            thread = threading.Thread(target=answer)
            thread.start()
            done.append(framefan("status", "--name", "played", *form))
            thread.join(10)
        sock.close()
    as_json, readable = done
    assert json.loads(as_json.stdout)["cameras"]["demo"]["captured"] == 7
    assert readable.returncode == 0
    assert "demo" in readable.stdout
    assert "superseded" in readable.stdout, "all columns fit into 80 characters"


def test_status_of_a_run_that_does_not_answer() -> None:
    from framefan.supervisor.rundir import RunDir

    with RunDir("mute"):
        done = framefan("status", "--name", "mute")
        other = framefan("status", "--name", "else")
    assert done.returncode == 1
    assert "did not answer within 2 s" in done.stderr
    assert other.returncode == 1
    assert "running: mute" in other.stderr
