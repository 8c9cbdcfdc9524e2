"use strict";
// An ordinary client with `ws` on Node.

const WebSocket = require("ws");
const {url, opened, closed, again, handle} = require("./observing.js");

function connect() {
  const socket = new WebSocket(url());
  socket.on("open", opened);
  socket.on("message", data => handle(data, text => socket.send(text)));
  socket.on("error", error => closed(error.message));
  socket.on("close", (code, reason) => {
    closed(`${code} ${reason}`);
    again(connect);
  });
}

connect();
