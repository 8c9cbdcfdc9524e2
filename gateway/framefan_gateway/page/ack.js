// Acknowledges the messages that this page has handled. The gateway can still replace results that
// wait there; it cannot replace those that wait in the browser. A message is handled once it is drawn,
// or, while the page is hidden and draws nothing, as soon as it is received.

export class Acks {
  constructor() {
    this.begin(null);
    // A message to itself arrives after the drawing in which it was sent, and in a hidden page at once;
    // a timer would fire once a second there.
    const channel = new MessageChannel();
    this.then = channel.port2;
    channel.port1.addEventListener("message", () => this.send());
    channel.port1.start();
    document.addEventListener("visibilitychange", () => {
      if (this.due && document.hidden) this.then.postMessage(0);
    });
  }

  // The count restarts on each connection.
  begin(socket) {
    this.socket = socket;
    this.taken = 0;
    this.sent = 0;
    this.due = false;
  }

  // A message of any type was received on that connection.
  take(socket) {
    if (socket !== this.socket) return;
    this.taken += 1;
    if (this.due) return;
    this.due = true;
    if (document.hidden) this.then.postMessage(0);
    else requestAnimationFrame(() => this.then.postMessage(0));
  }

  send() {
    this.due = false;
    if (this.taken === this.sent || this.socket.readyState !== WebSocket.OPEN) return;
    this.sent = this.taken;
    this.socket.send(JSON.stringify({ ack: this.taken }));
  }
}
