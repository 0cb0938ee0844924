// A Discord bot that posts the treats which relay sends it by webhook. Needs Node 20 and npm install standardwebhooks.
//
// It answers relay as soon as a treat is in its file, and posts from there: in order, each once, also when it is killed or
// Discord makes it wait.
import { appendFileSync, existsSync, fdatasyncSync, openSync, readFileSync, renameSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Webhook } from "standardwebhooks";

function need(name) {
  if (process.env[name]) return process.env[name];
  console.error(`${name} is not set`);
  process.exit(1);
}

const webhook = new Webhook(need("WEBHOOK_SECRET"));
const token = need("DISCORD_TOKEN");
const channel = need("DISCORD_CHANNEL");
const api = process.env.DISCORD_API ?? "https://discord.com/api/v10";
const file = process.env.BOT_FILE ?? "treats.jsonl";
const remember = 4 * 24 * 60 * 60 * 1000; // relay sends nothing again that is older, unless you redrive it

// The file has a line for each treat that was taken, {id, at, content}, and one when it is posted, {done: id}. Each start
// leaves out what is old.
const treats = new Map(); // by id, in the order they came
for (const line of existsSync(file) ? readFileSync(file, "utf8").split("\n") : []) {
  try {
    const entry = JSON.parse(line);
    if (entry.done) treats.get(entry.done).posted = true;
    else treats.set(entry.id, entry);
  } catch {
    // The last line is cut off when the bot was killed while it wrote. relay got no answer and sends that treat again.
  }
}
const log = openSync(`${file}.new`, "w");
for (const [id, treat] of treats) {
  if (treat.posted && treat.at < Date.now() - remember) treats.delete(id);
}
appendFileSync(log, [...treats.values()].map((treat) => `${JSON.stringify(treat)}\n`).join(""));
fdatasyncSync(log);
renameSync(`${file}.new`, file);
const waiting = [...treats.values()].filter((treat) => !treat.posted);

function write(entry) {
  try {
    appendFileSync(log, `${JSON.stringify(entry)}\n`);
    fdatasyncSync(log);
  } catch (error) {
    console.error(`write ${file}: ${error.message}`);
    process.exit(1); // the next start leaves out what is half written
  }
}

// Viewers write these texts: they are shown as they are, without any markup.
function plain(text, most) {
  const clean = text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]+/gu, " ").slice(0, most).toWellFormed().trim();
  return clean.replace(/[!-/:-@[-`{-~]/g, "\\$&");
}

function sentence({ sender, title, message }) {
  const text = `**${plain(sender ?? "Somebody", 100)}** sent **${plain(title ?? "a treat", 200)}**`;
  return message ? `${text}\n> ${plain(message, 500)}` : text;
}

let wake = () => {};

function take(event) {
  if (event.type !== "treatrelay.treat.v1" || treats.has(event.id)) return;
  const treat = { id: event.id, at: Date.now(), content: sentence(event.data) };
  write(treat);
  treats.set(treat.id, treat);
  waiting.push(treat);
  wake();
}

// post makes one request. It returns whether the message is done with, and how many seconds to wait before the next request.
async function post(treat) {
  const response = await fetch(`${api}/channels/${channel}/messages`, {
    method: "POST",
    headers: { Authorization: `Bot ${token}`, "Content-Type": "application/json", "User-Agent": "DiscordBot (https://github.com/treatrelay/relay, 1)" },
    body: JSON.stringify({
      content: treat.content,
      allowed_mentions: { parse: [] }, // nobody is notified, whatever viewers write
      nonce: treat.id.slice(-25), // Discord posts it once, even if this bot is killed before it hears of it
      enforce_nonce: true,
    }),
    signal: AbortSignal.timeout(15_000),
  });
  const answer = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("x-ratelimit-remaining") === "0" ? response.headers.get("x-ratelimit-reset-after") : 0);
  switch (response.status) {
    case 200:
      return { done: true, wait };
    case 400:
      console.error(`Discord refuses ${treat.id}, which is left out:`, JSON.stringify(answer));
      return { done: true, wait };
    case 401:
    case 403:
    case 404: // To go on asking would get this address banned. relay keeps what comes meanwhile.
      console.error(`status ${response.status}: check DISCORD_TOKEN, DISCORD_CHANNEL and what the bot may do in that channel`);
      process.exit(1);
  }
  const after = Number(answer.retry_after ?? response.headers.get("retry-after") ?? 0);
  if (response.status !== 429 || !(after > 0)) throw new Error(`Discord answers with status ${response.status}`);
  return { done: false, wait: after };
}

async function postAll() {
  for (let failures = 0; ; ) {
    if (waiting.length === 0) await new Promise((resolve) => (wake = resolve));
    let wait;
    try {
      const result = await post(waiting[0]);
      failures = 0;
      wait = result.wait && result.wait + 0.1; // timers may be a little early
      if (result.done) {
        const treat = waiting.shift();
        treat.posted = true;
        write({ done: treat.id });
      }
    } catch (error) {
      wait = Math.min(60, 2 ** failures++);
      console.error(`${error.message}; trying again in ${wait} s`);
    }
    if (wait > 0) await sleep(wait * 1000);
  }
}

const server = createServer(async (request, response) => {
  const end = (status) => response.writeHead(status).end();
  try {
    const parts = [];
    let size = 0;
    for await (const part of request) {
      size += part.length;
      if (size > 8 << 20) return end(413);
      parts.push(part);
    }
    let event;
    try {
      event = webhook.verify(Buffer.concat(parts), request.headers);
    } catch {
      return end(401);
    }
    take(event);
    end(204);
  } catch (error) {
    console.error(error.message); // without an answer relay sends the treat again
    response.destroy();
  }
});
const [host, port] = (process.env.LISTEN ?? "127.0.0.1:8080").split(":");
server.listen(Number(port), host, () => {
  console.error(`listening on http://${host}:${server.address().port}/`);
});
await postAll();
