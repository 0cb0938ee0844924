'use strict';

// TreatStream's place in the benchmark: the official Socket.IO 2.5.1 server.
//
//   node emitter.js [--port 0]
//
// When it listens it prints {"port":12345}. From then on it takes one JSON object a line on stdin and answers each, in order, with one
// JSON line, {"ok":true,...} or {"ok":false,"error":"..."}:
//
//   {"cmd":"emit","count":1000,"rate":0}   send so many treats to every connection; rate a second, 0 for as fast as they go.
//                                          It answers when the last one is written.
//   {"cmd":"greet"}                        from now on, send one treat to each new connection, at once
//   {"cmd":"clock"}                        {"now": what the treats are stamped with}
//   {"cmd":"report"}                       {"connections": open now, "connected": so far}
//
// A treat's message is its number and the time when it was given to the server, in microseconds since 1970. It ends when stdin closes.

const http = require('http');
const readline = require('readline');
const { performance } = require('perf_hooks');

const at = process.argv.indexOf('--port');
const port = at > 0 ? Number(process.argv[at + 1]) : 0;
const say = (object) => process.stdout.write(JSON.stringify(object) + '\n');

const server = http.createServer();
const io = require('socket.io')(server, { perMessageDeflate: false, httpCompression: false });
const sockets = new Set();
let connected = 0;
let greeting = false;
io.on('connection', (socket) => {
  connected++;
  sockets.add(socket);
  if (greeting) socket.emit('realTimeTreat', treat(today()));
  socket.on('disconnect', () => sockets.delete(socket));
});

// TCP's own buffers take what the reader has not read yet; beyond them nothing is piled up here.
const inTheWay = 1 << 18;
const full = () => {
  for (const socket of sockets) {
    const ws = socket.conn.transport.socket;
    if (ws && ws.bufferedAmount > inTheWay) return true;
  }
  return false;
};
const turn = () => new Promise(setImmediate);
// Between treats that are a millisecond and more apart the processor is left to the others.
const nap = () => new Promise((done) => setTimeout(done, 1));
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

let number = 0;
function treat(date) {
  number++;
  return {
    sender: 'GenerousViewer' + (number % 997), sender_type: 'twitch', receiver: 'streamer', receiver_type: 'twitch',
    title: 'Large Pizza', message: `${number} ${now()} enjoy it, this was a great stream!`, date_created: date,
  };
}

const today = () => new Date().toISOString().slice(0, 19).replace('T', ' ');

const commands = {
  async emit({ count, rate }) {
    const pause = rate > 0 && rate <= 1000 ? nap : turn;
    const began = performance.now();
    let sent = 0;
    while (sent < count) {
      const due = rate ? Math.min(count, Math.floor(((performance.now() - began) * rate) / 1000)) : Math.min(count, sent + 100);
      const date = today();
      for (; sent < due; sent++) io.sockets.emit('realTimeTreat', treat(date));
      do await pause(); while (full());
    }
    return { took: (performance.now() - began) / 1000 };
  },
  greet() {
    greeting = true;
  },
  clock() {
    return { now: now() };
  },
  report() {
    return { connections: sockets.size, connected };
  },
};

server.listen(port, '127.0.0.1', 1024, () => say({ port: server.address().port }));

let queue = Promise.resolve();
readline.createInterface({ input: process.stdin })
  .on('line', (line) => {
    queue = queue.then(async () => {
      try {
        const command = JSON.parse(line);
        if (!Object.hasOwn(commands, command.cmd)) throw new Error(`unknown command ${command.cmd}`);
        say({ ok: true, ...(await commands[command.cmd](command)) });
      } catch (err) {
        say({ ok: false, error: err.message });
      }
    });
  })
  .on('close', () => process.exit(0));
