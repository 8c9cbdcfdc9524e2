// The connection to the gateway: messages, commands, and reconnecting.

import { Acks } from "./ack.js";

const RETRY_FIRST_MS = 500;
const RETRY_CAP_MS = 10000;
const CLOSED = {
  1001: "the server was stopped",
  1008: "this page sent too much",
  4408: "this page fell too far behind",
  4409: "this page did not answer for a minute",
};
const BAD_REQUEST = 4400;
const UNAUTHORISED = 4401;
const KEY = "framefan-token";

const text = new TextDecoder();

// The token comes from the URL's fragment, which is never sent, or from the form; this tab keeps it.
export function token() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.has("token")) {
    sessionStorage.setItem(KEY, fragment.get("token"));
    fragment.delete("token");
    const rest = fragment.size ? `#${fragment}` : location.pathname + location.search;
    history.replaceState(null, "", rest);
  }
  return sessionStorage.getItem(KEY) || "";
}

export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

// GET a path relative to this page, with the token if there is one.
export function get(path, options = {}) {
  const shown = token();
  const headers = shown ? { Authorization: `Bearer ${shown}` } : {};
  return fetch(path, { ...options, headers });
}

// Why the server refuses a WebSocket from this page, if it does. A browser does not show a page the
// answer to a handshake; a POST has the same Origin, and its answer may be read.
async function refusal() {
  try {
    const answer = await get("ws", { method: "POST" });
    return answer.status === 403 ? (await answer.json()).error : "";
  } catch {
    return "";
  }
}

async function needsToken() {
  try {
    return (await get("api/status", { method: "HEAD" })).status === 401;
  } catch {
    return false;
  }
}

// A result and the picture of its frame: a length, the result's JSON, a JPEG.
export function parsePicture(data) {
  const length = new DataView(data).getUint32(0);
  const message = JSON.parse(text.decode(new Uint8Array(data, 4, length)));
  return { message, jpeg: new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }) };
}

export class Feed {
  // handlers: message(m), picture(m, jpeg), state(name, words, seconds), opened(), refused(why),
  // door(why); `seconds`: until the next try, if there is one
  constructor(handlers) {
    this.handlers = handlers;
    this.wanted = { cameras: null, preview: 0 };
    this.retryMs = RETRY_FIRST_MS;
    this.commands = 0;
    this.socket = null;
    this.acks = new Acks();
    this.tryAt = 0;
    this.why = "";
    setInterval(() => this.countDown(), 250);
  }

  // Change the subscription. The same one is not sent twice.
  ask(wanted) {
    const before = JSON.stringify(this.wanted);
    this.wanted = { ...this.wanted, ...wanted };
    if (JSON.stringify(this.wanted) === before || !this.open) return;
    const { cameras, preview } = this.wanted;
    this.commands += 1;
    this.socket.send(JSON.stringify({
      id: this.commands, subscribe: { cameras, preview: preview || null },
    }));
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    this.tryAt = 0;
    this.handlers.state("connecting", "connecting");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const { cameras, preview } = this.wanted;
    const query = new URLSearchParams({ ack: "auto" });
    if (preview) query.set("preview", preview);
    if (cameras) query.set("camera", cameras.join(","));
    const socket = new WebSocket(`${scheme}//${location.host}/ws?${query}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.acks.begin(socket);
    this.asked = JSON.stringify(this.wanted);
    socket.addEventListener("open", () => {
      if (token()) socket.send(JSON.stringify({ id: 0, auth: { token: token() } }));
      else this.check(socket);
      this.handlers.opened();
      const wanted = this.wanted;
      this.wanted = JSON.parse(this.asked);
      this.ask(wanted);  // it may have changed meanwhile
    });
    socket.addEventListener("message", ({ data }) => {
      this.retryMs = RETRY_FIRST_MS;
      this.take(data);
      this.acks.take(socket);
    });
    socket.addEventListener("close", (event) => this.lost(event));
  }

  // The server lets a page connect without a token, and waits for it in the first message.
  async check(socket) {
    if (!await needsToken()) {
      if (socket.readyState === WebSocket.OPEN) this.handlers.state("live", "live");
    } else if (socket.readyState === WebSocket.OPEN) {
      socket.close();
    }
  }

  take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type !== "reply") this.handlers.message(message);
      else if (message.auth) this.handlers.state("live", "live");
      else if (message.error && message.id) this.refused(message.error.message);
    } else {
      const { message, jpeg } = parsePicture(data);
      this.handlers.picture(message, jpeg);
    }
  }

  // The subscription was refused; one to all cameras never is.
  refused(why) {
    this.wanted = { ...this.wanted, cameras: null };
    this.handlers.refused(why);
  }

  async lost(event) {
    if (event.code === BAD_REQUEST) this.refused(event.reason);
    if (event.code === UNAUTHORISED || await needsToken()) {
      const had = Boolean(token());
      keepToken("");
      this.handlers.state("lost", "a token is needed");
      this.handlers.door(had ? "That was not the token." : "");
      return;
    }
    this.retryMs = Math.min(this.retryMs * 2, RETRY_CAP_MS);
    this.why = CLOSED[event.code] || await refusal() || "connection lost";
    this.tryAt = performance.now() + this.retryMs * (0.5 + Math.random() / 2);
    this.countDown();
  }

  countDown() {
    if (!this.tryAt) return;
    const left = this.tryAt - performance.now();
    if (left <= 0) this.connect();
    else this.handlers.state("lost", `${this.why}, trying again in`, Math.ceil(left / 1000));
  }
}
