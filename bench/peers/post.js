'use strict';

// A user's script: treats to a webhook, signed as Standard Webhooks has it.
//
//   node post.js SOCKET_URL WEBHOOK_URL undici|fetch CONNECTIONS

const { createHmac } = require('crypto');
const { Pool } = require('undici');
const { open, limited } = require('./event.js');

const [url, webhook, way, connections] = process.argv.slice(2);
const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');

function headers({ id, text }) {
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${text}`).digest('base64');
  return {
    'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': `v1,${signature}`,
  };
}

const { origin, pathname } = new URL(webhook);
const pool = new Pool(origin, { connections: Number(connections) });

const ways = {
  async undici(event) {
    const { statusCode, body } = await pool.request({ method: 'POST', path: pathname, headers: headers(event), body: event.text });
    await body.dump();
    if (statusCode >= 300) console.error(`answer ${statusCode}`);
  },
  async fetch(event) {
    const answer = await fetch(webhook, { method: 'POST', headers: headers(event), body: event.text });
    await answer.arrayBuffer();
    if (!answer.ok) console.error(`answer ${answer.status}`);
  },
};

open(url, limited(Number(connections), ways[way]));
