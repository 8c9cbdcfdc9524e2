// The latency strip of one camera: the stages of the last minute.
//
// The scale is a round number of milliseconds that most seconds stay below. It grows when more than a
// tenth of them are above it, and shrinks when they are clearly below a smaller one. A second above the
// scale is cut and marked, and its value is shown as text.

const SECONDS = 60;
const STAGES = ["wait", "predict", "deliver"];
const LEAST_MS = 10;
const MOST = 0.9;  // the share of seconds that are not cut
const ROOM = 1.25;  // the headroom above the bars that a smaller scale needs
const MARK = 3;

// The smallest of 10, 20, 50, 100, 200 ... that is not below `value`.
export function round(value) {
  let step = LEAST_MS;
  for (const factor of endless([2, 2.5, 2])) {
    if (step >= value) return step;
    step *= factor;
  }
}

function* endless(values) {
  for (;;) yield* values;
}

const told = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 100) / 10} s`);

export class Strip {
  constructor() {
    this.seconds = [];  // {second, count, wait, predict, deliver, totals}
    this.top = LEAST_MS;
  }

  add(latency, now) {
    const second = Math.floor(now / 1000);
    let last = this.seconds.at(-1);
    if (!last || last.second !== second) {
      last = { second, count: 0, wait: 0, predict: 0, deliver: 0, totals: [] };
      this.seconds.push(last);
      this.prune(now);
    }
    last.count += 1;
    for (const stage of STAGES) last[stage] += latency[stage];
    last.totals.push(latency.total);
  }

  prune(now) {
    const oldest = Math.floor(now / 1000) - SECONDS;
    while (this.seconds.length && this.seconds[0].second <= oldest) this.seconds.shift();
  }

  // Percentiles of the minute's results in milliseconds; null without results.
  percentiles() {
    const totals = this.seconds.flatMap((each) => each.totals).sort((a, b) => a - b);
    if (!totals.length) return null;
    const at = (share) => totals[Math.max(Math.ceil(share * totals.length) - 1, 0)];
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }

  means() {
    return this.seconds.map((each) => (each.wait + each.predict + each.deliver) / each.count);
  }

  rescale(means) {
    const sorted = [...means].sort((a, b) => a - b);
    const usual = sorted[Math.floor(MOST * (sorted.length - 1))] || 0;
    this.top = usual > this.top ? round(usual) : Math.min(this.top, round(usual * ROOM));
  }

  // The bars as text, for hovering and screen readers.
  words() {
    const means = this.means();
    const cut = means.filter((mean) => mean > this.top).length;
    const bars = cut === 1 ? "1 bar is higher and cut" : `${cut} bars are higher and cut`;
    return `One bar a second, the last ${SECONDS} s. The full height is ${told(this.top)}.` +
      (cut ? ` ${bars}; the highest is ${told(Math.max(...means))}.` : "");
  }

  // One column per second with the stacked means of the stages, the newest at the right. `colours`:
  // by stage, and for text.
  draw(canvas, now, colours) {
    this.prune(now);
    fit(canvas);
    const pen = canvas.getContext("2d");
    const { width, height } = canvas;
    pen.clearRect(0, 0, width, height);
    const means = this.means();
    this.rescale(means);
    const column = width / SECONDS;
    const newest = Math.floor(now / 1000);
    const unit = width / (canvas.clientWidth || width);
    this.seconds.forEach((each, index) => {
      const x = width - (newest - each.second + 1) * column;
      const wide = Math.max(column - 1, 1);
      let y = height;
      for (const stage of STAGES) {
        const tall = each[stage] / each.count / this.top * height;
        pen.fillStyle = colours[stage];
        pen.fillRect(x, y - tall, wide, tall);
        y -= tall;
      }
      pen.fillStyle = colours.cut;
      if (means[index] > this.top) pen.fillRect(x, 0, wide, MARK * unit);
    });
    pen.fillStyle = colours.words;
    pen.font = `${11 * unit}px system-ui, sans-serif`;
    pen.fillText(told(this.top), 5 * unit, 14 * unit);
  }
}

// Match the canvas to the displayed pixels.
function fit(canvas) {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (width && (canvas.width !== width || canvas.height !== height)) {
    canvas.width = width;
    canvas.height = height;
  }
}
