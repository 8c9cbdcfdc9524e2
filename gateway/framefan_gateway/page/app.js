// The live page: one tile per camera, drawn from the results of the WebSocket beside this page.
// Everything that comes from outside is written as text, never as markup.
"use strict";

const RETRY_FIRST_MS = 500;
const RETRY_CAP_MS = 10000;
const RATE_WINDOW_MS = 2000;
const LABELS_SHOWN = 12;

// The words of framefan/states.py; a test compares them.
const REASONS = {
  refused: "nobody listens at that port",
  unauthorised: "the user name or password is wrong or missing",
  not_found: "there is no such stream, file, image or device",
  dns: "there is no such host, or no name server answers",
  timeout: "the camera cannot be reached, does not answer, or sends nothing any more",
  closed: "the camera ended the stream, or takes a connection and closes it",
  corrupt: "picture after picture cannot be decoded",
  unreadable: "it answers, but not with a video that can be played",
  unsupported: "its pictures have a format that cannot be turned into BGR",
  too_large: "its pictures do not fit into the memory that is there",
  source_failed: "the function of a py: source raised, or gave something that is no picture",
  decoder_died: "its process ended, usually inside the decoder",
  no_progress: "its process stood still and was killed",
  unknown: "an error without a better name; the message says more",
  restarting: "its process is being replaced by a new one",
  size_changed: "frames have another size than before",
  no_frame: "no frame within stalled_s",
  same_picture: "the same picture for frozen_s",
  crash_loop: "its process ended too often within a minute",
  unplayable: "what it names cannot be played at all; the message says why",
  removed: "the configuration does not hold it any more",
};

const cameras = document.getElementById("cameras");
const connection = document.getElementById("connection");
const empty = document.getElementById("empty");
const template = document.getElementById("tile");
const tiles = new Map();

function makeTile(camera) {
  const root = template.content.firstElementChild.cloneNode(true);
  const part = (name) => root.querySelector("." + name);
  const tile = {
    root,
    canvas: root.querySelector("canvas"),
    state: part("state"), fps: part("fps"), seq: part("seq"), missed: part("missed"),
    latency: part("latency"), labels: part("labels"), value: part("value"),
    arrivals: [], missedTotal: 0, newest: null, drawing: false, status: null, tryAt: 0,
  };
  root.dataset.camera = camera;
  part("name").textContent = camera;
  tile.canvas.setAttribute("aria-label", "boxes of camera " + camera);
  const after = [...tiles.keys()].filter((name) => name > camera).sort()[0];
  cameras.insertBefore(root, after ? tiles.get(after).root : null);
  tiles.set(camera, tile);
  empty.hidden = true;
  return tile;
}

function tileOf(camera) {
  return tiles.get(camera) || makeTile(camera);
}

function colour(label) {
  let hash = 0;
  for (const letter of label) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return `hsl(${hash} 80% 60%)`;
}

function drawBoxes(canvas, message) {
  if (canvas.width !== message.width || canvas.height !== message.height) {
    canvas.width = message.width;
    canvas.height = message.height;
  }
  const pen = canvas.getContext("2d");
  const unit = Math.max(canvas.width / 480, 1);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.lineWidth = 2 * unit;
  pen.font = `${12 * unit}px system-ui, sans-serif`;
  for (const found of message.detections || []) {
    const [x1, y1, x2, y2] = found.box;
    pen.strokeStyle = pen.fillStyle = colour(found.label);
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    pen.fillText(caption(found), x1, Math.max(y1 - 4 * unit, 12 * unit));
  }
}

function caption(found) {
  const track = found.track_id === undefined ? "" : ` #${found.track_id}`;
  return `${found.label}${track} ${found.confidence.toFixed(2)}`;
}

function showLabels(list, detections) {
  const counts = new Map();
  for (const found of detections) counts.set(found.label, (counts.get(found.label) || 0) + 1);
  const shown = [...counts].sort().slice(0, LABELS_SHOWN);
  list.replaceChildren(...shown.map(([label, count]) => {
    const item = document.createElement("li");
    item.textContent = count > 1 ? `${label} × ${count}` : label;
    return item;
  }));
}

function showValue(tile, message) {
  const failed = message.type === "error";
  const shown = failed ? `${message.error.kind}: ${message.error.message}` : message.result;
  tile.value.hidden = message.detections !== undefined;
  if (tile.value.hidden) return;
  tile.value.textContent = failed ? shown : JSON.stringify(shown, null, 1);
}

function show(tile) {
  tile.drawing = false;
  const message = tile.newest;
  const ms = message.latency_ms;
  drawBoxes(tile.canvas, message);
  showLabels(tile.labels, message.detections || []);
  showValue(tile, message);
  const span = (tile.arrivals.at(-1) - tile.arrivals[0]) / 1000;
  tile.fps.textContent = span > 0 ? `${((tile.arrivals.length - 1) / span).toFixed(1)} fps` : "";
  tile.seq.textContent = `seq ${message.seq}, frame ${message.frame}`;
  tile.missed.textContent = tile.missedTotal ? `missed ${tile.missedTotal}` : "";
  tile.latency.textContent =
    `wait ${ms.wait.toFixed(1)} · predict ${ms.predict.toFixed(1)} · ` +
    `deliver ${ms.deliver.toFixed(1)} · total ${ms.total.toFixed(1)} ms`;
}

function onResult(message) {
  const tile = tileOf(message.camera);
  const now = performance.now();
  tile.newest = message;
  tile.missedTotal += message.missed;
  tile.arrivals.push(now);
  while (tile.arrivals[0] < now - RATE_WINDOW_MS) tile.arrivals.shift();
  // A frame grabbed after its status shows that frames come again; a frozen camera has them anyway.
  if (tile.status && tile.status.state !== "frozen" && message.ts > tile.status.ts) {
    showState(tile, null);
  }
  if (!tile.drawing) {
    tile.drawing = true;
    requestAnimationFrame(() => show(tile));
  }
}

// null: it is live.
function showState(tile, status) {
  tile.status = status;
  tile.root.dataset.state = status ? status.state : "live";
  tile.tryAt = status?.next_try_s === undefined ? 0 : performance.now() + status.next_try_s * 1000;
  countDown(tile);
}

function countDown(tile) {
  const status = tile.status;
  const why = status && (status.message || REASONS[status.reason] || status.reason);
  const left = Math.max(Math.ceil((tile.tryAt - performance.now()) / 1000), 0);
  const next = tile.tryAt ? `next try in ${left} s` : "";
  tile.state.textContent = status ? [status.state, why, next].filter(Boolean).join(" · ") : "";
}

setInterval(() => {
  for (const tile of tiles.values()) if (tile.tryAt) countDown(tile);
}, 500);

function removeTile(camera) {
  tiles.get(camera)?.root.remove();
  tiles.delete(camera);
  empty.hidden = tiles.size > 0;
}

function onStatus(message) {
  if (message.subject === "camera" && message.reason === "removed") removeTile(message.camera);
  else if (message.subject === "camera") {
    showState(tileOf(message.camera), message.state === "live" ? null : message);
  } else if (message.subject === "pool") {
    setConnection(message.state === "live" ? "live" : "lost",
      message.state === "live" ? "live" : "connected, but no news from the pool");
  }
}

function setConnection(state, text) {
  connection.dataset.state = state;
  connection.textContent = text;
}

// A browser cannot show a token to a WebSocket, and is not told why one was refused: ask over HTTP.
async function needsToken() {
  try {
    return (await fetch("api/status", { method: "HEAD" })).status === 401;
  } catch {
    return false;
  }
}

function connect(retryMs) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/ws`);
  let opened = false;
  socket.addEventListener("open", () => {
    opened = true;
    setConnection("live", "live");
    for (const camera of [...tiles.keys()]) removeTile(camera);  // those there still are are told
  });
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "result" || message.type === "error") onResult(message);
    else if (message.type === "status") onStatus(message);
  });
  socket.addEventListener("close", async () => {
    if (!opened && await needsToken()) {
      setConnection("lost", "a token is needed: this page cannot show one, other clients can");
      return;
    }
    const next = opened ? RETRY_FIRST_MS : Math.min(retryMs * 2, RETRY_CAP_MS);
    setConnection("lost", "connection lost, reconnecting");
    setTimeout(() => connect(next), next * (0.5 + Math.random() / 2));
  });
}

connect(RETRY_FIRST_MS);
