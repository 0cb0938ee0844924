// Takes relay's signed requests, and prints each treat once. Needs Node 20, and nothing to install.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from((process.env.WEBHOOK_SECRET ?? "").replace(/^whsec_/, ""), "base64");
if (key.length < 24) throw new Error("WEBHOOK_SECRET is not set, or too short");
const done = new Set(); // in earnest a table in your database: it must outlive a restart

function signedByRelay(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures } = headers;
  if (!id || !time || !signatures) return false;
  if (!(Math.abs(Date.now() / 1000 - Number(time)) <= 300)) return false; // an old request, sent again by somebody
  const want = createHmac("sha256", key).update(`${id}.${time}.`).update(body).digest();
  return signatures.split(" ").some((signature) => {
    const [version, text] = signature.split(",");
    const got = Buffer.from(text ?? "", "base64");
    return version === "v1" && got.length === want.length && timingSafeEqual(got, want);
  });
}

const server = createServer(async (request, response) => {
  const end = (status) => response.writeHead(status).end();
  try {
    if (request.method !== "POST" || request.url !== "/treats") return end(404);
    const parts = [];
    let size = 0;
    for await (const part of request) {
      size += part.length;
      if (size > 8 << 20) return end(413);
      parts.push(part);
    }
    const body = Buffer.concat(parts);
    if (!signedByRelay(request.headers, body)) return end(401);
    const id = request.headers["webhook-id"];
    if (!done.has(id)) {
      const { data } = JSON.parse(body);
      console.log(id, data.sender ?? "Somebody", "sent", data.title);
      done.add(id);
    }
    end(204);
  } catch (error) {
    console.error(error);
    end(500); // relay sends it again
  }
});
const [host, port] = (process.env.LISTEN ?? "127.0.0.1:8080").split(":");
server.listen(Number(port), host, () => {
  console.error(`listening on http://${host}:${server.address().port}/treats`);
});
