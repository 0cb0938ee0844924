'use strict';

// So many connections of the official client in one process, each with a listener.
//
//   node idle.js SOCKET_URL COUNT

const io = require('socket.io-client');

const [url, count] = process.argv.slice(2);
for (let n = 0; n < Number(count); n++) {
  const socket = io(url, { transports: ['websocket'], forceNew: true });
  socket.on('realTimeTreat', () => {});
}
