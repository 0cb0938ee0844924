// Receives relay's webhooks and checks their Ed25519 signatures with the public key that `relay secrets public` prints.
// Needs nothing but Node 20.
import { createPublicKey, verify } from "node:crypto";
import { createServer } from "node:http";

const raw = Buffer.from(process.env.WEBHOOK_PUBLIC_KEY.replace(/^whpk_/, ""), "base64");
const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });

function signedByRelay(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": sent, "webhook-signature": signatures } = headers;
  if (!id || !signatures || !(Math.abs(Date.now() / 1000 - Number(sent)) <= 300)) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${sent}.`), body]);
  return signatures.split(" ").some((signature) => {
    const [version, text] = signature.split(",");
    return version === "v1a" && verify(null, signed, key, Buffer.from(text ?? "", "base64"));
  });
}

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  if (!signedByRelay(request.headers, body)) {
    response.writeHead(401).end();
    return;
  }
  console.log(JSON.parse(body).id);
  response.writeHead(204).end();
});
const [host, port] = (process.env.LISTEN ?? "127.0.0.1:8080").split(":");
server.listen(Number(port), host, () => {
  console.error(`listening on http://${host}:${server.address().port}/`);
});
