// One camera: its picture with detections, its state, and its latency.
// All external data is inserted as text, never as markup.

import { caption, colour, paint, under } from "./draw.js";
import { inWords, perSecond } from "./rates.js";
import { Strip } from "./strip.js";
import { REASONS, STATES } from "./words.js";

const RATE_WINDOW_MS = 2000;
const LABELS_SHOWN = 12;
const ROWS_SHOWN = 100;
const WORDS_EVERY_MS = 250;
const NO_PICTURE_MS = 1500;
const FAILED_MS = 2000;  // how long an error is shown, even if results follow
const STICKS_MS = 5000;  // how long a camera stays in front after its problem has ended
const SHORT = 40;  // the greatest length of a value in large type
const LONG = 240;
const NO_TROUBLE = ["connecting", "ended", "live"];

// Whether a camera is simply live; it is not if its motion gate leaves frames out.
export const isPlain = ({ state, reason }) => state === "live" && reason !== "still";

const template = document.getElementById("tile");
const nextFrame = () => new Promise(requestAnimationFrame);

function cell(text, tone) {
  const made = document.createElement("td");
  made.textContent = text;
  if (tone) made.dataset.tone = tone;
  return made;
}

export function row(texts, tones = {}) {
  const made = document.createElement("tr");
  made.append(...texts.map((text, index) => cell(text, tones[index])));
  return made;
}

const isScalar = (value) => value === null || typeof value !== "object";

const isClass = (each) => typeof each?.label === "string" && typeof each.confidence === "number";

// Format a predictor's value: text as it is, a flat object as lines, and so the classes of a picture.
export function valueText(value) {
  if (typeof value === "string") return value;
  const classes = value?.classes;
  if (Array.isArray(classes) && classes.length && classes.every(isClass)) {
    return classes.map(({ label, confidence }) => `${label} ${confidence.toFixed(2)}`).join("\n");
  }
  const lines = isScalar(value) || Array.isArray(value) ? [] : Object.entries(value);
  if (!lines.length || !lines.every(([, each]) => isScalar(each))) return JSON.stringify(value, null, 1);
  return lines.map(([name, each]) => `${name}: ${each}`).join("\n");
}

// Sort by label, then by track id, then by confidence.
function inOrder(detections) {
  return [...detections].sort((a, b) =>
    a.label.localeCompare(b.label, "en") || (a.track_id ?? 0) - (b.track_id ?? 0) ||
    b.confidence - a.confidence);
}

// The colours of the strips, taken from the legend that all of them share.
function stripColours() {
  const legend = document.getElementById("legend");
  const of = (name) => getComputedStyle(legend.querySelector("." + name), "::before").color;
  const own = getComputedStyle(legend);
  return { wait: of("wait"), predict: of("predict"), deliver: of("deliver"), words: own.color,
    cut: getComputedStyle(document.body).color };
}

export class Tile {
  constructor(camera) {
    this.camera = camera;
    this.root = template.content.firstElementChild.cloneNode(true);
    this.root.dataset.camera = camera;
    this.part = (name) => this.root.querySelector("." + name);
    this.canvas = this.part("screen").querySelector("canvas");
    this.strip = new Strip();
    this.arrivals = [];
    this.missed = 0;
    this.newest = null;  // the newest result or error
    this.shown = null;  // the message whose picture is shown
    this.pointer = null;  // the pointer's position on the picture
    this.tapped = null;
    this.level = "full";
    this.waiting = null;  // the newest picture that is not drawn yet
    this.drawing = false;
    this.pictureAt = -Infinity;
    this.pictured = false;  // whether a picture came since the newest result
    this.wordsAt = -Infinity;
    this.status = null;
    this.error = null;  // the newest error's text
    this.errorAt = -Infinity;
    this.troubleAt = -Infinity;
    this.tryAt = 0;
    this.paused = false;
    this.circuit = "";
    this.note = "";
    this.bornAt = Date.now() / 1000;
    this.part("name").textContent = camera;
    this.part("snapshot").setAttribute("aria-label", `Snapshot of ${camera}`);
    this.part("full").setAttribute("aria-label", `${camera} on the full screen`);
    this.part("full").addEventListener("click", () => this.fullScreen());
    this.canvas.setAttribute("aria-label", `Picture of camera ${camera}`);
    this.part("strip").setAttribute("aria-label", `Latency of ${camera}`);
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
  }

  // ---- results and pictures ----------------------------------------------------------------

  result(message) {
    const now = performance.now();
    this.newest = message;
    if (message.type === "error") {
      this.error = message.error;
      this.errorAt = now;
    }
    this.missed += message.missed;
    this.arrivals.push(now);
    this.strip.add(message.latency_ms, now);
    // A frame captured after the status shows that frames come again; a frozen or still camera has frames.
    const hasFrames = ["frozen", "live"].includes(this.status?.state);
    if (this.status && !hasFrames && message.ts > this.status.ts) {
      this.showState(null);
    }
    // Boxes are drawn without a picture only if no pictures come.
    const isBare = !this.pictured && now - this.pictureAt > NO_PICTURE_MS;
    if (!this.paused && isBare) this.draw(message, null);
    this.pictured = false;
  }

  picture(message, jpeg) {
    this.pictureAt = performance.now();
    this.pictured = true;
    if (!this.paused) this.draw(message, jpeg);
  }

  // Draw only the newest: a picture that arrives during decoding replaces the one that waits.
  async draw(message, jpeg) {
    this.waiting = { message, jpeg };
    if (this.drawing) return;
    this.drawing = true;
    while (this.waiting) {
      const next = this.waiting;
      this.waiting = null;
      const bitmap = next.jpeg && await createImageBitmap(next.jpeg).catch(() => null);
      await nextFrame();
      paint(this.canvas, next.message, bitmap, this.canvas.clientWidth);
      this.shown = next.message;
      this.root.dataset.picture = bitmap ? bitmap.width : 0;
      bitmap?.close();
      this.root.dataset.frame = next.message.frame;
      this.canvas.dispatchEvent(new CustomEvent("drawn", { detail: next.message }));
      if (this.pointer) this.showTip();
      this.words(performance.now());
    }
    this.drawing = false;
  }

  // ---- the box under the pointer -------------------------------------------------------------

  point(event) {
    this.pointer = event && { x: event.offsetX, y: event.offsetY };
    this.showTip();
  }

  showTip() {
    const tip = this.part("tip");
    const found = this.pointer && this.shown && under(this.canvas, this.shown, this.pointer);
    tip.hidden = !found;
    if (!found) return null;
    const { x, y } = this.pointer;
    const { clientWidth: wide, clientHeight: tall } = this.canvas;
    tip.textContent = caption(found);
    tip.style.left = x < wide / 2 ? `${x}px` : "auto";
    tip.style.right = x < wide / 2 ? "auto" : `${wide - x}px`;
    tip.style.top = y < tall / 2 ? `${y + 16}px` : "auto";
    tip.style.bottom = y < tall / 2 ? "auto" : `${tall - y + 8}px`;
    return found;
  }

  // Whether a tap shows a box's label, since a finger cannot hover. A second tap on it does
  // what a click does.
  isAskedByTap(event) {
    if (event.pointerType !== "touch") return false;
    this.point(event);
    const words = this.part("tip").hidden ? null : this.part("tip").textContent.replace(/ [\d.]+$/, "");
    const isNew = words !== null && words !== this.tapped;
    this.tapped = words;
    return isNew;
  }

  // ---- words -------------------------------------------------------------------------------

  words(now) {
    const message = this.newest;
    if (!message || now - this.wordsAt < WORDS_EVERY_MS) return;
    this.wordsAt = now;
    this.showFailing(now);
    const came = this.arrivals;
    while (came.length > 2 && came[1] < now - RATE_WINDOW_MS) came.shift();
    const rate = perSecond(came.length - 1, came[0] / 1000, came.at(-1) / 1000, now / 1000);
    const fps = came.length > 1 && now - came[0] > 500 ? `${inWords(rate)} fps` : "";
    const place = this.level === "full" ? `seq ${message.seq}, frame ${message.frame}` : "";
    this.part("numbers").textContent = [fps, place].filter(Boolean).join(" · ");
    if (this.level !== "wall") this.showLabels(message.detections || []);
    this.showValue(message);
    if (this.level === "full") this.showLedger(now);
    if (!this.part("detail").hidden) this.showDetail(message);
  }

  showLabels(detections) {
    const counts = new Map();
    for (const found of detections) counts.set(found.label, (counts.get(found.label) || 0) + 1);
    const shown = [...counts].sort().slice(0, LABELS_SHOWN);
    const untracked = !detections.some((found) => found.track_id !== undefined);
    this.part("labels").replaceChildren(...shown.map(([label, count]) => {
      const item = document.createElement("li");
      item.textContent = count > 1 ? `${label} × ${count}` : label;
      if (untracked) item.style.setProperty("--dot", colour({ label }));
      return item;
    }));
  }

  showValue(message) {
    const value = this.part("value");
    const failed = this.isFailing(performance.now());
    const isValue = !failed && message.detections === undefined;
    this.part("content").hidden = !failed && !isValue;
    this.root.toggleAttribute("data-value", isValue);
    if (!failed && !isValue) return;
    const text = failed ? `${this.error.kind}: ${this.error.message}` : valueText(message.result);
    if (value.textContent === text) return;
    value.textContent = text;
    value.dataset.size = text.length <= SHORT ? "short" : text.length <= LONG ? "middle" : "long";
    this.part("whole").hidden = this.level !== "full" || value.scrollHeight <= value.clientHeight + 1;
  }

  showLedger(now) {
    const strip = this.part("strip");
    this.strip.draw(strip, now, stripColours());
    const words = this.strip.words();
    if (strip.title !== words) {
      strip.title = words;
      strip.setAttribute("aria-label", `Latency of ${this.camera}. ${words}`);
    }
    const found = this.strip.percentiles();
    const ms = (value) => value.toFixed(value < 10 ? 1 : 0);
    this.part("latency").textContent = found
      ? `p50 ${ms(found.p50)} · p95 ${ms(found.p95)} · p99 ${ms(found.p99)} ms`
      : "";
  }

  showDetail(message) {
    const rows = inOrder(message.detections || []).slice(0, ROWS_SHOWN).map((found) => row([
      found.label, found.confidence.toFixed(2),
      found.track_id === undefined ? "–" : `#${found.track_id}`,
      found.box.map((value) => Math.round(value)).join(", "),
    ]));
    this.root.querySelector(".results tbody").replaceChildren(...rows);
    this.part("raw").textContent = JSON.stringify(message, null, 1);
    const words = (message.detections || []).slice(0, LABELS_SHOWN).map(caption).join(", ");
    this.canvas.setAttribute("aria-label", `Picture of camera ${this.camera}: ${words || "nothing seen"}`);
  }

  // The camera's frames by cause, from one second of the server's counts.
  showFlow(text) {
    const own = this.missed ? ` · ${this.missed.toLocaleString("en")} not shown here` : "";
    this.part("flow").textContent = text + own;
  }

  // ---- problems ------------------------------------------------------------------------------

  // Whether its newest outcome is an error, or one came within the last seconds.
  isFailing(now) {
    return this.newest?.type === "error" || now - this.errorAt < FAILED_MS;
  }

  showFailing(now) {
    const failing = this.isFailing(now);
    if (failing === this.root.hasAttribute("data-failing")) return;
    this.root.toggleAttribute("data-failing", failing);
    this.countDown();
  }

  isLive(now) {
    const isThere = !this.status || this.status.state === "live";
    return this.newest !== null && isThere && !this.isFailing(now);
  }

  // Whether it is sorted to the front.
  isTroubled(now) {
    const away = this.status && !NO_TROUBLE.includes(this.status.state);
    if (away || this.circuit || this.isFailing(now)) this.troubleAt = now;
    return now - this.troubleAt < STICKS_MS;
  }

  // ---- state -------------------------------------------------------------------------------

  // Apply the server's state table of time `ts`, in case the page did not get the status.
  reconcile(facts, ts) {
    this.showCircuit(facts.circuit === "closed" ? "" : facts.circuit_message);
    const told = this.status;
    if (told && told.ts > ts) return;
    if (isPlain(facts) && told) this.showState(null);
    const same = told && told.state === facts.state && told.reason === facts.reason;
    if (!isPlain(facts) && !same) this.showState({ ...facts, ts });
    else if (same && facts.next_try_s !== null) this.tryAt = performance.now() + facts.next_try_s * 1000;
  }

  // null: it is live.
  showState(status) {
    this.status = status;
    this.root.dataset.state = status ? status.state : "live";
    const left = status?.next_try_s ?? null;
    this.tryAt = left === null ? 0 : performance.now() + left * 1000;
    this.countDown();
  }

  countDown() {
    const status = this.status;
    const why = status && (status.message || REASONS[status.reason] || status.reason);
    const left = Math.max(Math.ceil((this.tryAt - performance.now()) / 1000), 0);
    const next = this.tryAt ? `next try in ${left} s` : "";
    const fails = this.root.hasAttribute("data-failing") ? "predict fails" : "";
    const text = [STATES[status?.state] || status?.state, why, next, fails].filter(Boolean).join(" · ");
    if (this.part("state").textContent === text) return;
    this.part("state").textContent = text;
    this.part("state").title = text;  // the visible text may be truncated
  }

  // How much the tile shows: see density.js.
  tell(level) {
    if (this.level === level) return;
    this.level = level;
    this.wordsAt = -Infinity;
    this.part("value").textContent = "";  // has to be measured again
  }

  // The state of its circuit breaker; empty if it is closed.
  showCircuit(message) {
    this.circuit = message;
    this.cover();
  }

  pause(paused) {
    this.paused = paused;
    this.cover();
  }

  // Show a note for a few seconds.
  say(note, milliseconds = 6000) {
    this.note = note;
    this.cover();
    clearTimeout(this.quiet);
    if (note) this.quiet = setTimeout(() => this.say(""), milliseconds);
  }

  cover() {
    const left = this.circuit && `Left out: ${this.circuit}`;
    const text = [this.note, this.paused ? "Paused" : "", left].filter(Boolean).join(" · ");
    this.part("cover").hidden = !text;
    if (this.part("cover").textContent !== text) this.part("cover").textContent = text;
  }

  large(is) {
    this.root.classList.toggle("large", is);
    this.part("detail").hidden = !is;
    this.part("open").setAttribute("aria-expanded", String(is));
    this.wordsAt = -Infinity;
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.part("screen").requestFullscreen?.();
  }
}
