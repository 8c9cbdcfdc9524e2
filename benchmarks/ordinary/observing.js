"use strict";
// What ordinary clients on Node have in common; observing.py tells the argument's keys.

const asked = JSON.parse(process.argv[2]);
const positions = {};
let handled = 0;
let began = 0;

process.stdin.resume().on("end", () => process.exit()).on("error", () => process.exit());

const now = () => Number(process.hrtime.bigint()) / 1e9;

function say(facts) {
  const wall = (performance.timeOrigin + performance.now()) / 1000;
  process.stdout.write(JSON.stringify({at: now(), wall, ...facts}) + "\n");
}

function url() {
  const query = asked.ack ? [`ack=${asked.ack}`] : [];
  if (asked.resume && Object.keys(positions).length)
    query.push("since=" + Object.values(positions).join(","));
  const mark = asked.url.includes("?") ? "&" : "?";
  return asked.url + (query.length ? mark + query.join("&") : "");
}

function opened() {
  handled = 0;
  began ||= now();
  say({event: "opened"});
}

function stand(seconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

// Note a message; how many seconds its handler takes.
function begins(text) {
  const message = JSON.parse(text);
  handled += 1;
  const {type, camera, epoch, seq, missed, ts} = message;
  if (type !== "result" && type !== "error") {
    const {state, first_seq, last_seq, recovered, error} = message;
    say({event: type, camera, epoch, state, missed, first_seq, last_seq, recovered, error});
    return 0;
  }
  say({camera, epoch, seq, missed, ts});
  positions[camera] = `${camera}:${epoch}:${seq}`;
  const second = now() - began;
  const pauses = asked.pauses ?? [];
  if (pauses.length && second >= pauses[0][0]) {
    stand(pauses.shift()[1]);
    say({event: "paused"});
  }
  const steps = asked.handler ?? [[0, 0]];
  return steps.filter(([from]) => second >= from).at(-1)[1];
}

const acknowledgement = () => JSON.stringify({ack: handled});
const closed = why => say({event: "closed", why: String(why).slice(0, 160)});
const again = connect => setTimeout(connect, 1000 * (asked.retry_s ?? 0.5));
const sleep = seconds => new Promise(done => setTimeout(done, seconds * 1000));

// One message after the other, by a handler that blocks or by one that waits asynchronously.
let last = Promise.resolve();
function handle(text, send) {
  if (!asked.options?.asynchronous) {
    stand(begins(text));
    if (asked.ack) send(acknowledgement());
    return;
  }
  last = last.then(async () => {
    await sleep(begins(text));
    if (asked.ack) send(acknowledgement());
  });
}

module.exports = {url, opened, closed, again, handle};
