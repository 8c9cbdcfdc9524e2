// The latency ledger of one camera: where the milliseconds of the last minute went.

const SECONDS = 60;
const STAGES = ["wait", "predict", "deliver"];
const LEAST_MS = 10;

export class Strip {
  constructor() {
    this.seconds = [];  // {second, count, wait, predict, deliver, totals}
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

  // Of all results of the minute, in milliseconds; null without any.
  percentiles() {
    const totals = this.seconds.flatMap((each) => each.totals).sort((a, b) => a - b);
    if (!totals.length) return null;
    const at = (share) => totals[Math.max(Math.ceil(share * totals.length) - 1, 0)];
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }

  // One column a second, the mean of each stage stacked; the newest at the right edge. `colours`:
  // by stage, and of the words.
  draw(canvas, now, colours) {
    this.prune(now);
    fit(canvas);
    const pen = canvas.getContext("2d");
    const { width, height } = canvas;
    pen.clearRect(0, 0, width, height);
    const means = this.seconds.map((each) => (each.wait + each.predict + each.deliver) / each.count);
    const top = Math.max(LEAST_MS, ...means) * 1.15;
    const column = width / SECONDS;
    const newest = Math.floor(now / 1000);
    for (const each of this.seconds) {
      const x = width - (newest - each.second + 1) * column;
      let y = height;
      for (const stage of STAGES) {
        const tall = each[stage] / each.count / top * height;
        pen.fillStyle = colours[stage];
        pen.fillRect(x, y - tall, Math.max(column - 1, 1), tall);
        y -= tall;
      }
    }
    const unit = width / (canvas.clientWidth || width);
    pen.fillStyle = colours.words;
    pen.font = `${11 * unit}px system-ui, sans-serif`;
    pen.fillText(`${top.toFixed(0)} ms`, 5 * unit, 14 * unit);
  }
}

// As many pixels as are shown.
function fit(canvas) {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (width && (canvas.width !== width || canvas.height !== height)) {
    canvas.width = width;
    canvas.height = height;
  }
}
