// One camera: its picture with what was seen on it, its state, and where its milliseconds go.
// Everything that comes from outside is written as text, never as markup.

import { caption, paint } from "./draw.js";
import { Strip } from "./strip.js";
import { REASONS } from "./words.js";

const RATE_WINDOW_MS = 2000;
const LABELS_SHOWN = 12;
const ROWS_SHOWN = 100;
const WORDS_EVERY_MS = 250;
const NO_PICTURE_MS = 1500;
const FAILED_MS = 2000;  // so long an error is shown, also when results come between
const STICKS_MS = 5000;  // one in trouble keeps its place in front for so long after it
const NO_TROUBLE = ["connecting", "ended"];

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
    this.newest = null;  // the newest message of a result or error
    this.waiting = null;  // the newest picture that is not drawn yet
    this.drawing = false;
    this.pictureAt = -Infinity;
    this.wordsAt = -Infinity;
    this.status = null;
    this.error = null;  // what the newest error said
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
    this.part("strip").setAttribute("aria-label", `Latency of ${camera} over the last minute`);
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
    // A frame grabbed after its status shows that frames come again; a frozen one has them anyway.
    if (this.status && this.status.state !== "frozen" && message.ts > this.status.ts) {
      this.showState(null);
    }
    if (!this.paused && now - this.pictureAt > NO_PICTURE_MS) this.draw(message, null);
  }

  picture(message, jpeg) {
    this.pictureAt = performance.now();
    if (!this.paused) this.draw(message, jpeg);
  }

  // Only ever the newest: what comes while one is being decoded takes the place of the next.
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
      this.root.dataset.picture = bitmap ? bitmap.width : 0;
      bitmap?.close();
      this.root.dataset.frame = next.message.frame;
      this.canvas.dispatchEvent(new CustomEvent("drawn", { detail: next.message }));
      this.words(performance.now());
    }
    this.drawing = false;
  }

  // ---- words -------------------------------------------------------------------------------

  words(now) {
    const message = this.newest;
    if (!message || now - this.wordsAt < WORDS_EVERY_MS) return;
    this.wordsAt = now;
    this.showFailing(now);
    while (this.arrivals[0] < now - RATE_WINDOW_MS) this.arrivals.shift();
    const span = (now - this.arrivals[0]) / 1000;  // to now: it falls when nothing comes any more
    const fps = span > 0.5 ? `${((this.arrivals.length - 1) / span).toFixed(1)} fps · ` : "";
    this.part("numbers").textContent = `${fps}seq ${message.seq}, frame ${message.frame}`;
    this.showLabels(message.detections || []);
    this.showValue(message);
    this.showLedger(now);
    if (!this.part("detail").hidden) this.showDetail(message);
  }

  showLabels(detections) {
    const counts = new Map();
    for (const found of detections) counts.set(found.label, (counts.get(found.label) || 0) + 1);
    const shown = [...counts].sort().slice(0, LABELS_SHOWN);
    this.part("labels").replaceChildren(...shown.map(([label, count]) => {
      const item = document.createElement("li");
      item.textContent = count > 1 ? `${label} × ${count}` : label;
      return item;
    }));
  }

  showValue(message) {
    const value = this.part("value");
    const failed = this.isFailing(performance.now());
    value.hidden = !failed && message.detections !== undefined;
    if (value.hidden) return;
    value.textContent = failed
      ? `${this.error.kind}: ${this.error.message}`
      : JSON.stringify(message.result, null, 1);
  }

  showLedger(now) {
    const of = (name) => getComputedStyle(this.part(name), "::before").color;
    const colours = { wait: of("wait"), predict: of("predict"), deliver: of("deliver"), words: of("legend") };
    this.strip.draw(this.part("strip"), now, colours);
    const found = this.strip.percentiles();
    const ms = (value) => value.toFixed(value < 10 ? 1 : 0);
    this.part("latency").textContent = found
      ? `p50 ${ms(found.p50)} · p95 ${ms(found.p95)} · p99 ${ms(found.p99)} ms`
      : "";
  }

  showDetail(message) {
    const rows = (message.detections || []).slice(0, ROWS_SHOWN).map((found) => row([
      found.label, found.confidence.toFixed(2),
      found.track_id === undefined ? "–" : `#${found.track_id}`,
      found.box.map((value) => Math.round(value)).join(", "),
    ]));
    this.root.querySelector(".results tbody").replaceChildren(...rows);
    this.part("raw").textContent = JSON.stringify(message, null, 1);
    const words = (message.detections || []).slice(0, LABELS_SHOWN).map(caption).join(", ");
    this.canvas.setAttribute("aria-label", `Picture of camera ${this.camera}: ${words || "nothing seen"}`);
  }

  // What became of its frames, by a second's figures of the server.
  showFlow(text) {
    const own = this.missed ? ` · this page missed ${this.missed}` : "";
    this.part("flow").textContent = text + own;
  }

  // ---- whether it works ----------------------------------------------------------------------

  // Its newest outcome is an error, or one was within the last seconds.
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
    return this.newest !== null && !this.status && !this.isFailing(now);
  }

  // Whether it stands in front.
  isTroubled(now) {
    const away = this.status && !NO_TROUBLE.includes(this.status.state);
    if (away || this.circuit || this.isFailing(now)) this.troubleAt = now;
    return now - this.troubleAt < STICKS_MS;
  }

  // ---- state -------------------------------------------------------------------------------

  // What the server's table says of it at the time `ts`: statuses may have been for other eyes.
  reconcile(facts, ts) {
    this.showCircuit(facts.circuit === "closed" ? "" : facts.circuit_message);
    const told = this.status;
    if (told && told.ts > ts) return;
    if (facts.state === "live" && told) this.showState(null);
    const same = told && told.state === facts.state && told.reason === facts.reason;
    if (facts.state !== "live" && !same) this.showState({ ...facts, ts });
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
    this.part("state").textContent = [status?.state, why, next, fails].filter(Boolean).join(" · ");
  }

  // Its frames kill workers: empty when they do no more.
  showCircuit(message) {
    this.circuit = message;
    this.cover();
  }

  pause(paused) {
    this.paused = paused;
    this.cover();
  }

  // Something to say for a few seconds, here where it was asked for.
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
