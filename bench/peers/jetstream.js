'use strict';

// A user's script: treats to JetStream, each publish acknowledged.
//
//   node jetstream.js SOCKET_URL NATS_URL IN_FLIGHT

const { connect } = require('@nats-io/transport-node');
const { jetstream, jetstreamManager } = require('@nats-io/jetstream');
const { open, limited } = require('./event.js');

async function main() {
  const [url, servers, inFlight] = process.argv.slice(2);
  const nc = await connect({ servers });
  const manager = await jetstreamManager(nc);
  await manager.streams.add({ name: 'TREATS', subjects: ['treats.>'] });
  const js = jetstream(nc);
  const encoder = new TextEncoder();
  const publish = ({ id, text }) => js.publish('treats.treatstream.mystream', encoder.encode(text), { msgID: id });
  open(url, limited(Number(inFlight), publish));
}

main();
