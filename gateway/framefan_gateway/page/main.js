// The page: passes the feed's messages to the tile of their camera, and subscribes only to what is
// shown. It handles the user's input: one camera large, pause, token.

import { arrangement } from "./density.js";
import { Feed, get, keepToken, token } from "./feed.js";
import { Health } from "./health.js";
import { showSnippets } from "./snippets.js";
import { isPlain, Tile } from "./tile.js";
import { Width } from "./width.js";

const JUDGE_EVERY_MS = 3000;
const LOOK_EVERY_MS = 2000;
const YOUNG_S = 5;
const natural = new Intl.Collator("en", { numeric: true });  // cam-2 before cam-10

const by = (id) => document.getElementById(id);
const cameras = by("cameras");
const tiles = new Map();
const width = new Width(performance.now());
let large = "";
let walled = false;
let paused = false;
let connected = false;

// ---- tiles --------------------------------------------------------------------------------------

function tileOf(camera) {
  return tiles.get(camera) || addTile(camera);
}

function addTile(camera) {
  const tile = new Tile(camera);
  cameras.append(tile.root);
  tiles.set(camera, tile);
  tile.part("open").addEventListener("click", () => enlarge(large === camera ? "" : camera));
  tile.part("whole").addEventListener("click", () => enlarge(camera));
  tile.canvas.addEventListener("click", (event) => {
    if (!tile.isAskedByTap(event)) enlarge(large === camera ? "" : camera);
  });
  tile.part("snapshot").addEventListener("click", () => snapshot(camera));
  if (paused) tile.pause(true);
  if (large === camera) enlarge(camera);
  by("empty").hidden = true;
  arrange();
  layOut();
  return tile;
}

// Cameras with problems first, then by name. A tile that is hovered over or focused stays in place.
function arrange() {
  if (large || document.fullscreenElement) return;
  const now = performance.now();
  const ranked = [...tiles.values()].map((tile) => ({ tile, last: !tile.isTroubled(now) }));
  ranked.sort((a, b) => a.last - b.last || natural.compare(a.tile.camera, b.tile.camera));
  const focused = document.activeElement;
  ranked.forEach(({ tile }, place) => {
    const there = cameras.children[place];
    if (there !== tile.root) cameras.insertBefore(tile.root, there);
  });
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
}

// Choose the columns so that all tiles are visible, and what each tile has room for.
function layOut() {
  const room = document.documentElement.clientHeight - document.querySelector("header").offsetHeight;
  const { level, columns } = large
    ? { level: "full", columns: 1 }
    : arrangement(tiles.size, cameras.clientWidth, room, walled);
  cameras.dataset.level = level;
  cameras.style.setProperty("--columns", columns);
  by("legend").hidden = level !== "full" || !tiles.size;
  for (const tile of tiles.values()) tile.tell(level);
}

function removeTile(camera) {
  tiles.get(camera)?.root.remove();
  tiles.delete(camera);
  by("empty").hidden = tiles.size > 0;
  if (large === camera) enlarge("");
  else layOut();
}

// ---- messages -----------------------------------------------------------------------------------

function onMessage(message) {
  if (message.type === "result" || message.type === "error") {
    width.result(message);
    tileOf(message.camera).result(message);
    if (by("connection").hasAttribute("data-nobody")) showLight();
  } else if (message.type === "status") {
    onStatus(message);
  }
}

function onStatus(message) {
  const { subject, camera, state, reason } = message;
  if (subject === "camera" && reason === "removed") removeTile(camera);
  else if (subject === "camera") tileOf(camera).showState(isPlain(message) ? null : message);
  else if (subject === "predictor" && camera) {
    tileOf(camera).showCircuit(state === "closed" ? "" : message.message);
  } else if (subject === "predictor") say(`predictor ${state}: ${message.message}`);
  else if (subject === "pool") {
    showConnection(state === "live" ? "live" : "lost",
      state === "live" ? "live" : "connected, but no news from the pool");
  }
}

function showConnection(state, words, seconds) {
  by("connection").dataset.state = state;
  connected = state === "live";
  if (connected) showLight();
  else tell("connection", words);
  by("countdown").textContent = seconds === undefined ? "" : `${seconds} s`;
  by("again").hidden = seconds === undefined;
  if (state === "live") {
    lock(false);
    showSnippets(Boolean(token()));
  }
  document.body.classList.toggle("stale", state === "lost");
}

function tell(id, words) {
  if (by(id).textContent !== words) by(id).textContent = words;
}

// Being connected is not being live: show "live" only while a camera is live.
function showLight() {
  if (!connected) return;
  const now = performance.now();
  const all = [...tiles.values()];
  const live = all.some((tile) => tile.isLive(now));
  by("connection").toggleAttribute("data-nobody", !live);
  const fails = all.some((tile) => tile.isFailing(now));
  const none = fails ? "connected, predict fails" : "connected, no camera is live";
  tell("connection", live ? "live" : all.length ? none : "connected");
}

function onOpened() {
  const kept = large;
  for (const camera of [...tiles.keys()]) removeTile(camera);  // existing cameras are sent again
  large = kept;  // it is enlarged again when its tile appears
  health.before = null;
  health.look();
}

function onCameras(state, flows) {
  for (const [name, facts] of Object.entries(state.cameras)) {
    const tile = tileOf(name);
    if (flows.get(name)) tile.showFlow(flows.get(name));
    tile.reconcile(facts, state.ts);
  }
  for (const [name, tile] of [...tiles]) {
    if (!(name in state.cameras) && state.ts > tile.bornAt + YOUNG_S) removeTile(name);
  }
}

function onRefused(why) {
  say(`refused: ${why}`);
  if (!tiles.has(large)) large = "";
}

const feed = new Feed({
  message: onMessage,
  picture: (message, jpeg) => tileOf(message.camera).picture(message, jpeg),
  state: showConnection,
  opened: onOpened,
  refused: onRefused,
  door: askForToken,
});
const health = new Health({ cameras: onCameras });

// ---- the subscription ---------------------------------------------------------------------------

function wish() {
  const shown = large ? tiles.get(large) : tiles.values().next().value;
  const pixels = (shown?.canvas.clientWidth || 400) * Math.min(devicePixelRatio, 2);
  width.show(pixels, performance.now());
  const cameras = tiles.has(large) ? [large] : null;
  feed.ask({ cameras, preview: document.hidden || paused ? 0 : width.width });
}

// `travels`: the browser's Back or Forward caused this.
function enlarge(camera, travels = false) {
  const before = tiles.get(large);
  before?.large(false);
  large = tiles.has(camera) ? camera : "";
  if (large) tiles.get(large).large(true);
  cameras.toggleAttribute("data-large", Boolean(large));
  by("back").hidden = !large;
  if (before && !large) before.part("open").focus();
  if (large && !before && !travels && !asked().camera) history.pushState(null, "", address());
  else if (!travels) history.replaceState(null, "", address());
  layOut();
  wish();
}

// Apply the URL's fragment: one camera large, or the wall.
function asked() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  return { camera: fragment.get("camera") || "", walled: fragment.get("view") === "wall" };
}

function address() {
  const kept = new URLSearchParams();
  if (walled) kept.set("view", "wall");
  if (large) kept.set("camera", large);
  return kept.size ? `#${kept}` : location.pathname + location.search;
}

function wall(now) {
  walled = now;
  by("wall").setAttribute("aria-pressed", String(walled));
  layOut();
  wish();
}

function pause(now) {
  paused = now;
  by("pause").setAttribute("aria-pressed", String(paused));
  by("pause").textContent = paused ? "Go on" : "Pause";
  for (const tile of tiles.values()) tile.pause(paused);
  wish();
}

// ---- user input ---------------------------------------------------------------------------------

function say(words) {
  by("said").textContent = words;
}

function keep(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function snapshot(camera) {
  const told = (words) => {
    say(words);
    tiles.get(camera)?.say(words);
  };
  told(`taking a snapshot of ${camera} …`);
  try {
    const answer = await get(`snapshot/${camera}.jpg?boxes=1`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    const time = new Date().toISOString().replaceAll(":", "-").slice(0, 19);
    keep(await answer.blob(), `${camera}-${time}.jpg`);
    told(`snapshot of ${camera} saved`);
  } catch (error) {
    told(`no snapshot: ${error.message}`);
  }
}

// Without the token, show only the form that asks for it.
function lock(is) {
  by("door").hidden = !is;
  document.body.classList.toggle("locked", is);
}

function askForToken(refused) {
  by("refused").textContent = refused;
  lock(true);
  by("token").focus();
}

by("door").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(by("token").value.trim());
  by("token").value = "";
  by("refused").textContent = "";
  feed.connect();
});
by("again").addEventListener("click", () => feed.connect());
by("back").addEventListener("click", () => enlarge(""));
by("wall").addEventListener("click", () => {
  wall(!walled);
  if (large) enlarge("");
  else history.replaceState(null, "", address());
});
by("pause").addEventListener("click", () => pause(!paused));
window.addEventListener("popstate", () => {
  wall(asked().walled);
  enlarge(asked().camera, true);
});
document.addEventListener("visibilitychange", wish);
window.addEventListener("resize", () => {
  layOut();
  wish();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && large && !document.fullscreenElement) enlarge("");
});
// A plain link cannot send a token.
document.querySelector(".links").addEventListener("click", async (event) => {
  if (!token() || !event.target.matches("a")) return;
  event.preventDefault();
  const answer = await get(event.target.getAttribute("href"));
  const shown = URL.createObjectURL(await answer.blob());
  window.open(shown);
  setTimeout(() => URL.revokeObjectURL(shown), 60000);
});

// ---- timers -------------------------------------------------------------------------------------

setInterval(() => {
  width.judge(performance.now());
  wish();
}, JUDGE_EVERY_MS);
setInterval(() => {
  if (feed.open && !document.hidden) health.look();
}, LOOK_EVERY_MS);
setInterval(() => {
  const now = performance.now();
  for (const tile of tiles.values()) {
    if (tile.tryAt) tile.countDown();
    if (!paused && feed.open) tile.words(now);
  }
  arrange();
  showLight();
}, 500);

token();  // takes the token out of the fragment before anything else reads it
large = asked().camera;
wall(asked().walled);
showSnippets(false);
feed.wanted = { cameras: null, preview: width.width };
feed.connect();
