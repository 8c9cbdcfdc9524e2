"use strict";
// An ordinary client with the WebSocket of `undici`, which is Node's own, too.

const {WebSocket} = require("undici");
const {url, opened, closed, again, handle} = require("./observing.js");

function connect() {
  const socket = new WebSocket(url());
  socket.onopen = opened;
  socket.onmessage = ({data}) => handle(data, text => socket.send(text));
  socket.onerror = ({error}) => closed(error?.message ?? "error");
  socket.onclose = ({code, reason}) => {
    closed(`${code} ${reason}`);
    again(connect);
  };
}

connect();
