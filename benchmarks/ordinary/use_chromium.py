"""Ordinary pages in one real Chromium, each in a renderer process of its own.

The argument has `pages`: what each of them is asked for. A page's script is kept busy by a
synchronous request to this process, which answers it when the handler's time is over: nothing else
of the page runs meanwhile, and no core is used up. What a page tells comes with that request.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from observing import Observer
from playwright.sync_api import sync_playwright

PAGE = """([number, asked, door]) => {
  let handled = 0, began = 0;
  const pauses = asked.pauses ?? [];
  const now = () => performance.now() / 1000;
  function tell(facts, seconds) {
    const request = new XMLHttpRequest();
    request.open("POST", `${door}/${seconds}`, false);
    const wall = (performance.timeOrigin + performance.now()) / 1000;
    request.send(JSON.stringify({page: number, wall, ...facts}));
  }
  function takes() {
    const second = now() - began;
    const steps = asked.handler ?? [[0, 0]];
    const found = steps.filter(([from]) => second >= from).at(-1)[1];
    return pauses.length && second >= pauses[0][0] ? pauses.shift()[1] : found;
  }
  function connect() {
    const socket = new WebSocket(asked.url + (asked.ack ? `?ack=${asked.ack}` : ""));
    socket.onopen = () => {
      handled = 0;
      began ||= now();
      tell({event: "opened"}, 0);
    };
    socket.onclose = ({code, reason}) => {
      tell({event: "closed", why: `${code} ${reason}`}, 0);
      setTimeout(connect, 500);
    };
    socket.onmessage = ({data}) => {
      const {type, camera, epoch, seq, missed, ts, state} = JSON.parse(data);
      handled += 1;
      if (type === "result") tell({camera, epoch, seq, missed, ts}, takes());
      else tell({event: type, camera, epoch, state}, 0);
      if (asked.ack) socket.send(JSON.stringify({ack: handled}));
    };
  }
  connect();
}"""
_write = threading.Lock()


class Door(BaseHTTPRequestHandler):
    """Prints what a page tells, and answers as late as the path says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told["at"] = told["wall"] + time.monotonic() - time.time()
        with _write:
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
        time.sleep(float(self.path.strip("/")))
        self.send_response(204)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Standard error is for errors."""


def main() -> None:
    pages = json.loads(sys.argv[1])["pages"]
    Observer(json.dumps(pages[0]))  # ends with who started it
    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for number, asked in enumerate(pages):
            page = browser.new_context(bypass_csp=True).new_page()
            page.goto(asked["url"].replace("ws", "http", 1).removesuffix("ws") + "healthz")
            page.evaluate(PAGE, [number, asked, f"http://127.0.0.1:{door.server_port}"])
        sys.stdin.read()
        browser.close()


main()
