// Rates of events, also of events that are seconds apart; as in framefan/base/rates.py.

import { CAUSES } from "./words.js";

const SILENT_S = 4;
const FRAMES = 5;  // rates are measured over this many frames, of a slow camera over at most a minute
const TABLES = 30;

// `count` events came after `first`, the newest at `last`; in seconds. The rate stays as it is until
// the next event is overdue, and falls from then on.
export function perSecond(count, first, last, now) {
  if (count <= 0 || last <= first) return 0;
  const each = (last - first) / count;
  if (now - last > Math.max(SILENT_S, 2 * each)) return 0;
  return count / (Math.max(last, now - each) - first);
}

export function inWords(rate) {
  return rate >= 0.001 && rate < 0.95 ? String(Number(rate.toPrecision(2))) : rate.toFixed(1);
}

// The tables of the last minute, of `/api/status`.
export class Rates {
  tables = [];

  // Whether it is a new table.
  look(state) {
    const newest = this.tables.at(-1);
    if (newest && newest.epoch !== state.epoch) this.tables = [];
    else if (newest && state.ts <= newest.ts) return false;
    this.tables.push(state);
    if (this.tables.length > TABLES) this.tables.shift();
    return true;
  }

  // What came in and went out of a camera, in words; null if the table before the newest lacks it.
  flow(name) {
    const seen = this.tables.map(({ ts, cameras }) => [ts, cameras[name]]);
    if (!seen.at(-1)?.[1] || !seen.at(-2)?.[1]) return null;
    const [since, before] = start(seen);
    const [now, after] = seen.at(-1);
    return inOut(before, after, now - since);
  }
}

// The table from which on there are FRAMES frames, or the last but one if none come now.
function start(seen) {
  const [now, after] = seen.at(-1);
  let last = now;
  let found = seen.at(-2);
  for (const [ts, facts] of seen.slice(0, -1).reverse()) {
    if (!facts) break;
    found = [ts, facts];
    if (facts.captured === after.captured) last = ts;
    if (after.captured - facts.captured >= FRAMES) break;
  }
  const count = after.captured - found[1].captured;
  return perSecond(count, found[0], last, now) ? found : seen.at(-2);
}

function inOut(before, after, seconds) {
  const rate = (name) => (after[name] - before[name]) / seconds;
  const dropped = [
    ...byCause(before.superseded_by, after.superseded_by, seconds),
    ...byCause(before.lost_by, after.lost_by, seconds),
    ...(rate("bad") > 0.05 ? [`damaged ${inWords(rate("bad"))}`] : []),
    ...(rate("errors") > 0.05 ? [`predict failed ${inWords(rate("errors"))}`] : []),
  ];
  const out = rate("results") + rate("errors");
  return `in ${inWords(rate("captured"))} fps · out ${inWords(out)} fps · ` +
    (dropped.length ? `dropped: ${dropped.join(", ")}` : "nothing dropped");
}

function byCause(before, now, seconds) {
  return Object.entries(now)
    .map(([cause, count]) => [cause, (count - (before?.[cause] || 0)) / seconds])
    .filter(([, rate]) => rate > 0.05)
    .map(([cause, rate]) => `${CAUSES[cause] || cause} ${inWords(rate)}`);
}
