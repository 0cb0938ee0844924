// Prints the treats of the stream TREATS as they come. Its consumer is durable: what was sent while it did not run comes when it is back.
// Needs Node 20 and npm install @nats-io/transport-node @nats-io/jetstream.
import { connect, nanos } from "@nats-io/transport-node";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";

const url = new URL(process.env.NATS_URL);
const nc = await connect({
  servers: url.host,
  user: url.username,
  pass: url.password,
  maxReconnectAttempts: -1,
});
const manager = await jetstreamManager(nc);
await manager.consumers.add("TREATS", {
  durable_name: "alerts-node", // another name for each program
  deliver_policy: DeliverPolicy.New, // where the very first start begins
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(5000), // after which an event that was not acknowledged comes again
  max_ack_pending: 1, // keeps the order when it does
});
const consumer = await jetstream(nc).consumers.get("TREATS", "alerts-node");
for await (const msg of await consumer.consume()) {
  const event = treat(msg);
  if (!event) {
    msg.term(); // it would not be one the next time
    continue;
  }
  console.log(event.id, event.data.sender ?? "Somebody", "sent", event.data.title);
  msg.ack(); // only now is it done
}

// treat is the event of a message, or nothing if that is no treat.
function treat(msg) {
  try {
    const event = msg.json();
    return typeof event?.id === "string" && event.data instanceof Object ? event : undefined;
  } catch {
    return undefined;
  }
}
