'use strict';

// A real Socket.IO server for relay's interoperability tests: `socket.io` 1.7.2, 2.5.1 or 4.8.1, steered from outside.
//
//   node server.js --version 1|2|4 [--port 0] [--host 127.0.0.1]
//     --ping-interval MS   --ping-timeout MS    heartbeat of the server (its own defaults otherwise)
//     --allow-eio3                              version 4 only: also serve Engine.IO 3 clients
//     --namespace /x                            a second namespace (repeatable)
//     --auth-delay MS                           io.use answers only after MS
//     --reject TEXT                             io.use refuses every connection with TEXT
//     --single-use                              io.use refuses a connection without a token, or with one seen before
//     --tls-key FILE --tls-cert FILE            serve wss
//
// When it listens it prints one line, {"port":12345,"version":"1.7.2"}. From then on it takes one JSON object a line
// on stdin and answers each with one JSON line, in order, {"ok":true,...} or {"ok":false,"error":"..."}:
//
//   {"cmd":"emit","event":"realTimeTreat","args":[{...}]}    send an event to every socket of "/"
//       "namespace":"/x"   in that namespace instead
//       "times":100        so often; the string "$n" anywhere in args becomes the number 1, 2, 3, ...
//       "payloads":[...]   instead of args: one event for each element, which is its only argument
//       "each":10          wait so many milliseconds between two events
//   {"cmd":"binary","event":"x","base64":["AAE="]}           send an event whose arguments are these buffers
//   {"cmd":"ask","event":"x","args":[{...}]}            send an event that asks for an acknowledgement to every socket of "/",
//       "base64":["AAE="]  with these buffers behind the arguments; it answers when all have acknowledged, within 20 s
//   {"cmd":"raw","text":"42"}                                send this Engine.IO message as it stands (without the "4")
//   {"cmd":"disconnect"}                                     disconnect every socket the Socket.IO way
//   {"cmd":"close"}                                          close every Engine.IO transport
//   {"cmd":"drop"}                                           destroy every TCP connection without a word
//   {"cmd":"report"}                                         {"connections": open now, "connected": so far on "/",
//                                                             "tokens": the ?token= of each engine connection,
//                                                             "protocols": its Engine.IO revision, "heartbeats": frames}
//
// It ends when stdin closes.

const fs = require('fs');
const http = require('http');
const https = require('https');
const path = require('path');
const readline = require('readline');

function options(argv) {
  const opts = { version: '2', port: '0', host: '127.0.0.1', namespace: [] };
  const flags = new Set(['allow-eio3', 'single-use']);
  const known = new Set(['version', 'port', 'host', 'ping-interval', 'ping-timeout', 'namespace', 'auth-delay',
    'reject', 'tls-key', 'tls-cert']);
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i].replace(/^--/, '');
    if (flags.has(name)) {
      opts[name] = true;
    } else if (known.has(name) && i + 1 < argv.length) {
      const value = argv[++i];
      if (Array.isArray(opts[name])) opts[name].push(value);
      else opts[name] = value;
    } else {
      process.stderr.write(`server.js: unknown or incomplete option ${argv[i]}\n`);
      process.exit(64);
    }
  }
  return opts;
}

const opts = options(process.argv.slice(2));
const say = (object) => process.stdout.write(JSON.stringify(object) + '\n');

const server = opts['tls-key']
  ? https.createServer({ key: fs.readFileSync(opts['tls-key']), cert: fs.readFileSync(opts['tls-cert']) })
  : http.createServer();

const wires = new Set(); // open TCP connections
server.on('connection', (wire) => {
  wires.add(wire);
  wire.on('close', () => wires.delete(wire));
});

const settings = {};
if (opts['ping-interval']) settings.pingInterval = Number(opts['ping-interval']);
if (opts['ping-timeout']) settings.pingTimeout = Number(opts['ping-timeout']);
if (opts['allow-eio3']) settings.allowEIO3 = true;

const name = `socket.io-${opts.version}`;
const io = require(name)(server, settings);
const { version } = JSON.parse(fs.readFileSync(path.join(__dirname, 'node_modules', name, 'package.json')));
const namespaces = ['/', ...opts.namespace].map((nsp) => io.of(nsp));

const seen = { connected: 0, tokens: [], protocols: [], heartbeats: 0 };

io.engine.on('connection', (engine) => {
  const query = engine.request._query || {};
  seen.tokens.push(query.token === undefined ? null : query.token);
  seen.protocols.push(Number(query.EIO));
  engine.on('packet', (packet) => {
    if (packet.type === 'ping' || packet.type === 'pong') seen.heartbeats++;
  });
});

const spent = new Set();
io.use((socket, next) => {
  const { token } = socket.handshake.query;
  let refusal = opts.reject;
  if (opts['single-use']) {
    if (!token || spent.has(token)) refusal = refusal || 'invalid token';
    spent.add(token);
  }
  const answer = () => next(refusal ? new Error(refusal) : undefined);
  if (opts['auth-delay']) setTimeout(answer, Number(opts['auth-delay']));
  else answer();
});

const sockets = new Map(namespaces.map((nsp) => [nsp.name, new Set()]));
for (const nsp of namespaces) {
  nsp.on('connection', (socket) => {
    if (nsp.name === '/') seen.connected++;
    sockets.get(nsp.name).add(socket);
    socket.on('disconnect', () => sockets.get(nsp.name).delete(socket));
  });
}

// number replaces "$n" anywhere in value.
function number(value, n) {
  if (value === '$n') return n;
  if (Array.isArray(value)) return value.map((item) => number(item, n));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, number(item, n)]));
  }
  return value;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const commands = {
  async emit({ event, args = [], payloads, times = 1, namespace = '/', each = 0 }) {
    const nsp = io.of(namespace);
    const count = payloads ? payloads.length : times;
    for (let n = 1; n <= count; n++) {
      nsp.emit(event, ...(payloads ? [payloads[n - 1]] : number(args, n)));
      if (each) await sleep(each);
      else if (n % 1000 === 0) await new Promise(setImmediate); // lets the heartbeats through
    }
    return { sent: count };
  },
  binary({ event, base64, namespace = '/' }) {
    io.of(namespace).emit(event, ...base64.map((text) => Buffer.from(text, 'base64')));
  },
  async ask({ event, args = [], base64 = [] }) {
    const buffers = base64.map((text) => Buffer.from(text, 'base64'));
    const asked = [...sockets.get('/')].map((socket) => new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error('not acknowledged within 20 s')), 20000);
      socket.emit(event, ...args, ...buffers, (...answer) => { clearTimeout(limit); resolve(answer); });
    }));
    return { answers: await Promise.all(asked) };
  },
  raw({ text }) {
    for (const socket of sockets.get('/')) socket.conn.write(text);
  },
  disconnect() {
    for (const socket of [...sockets.get('/')]) socket.disconnect(true);
  },
  close() {
    for (const socket of [...sockets.get('/')]) socket.conn.close();
  },
  drop() {
    for (const wire of [...wires]) wire.destroy();
  },
  report() {
    return { connections: sockets.get('/').size, ...seen };
  },
};

server.listen(Number(opts.port), opts.host, () => {
  say({ port: server.address().port, version });
});

let turn = Promise.resolve();
readline.createInterface({ input: process.stdin })
  .on('line', (line) => {
    turn = turn.then(async () => {
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
