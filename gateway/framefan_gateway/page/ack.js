// Tells the gateway how many messages this page is done with: what waits there can still be replaced
// by something newer, what waits in a browser cannot. Messages are done with once they are drawn;
// while nobody sees the page nothing is drawn, and they are done with as soon as they were taken.

export class Acks {
  constructor() {
    this.begin(null);
    // A message to itself comes after the drawing that it was sent in, and in a hidden page at once,
    // where a timer would come once a second.
    const channel = new MessageChannel();
    this.then = channel.port2;
    channel.port1.addEventListener("message", () => this.send());
    channel.port1.start();
    document.addEventListener("visibilitychange", () => {
      if (this.due && document.hidden) this.then.postMessage(0);
    });
  }

  // The gateway counts anew on each connection.
  begin(socket) {
    this.socket = socket;
    this.taken = 0;
    this.sent = 0;
    this.due = false;
  }

  // A message of that connection was taken, of whatever type.
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
