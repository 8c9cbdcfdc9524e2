// The width of the pictures: as wide as they are shown, or less if the connection is too slow.
//
// Conflated results show that the connection is too slow. Then pictures get smaller by one step; after
// a while without conflated results, larger by one. A step up that fails at once doubles the wait
// before the next one.

export const WIDTHS = [0, 320, 640, 1280];
const SHARE = 0.15;
const PATIENCE_MS = 15000;
const MOST_PATIENCE_MS = 240000;

export class Width {
  constructor(now = 0) {
    this.most = 640;
    this.step = WIDTHS.indexOf(640);
    this.results = 0;
    this.conflated = 0;
    this.patience = PATIENCE_MS;
    this.goodSince = now;
    this.roseAt = -Infinity;
  }

  // The width at which a picture is shown, in device pixels.
  show(pixels, now) {
    const step = WIDTHS.findIndex((width) => width >= Math.min(pixels, WIDTHS.at(-1)));
    if (WIDTHS[step] === this.most) return;
    const atMost = WIDTHS[this.step] === this.most;
    this.most = WIDTHS[step];
    this.step = atMost ? step : Math.min(this.step, step);
    this.goodSince = now;
  }

  result(message) {
    this.results += 1;
    this.conflated += message.missed_by?.conflated || 0;
  }

  // Call every few seconds.
  judge(now) {
    const { results, conflated } = this;
    this.results = this.conflated = 0;
    if (conflated > SHARE * (results + conflated)) {
      if (now - this.roseAt < PATIENCE_MS) this.patience = Math.min(2 * this.patience, MOST_PATIENCE_MS);
      this.step = Math.max(this.step - 1, 0);
      this.goodSince = now;
    } else if (now - this.goodSince >= this.patience && WIDTHS[this.step] < this.most) {
      this.step += 1;
      this.goodSince = this.roseAt = now;
    }
    return this.width;
  }

  get width() {
    return WIDTHS[this.step];
  }
}
