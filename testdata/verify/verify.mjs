// Receives relay's webhooks and checks their signatures with npm standardwebhooks.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  try {
    const event = webhook.verify(Buffer.concat(parts), request.headers); // throws if the signature is not right
    console.log(event.id);
    response.writeHead(204).end();
  } catch {
    response.writeHead(401).end();
  }
});
const [host, port] = (process.env.LISTEN ?? "127.0.0.1:8080").split(":");
server.listen(Number(port), host, () => {
  console.error(`listening on http://${host}:${server.address().port}/`);
});
