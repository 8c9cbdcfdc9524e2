// Cameras, workers and clients, from the server's counts.

import { get } from "./feed.js";
import { Rates } from "./rates.js";
import { row } from "./tile.js";
import { CAUSES, WORKER_STATES } from "./words.js";

const CLIENTS_SHOWN = 50;
const MANY_CLIENTS = 500;
const PATIENCE_MS = 10000;

const workers = document.querySelector("#workers tbody");
const clients = document.getElementById("clients");
const summary = document.getElementById("summary");

function counted(count, what) {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

export class Health {
  // handlers: cameras(state, flows)
  constructor(handlers) {
    this.handlers = handlers;
    this.rates = new Rates();
    this.turn = 0;
    this.looking = false;
    clients.addEventListener("toggle", () => this.listClients());
  }

  async look() {
    if (this.looking) return;
    this.looking = true;
    try {
      const answer = await get("api/status", { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (answer.ok) this.show(await answer.json());
    } catch {
      // the connection's state shows that
    } finally {
      this.looking = false;
    }
  }

  show(state) {
    const flows = new Map();
    if (this.rates.look(state)) {
      for (const name of Object.keys(state.cameras)) flows.set(name, this.rates.flow(name));
    }
    this.handlers.cameras(state, flows);
    document.getElementById("health").hidden = false;
    this.showWorkers(state.workers, Object.keys(state.predictors || {}).length > 1);
    this.sum(state);
    this.turn += 1;
    const count = state.gateways.reduce((sum, each) => sum + each.clients, 0);
    clients.querySelector(".count").textContent = count.toLocaleString("en");
    if (count < MANY_CLIENTS || this.turn % 10 === 0) this.listClients();
  }

  sum(state) {
    const cameras = Object.values(state.cameras);
    const live = cameras.filter((each) => each.state === "live").length;
    const ready = state.workers.filter((each) => ["ready", "busy"].includes(each.state)).length;
    const serving = state.gateways.filter((each) => each.state === "ready").length;
    const gateways = state.gateways.length > 1
      ? `${serving} of ${state.gateways.length} gateways ready · ` : "";
    summary.textContent = `${live} of ${counted(cameras.length, "camera")} live · ` +
      `${ready} of ${counted(state.workers.length, "worker")} ready · ${gateways}framefan ${state.version}`;
  }

  // several: whether the run has several predictors, so that each worker's is named
  showWorkers(all, several) {
    workers.replaceChildren(...all.map((each) => row([
      each.id, [WORKER_STATES[each.state] || each.state, each.reason].filter(Boolean).join(": "),
      [several && each.predictor_name, each.model || each.predictor].filter(Boolean).join(": "),
      `${Math.round(each.busy * 100)} %`, each.results.toLocaleString("en"),
      each.errors.toLocaleString("en"), each.restarts,
    ], { 1: ["backoff", "failed"].includes(each.state) ? "bad" : "", 5: each.errors ? "bad" : "" })));
  }

  async listClients() {
    if (!clients.open) return;
    try {
      const answer = await get("api/clients", { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (answer.ok) this.showClients((await answer.json()).clients);
    } catch {
      // as above
    }
  }

  showClients(all) {
    const shown = [...all].sort((a, b) => b.lag_s - a.lag_s).slice(0, CLIENTS_SHOWN);
    clients.querySelector("tbody").replaceChildren(...shown.map((each) => {
      const { cameras, delivery, format, preview } = each.contract;
      const gets = [cameras ? cameras.join(", ") : "all cameras", delivery, format];
      if (preview) gets.push(`pictures ${preview}`);
      const causes = Object.entries(each.missed_by)
        .map(([cause, n]) => `${CAUSES[cause] || cause} ${n}`).join(", ");
      return row([
        each.remote, gets.join(" · "), each.sent.toLocaleString("en"),
        causes || "0", each.lag_s ? `${each.lag_s.toFixed(1)} s` : "–",
      ], { 4: each.lag_s > 1 ? "bad" : "" });
    }));
    clients.querySelector(".more").textContent =
      all.length > shown.length ? `and ${all.length - shown.length} more` : "";
  }
}
