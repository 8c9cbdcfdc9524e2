"""The snippets of docs/clients.md, run as they stand (but for the port) against a real run."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
from functools import cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import pytest
from runs import Run
from waiting import SCALE

from framefan.base.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

DOCUMENT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
ADDRESS = "127.0.0.1:8765"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PRINTED = re.compile(r"front (\d+)((?: motion)*)")
NODE = Path(sys.prefix) / "node-clients"
"""Packages for Node, installed once into the environment's own folder."""
NODE_PACKAGES = ["ws@8", "wscat@6", "undici@6", "protobufjs@8"]
ENOUGH = 20
OURS = ["framefan.client"] * 2
OTHERS = {
    "Python, websockets": "websockets",
    "Python without asyncio, websockets": "websockets",
    "Python, aiohttp": "aiohttp",
    "Python without asyncio, httpx-ws": "httpx-ws",
    "Python without asyncio, websocket-client": "websocket-client",
}
"""Python's sections, with their row of the table of tokens."""
ACK = re.compile(
    r"^def on_open.*\n.*handled.*\n\n\n" r"|^.*(?:handled|on_open=).*\n" r"|\?ack=auto|&ack=auto",
    re.MULTILINE,
)
"""What tells the gateway how far a client is, and may be left out."""


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}[^\n]*\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def snippets(heading: str) -> list[tuple[str, str]]:
    """Language and text of each."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", section(heading), re.DOTALL | re.MULTILINE)


def snippet(heading: str, number: int = 0) -> str:
    return snippets(heading)[number][1]


def without_ack(text: str) -> str:
    """As a client that acknowledges nothing."""
    shorter = ACK.sub("", text)
    assert shorter != text
    assert "ack" not in shorter.replace("background", "")
    return shorter


@cache
def tokens() -> dict[str, str]:
    """By client, what to add behind the address."""
    rows = re.findall(r"^\| ([^|]+) \| `(.+)` \|$", section("With a token"), re.MULTILINE)
    return dict(rows)


def with_token(text: str, client: str) -> str:
    """The address's string gets a neighbour; in a shell, another word."""
    added, argument = tokens()[client], re.escape(ADDRESS) + r"/ws(?:\?ack=auto)?"
    if re.search(f'{argument}"', text):
        return re.sub(f'({argument}")', lambda found: f"{found[1]}, {added}", text)
    return re.sub(f"({argument})", lambda found: f"{found[1]} {added}", text)


class Served(NamedTuple):
    run: Run
    origin: str
    folder: Path
    """What lies here is served at `origin`."""
    token_file: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with _served(tmp_path_factory.mktemp("open")) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run that asks for a token."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text("TOKEN\n")
    with _served(folder, "--token-file", str(folder / "token")) as served:
        yield served


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _served(folder: Path, *arguments: str) -> Iterator[Served]:
    site = folder / "site"
    site.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    origin = f"http://127.0.0.1:{server.server_port}"
    try:
        with Run("front=demo?size=160x120", "-w", "1", "--origin", origin, *arguments) as run:
            yield Served(run, origin, site, folder / "token")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def node() -> Path:
    if not all((NODE / "node_modules" / each.split("@")[0]).exists() for each in NODE_PACKAGES):
        NODE.mkdir(exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--silent"]
        subprocess.run(
            ["npm", "install", "--prefix", str(NODE), *quiet, *NODE_PACKAGES],
            check=True,
            timeout=110,
        )
    return NODE


def printed(
    command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None
) -> list[str]:
    """The first lines of a program that goes on for ever, which is then ended."""
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # open: some clients end with their input
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            said = read_lines(process.stdout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        complaints.seek(0)
        assert len(said) >= ENOUGH, (said, complaints.read().decode(errors="replace"))
    return said[:ENOUGH]


def read_lines(stream: IO[bytes] | None) -> list[str]:
    """As many as are wanted, unless it ends before or the time is over."""
    assert stream is not None
    said, deadline = b"", now() + 45 * SCALE
    while said.count(b"\n") < ENOUGH and now() < deadline:
        if select.select([stream], [], [], 0.1)[0]:
            data = os.read(stream.fileno(), 65536)
            if not data:
                break
            said += data
    return said.decode().split("\n")[:-1]


def assert_results(lines: list[str]) -> None:
    """Each in the form that the document shows; numbers rise, and something was seen."""
    found = [PRINTED.fullmatch(line) for line in lines]
    assert all(found), lines
    seqs = [int(each[1]) for each in found if each]
    assert seqs == sorted(set(seqs)), seqs
    assert any(each[2] for each in found if each), lines


def on_port(served: Served, text: str) -> str:
    assert ADDRESS in text
    return text.replace(ADDRESS, f"127.0.0.1:{served.run.port}")


def run_python(served: Served, text: str, tmp_path: Path) -> None:
    program = tmp_path / "client.py"
    program.write_text(on_port(served, text))
    assert_results(printed([sys.executable, str(program)], cwd=tmp_path))


def run_node(served: Served, text: str, tmp_path: Path, node: Path, *switches: str) -> None:
    program = tmp_path / "client.js"
    program.write_text(on_port(served, text))
    where = {"NODE_PATH": str(node / "node_modules")}
    assert_results(printed(["node", *switches, str(program)], env=where))


def run_wscat(served: Served, text: str, node: Path) -> None:
    lines = printed(["sh", "-c", on_port(served, text)], cwd=node)
    assert {json.loads(line)["camera"] for line in lines} == {"front"}


def run_watch(served: Served, text: str) -> None:
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", on_port(served, text)],
        env=os.environ | {"PATH": here},
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        check=False,
    )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(messages) == 100, done.stderr
    assert {each["camera"] for each in messages if each["type"] == "result"} == {"front"}
    assert done.stderr == ""


def test_every_snippet_is_run_here() -> None:
    languages = [language for language, _ in re.findall(r"^```(\w+)\n(.)", DOCUMENT, re.MULTILINE)]
    python = ["python"] * (len(OURS) + len(OTHERS) + 1)
    tested = [*python, "html", *["javascript"] * 3, "sh", "sh", "javascript"]
    assert languages == tested
    assert DOCUMENT.count("```") == 2 * len(tested)
    assert len(tokens()) == 8


@pytest.mark.parametrize("number", range(len(OURS)))
def test_our_own(served: Served, number: int, tmp_path: Path) -> None:
    run_python(served, snippet("Python", number), tmp_path)


@pytest.mark.parametrize("number", range(len(OURS)))
def test_our_own_with_a_token(guarded: Served, number: int, tmp_path: Path) -> None:
    run_python(guarded, with_token(snippet("Python", number), OURS[number]), tmp_path)


@pytest.mark.parametrize("heading", OTHERS)
def test_python(served: Served, heading: str, tmp_path: Path) -> None:
    run_python(served, snippet(heading), tmp_path)


@pytest.mark.parametrize("heading", OTHERS)
def test_python_without_ack(served: Served, heading: str, tmp_path: Path) -> None:
    run_python(served, without_ack(snippet(heading)), tmp_path)


def test_pictures(served: Served, tmp_path: Path) -> None:
    run_python(served, snippet("Pictures"), tmp_path)
    assert (tmp_path / "front.jpg").read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize(("heading", "client"), OTHERS.items())
def test_python_with_a_token(guarded: Served, heading: str, client: str, tmp_path: Path) -> None:
    run_python(guarded, with_token(snippet(heading), client), tmp_path)


PROTOBUF = "Protocol Buffers, in Node"
NODES = ["Node, ws", "Node, undici"]


@pytest.mark.node
@pytest.mark.parametrize("heading", NODES)
def test_node(served: Served, heading: str, tmp_path: Path, node: Path) -> None:
    run_node(served, snippet(heading), tmp_path, node)


@pytest.mark.node
@pytest.mark.parametrize("heading", NODES)
def test_node_without_ack(served: Served, heading: str, tmp_path: Path, node: Path) -> None:
    run_node(served, without_ack(snippet(heading)), tmp_path, node)


@pytest.mark.node
def test_protobuf_in_node(served: Served, tmp_path: Path, node: Path) -> None:
    run_node(served, snippet(PROTOBUF), tmp_path, node)


@pytest.mark.node
def test_protobuf_in_node_without_ack(served: Served, tmp_path: Path, node: Path) -> None:
    run_node(served, without_ack(snippet(PROTOBUF)), tmp_path, node)


@pytest.mark.node
def test_nodes_own(served: Served, tmp_path: Path, node: Path) -> None:
    """Before version 22 it has to be switched on."""
    first, _, rest = snippet("Node, undici").partition("\n")
    assert first == 'const {WebSocket} = require("undici");'
    version = subprocess.check_output(["node", "--version"], text=True)
    switches = [] if int(version[1:].split(".")[0]) >= 22 else ["--experimental-websocket"]
    run_node(served, rest, tmp_path, node, *switches)


@pytest.mark.node
@pytest.mark.parametrize("heading", NODES)
def test_node_with_a_token(guarded: Served, heading: str, tmp_path: Path, node: Path) -> None:
    run_node(guarded, with_token(snippet(heading), "Node"), tmp_path, node)


def test_framefan_watch(served: Served) -> None:
    run_watch(served, snippet("Shell", 0))


def test_framefan_watch_with_a_token(guarded: Served) -> None:
    text = with_token(snippet("Shell", 0), "framefan watch")
    run_watch(guarded, text.replace("FILE", str(guarded.token_file)))


@pytest.mark.node
def test_wscat(served: Served, node: Path) -> None:
    run_wscat(served, snippet("Shell", 1), node)


@pytest.mark.node
def test_wscat_with_a_token(guarded: Served, node: Path) -> None:
    run_wscat(guarded, with_token(snippet("Shell", 1), "wscat"), node)


@pytest.fixture
def page() -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_page()
        browser.close()


def assert_shown(served: Served, page: Page, text: str) -> None:
    (served.folder / "client.html").write_text(on_port(served, text))
    page.goto(f"{served.origin}/client.html")
    lines = []
    for _ in range(3):
        page.wait_for_function(
            "old => { const text = document.querySelector('pre').textContent;"
            " return text.includes('motion') && text !== old; }",
            arg=lines[-1] if lines else "",
            timeout=45_000 * SCALE,
        )
        lines.append(page.inner_text("pre"))
    # Between the look and the reading the page may have moved on to a result of nothing.
    assert all(PRINTED.fullmatch(line.strip()) for line in lines), lines


@pytest.mark.chromium
def test_browser(served: Served, page: Page) -> None:
    assert_shown(served, page, snippet("Browser"))


@pytest.mark.chromium
def test_browser_without_ack(served: Served, page: Page) -> None:
    assert_shown(served, page, without_ack(snippet("Browser")))


@pytest.mark.chromium
def test_browser_with_a_token(guarded: Served, page: Page) -> None:
    made = '/ws?ack=auto");\n'
    text = snippet("Browser")
    assert made in text
    assert_shown(guarded, page, text.replace(made, made + snippet("With a token")))
