'use strict';

// What the peers share: the way in, by the official client, and the event that they make of a treat, which is as relay's.

const { createHash } = require('crypto');
const io = require('socket.io-client');

// open connects to the server and hands every treat's event to take.
exports.open = (url, take) => {
  const socket = io(url, { transports: ['websocket'] });
  socket.on('connect', () => console.log('connected'));
  socket.on('realTimeTreat', (treat) => take(event(treat)));
};

function event(treat) {
  const recorded = new Date().toISOString();
  const id = 'trt_' + createHash('sha256')
    .update([treat.sender, treat.sender_type, treat.receiver, treat.receiver_type, treat.title, treat.message, treat.date_created].join('\0'))
    .digest('hex').slice(0, 26);
  const text = JSON.stringify({
    specversion: '1.0', id, source: '/treatstream/mystream', type: 'treatrelay.treat.v1',
    time: treat.date_created.replace(' ', 'T') + 'Z', recordedtime: recorded, datacontenttype: 'application/json', origin: 'live',
    data: { account: 'mystream', provider: 'treatstream', ...treat, anonymous: !treat.sender },
  });
  return { id, text };
}

// limited runs work on what it is given, so many at a time, and queues the rest in memory.
exports.limited = (limit, work) => {
  const waiting = [];
  let next = 0;
  let running = 0;
  async function run() {
    running++;
    while (next < waiting.length) {
      const item = waiting[next];
      waiting[next++] = undefined;
      if (next === waiting.length) {
        waiting.length = 0;
        next = 0;
      }
      await work(item);
    }
    running--;
  }
  return (item) => {
    waiting.push(item);
    if (running < limit) run();
  };
};
