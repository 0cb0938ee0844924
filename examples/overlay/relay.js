// What an overlay page needs of NATS, over a WebSocket: it takes the treats of the stream TREATS one after the other through a durable
// consumer, so what came while the page was closed or reloaded comes when it is open again. No packages, and no build.
//
//   const stop = relayTreats("ws://overlay:PASSWORD@127.0.0.1:8351", "obs", show, status)
//
// address: nats.websocket of relay.yaml, with the login of nats-overlay.json in relay's data folder
// name:    of the consumer: another one for each page
// show:    is handed one event after the other, and the next when the promise that it returns is kept
// status:  is told "connected", or in words why not
function relayTreats(address, name, show, status = () => {}) {
  const { username, password, host } = new URL(address);
  const inbox = `_INBOX.${Math.random().toString(36).slice(2)}${Date.now().toString(36)}`;
  const text = new TextDecoder();
  const bytes = new TextEncoder();
  const shown = new Set(); // the ids of late; an event comes again when its acknowledgement got lost
  let socket, received, answered, timer, asked;
  let stopped = false;
  let wait = 250;

  const send = (line, payload) => socket.send(payload === undefined ? `${line}\r\n` : `${line} ${bytes.encode(payload).length}\r\n${payload}\r\n`);
  const ask = (subject, answer, question) => send(`PUB $JS.API.CONSUMER.${subject}.TREATS.${name} ${inbox}.${answer}`, JSON.stringify(question));
  const next = () => {
    asked = Date.now();
    ask("MSG.NEXT", "next", { batch: 1, expires: 20e9 });
  };
  const again = (why, which) => { // close a connection on which it does not go on, and begin again
    status(why);
    asked = undefined;
    setTimeout(() => which.close(), 1000);
  };

  function open() {
    received = new Uint8Array(0);
    answered = true;
    asked = undefined;
    const mine = (socket = new WebSocket(`ws://${host}`));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      const more = typeof data === "string" ? bytes.encode(data) : new Uint8Array(data);
      const all = new Uint8Array(received.length + more.length);
      all.set(received);
      all.set(more, received.length);
      received = all;
      while (mine === socket && take());
    };
    socket.onclose = () => {
      clearInterval(timer);
      if (stopped || mine !== socket) return;
      status("relay is not there; trying again");
      setTimeout(() => stopped || open(), wait);
      wait = Math.min(wait * 2, 5000);
    };
    timer = setInterval(() => { // a connection that is half open does not close by itself
      if (socket.readyState !== 1) return;
      if (!answered || (asked && Date.now() - asked > 45000)) return socket.close();
      answered = false;
      send("PING");
    }, 10000);
  }

  // take takes one message of the protocol off what was received, if it is whole.
  function take() {
    const end = received.indexOf(10);
    if (end < 0) return false;
    const [verb, ...words] = text.decode(received.subarray(0, end)).trim().split(" ");
    let rest = end + 1;
    if (verb === "MSG" || verb === "HMSG") {
      const size = Number(words.at(-1));
      if (received.length < rest + size + 2) return false;
      const head = verb === "HMSG" ? Number(words.at(-2)) : 0;
      const reply = words.length > (verb === "HMSG" ? 4 : 3) ? words[2] : "";
      const headers = text.decode(received.subarray(rest, rest + head));
      const payload = text.decode(received.subarray(rest + head, rest + size));
      received = received.subarray(rest + size + 2);
      message(words[0], reply, headers, payload);
      return true;
    }
    received = received.subarray(rest);
    answered = true;
    if (verb === "INFO") {
      send(`CONNECT ${JSON.stringify({
        verbose: false, pedantic: false, headers: true, no_responders: true, lang: "relay-overlay", version: "1",
        user: decodeURIComponent(username), pass: decodeURIComponent(password),
      })}`);
      send(`SUB ${inbox}.* 1`);
      ask("CREATE", "made", {
        stream_name: "TREATS",
        config: { name, durable_name: name, deliver_policy: "new", ack_policy: "explicit", ack_wait: 10e9, max_ack_pending: 1 },
      });
    } else if (verb === "PING") {
      send("PONG");
    } else if (verb === "-ERR") {
      status(words.join(" "));
    }
    return true;
  }

  // treat is the event of a payload, or nothing if that is no treat.
  function treat(payload) {
    try {
      const event = JSON.parse(payload);
      return typeof event?.id === "string" && event.data instanceof Object ? event : undefined;
    } catch {
      return undefined;
    }
  }

  async function message(subject, reply, headers, payload) {
    const mine = socket;
    if (subject.endsWith(".made")) {
      const problem = payload ? JSON.parse(payload).error?.description : "relay has no stream TREATS yet: it needs a sink of type nats";
      if (problem) {
        again(problem, mine);
        return;
      }
      wait = 250;
      status("connected");
    } else if (reply.startsWith("$JS.ACK.")) {
      asked = undefined;
      const event = treat(payload);
      if (!event) { // it would not be one the next time
        send(`PUB ${reply}`, "+TERM");
        next();
        return;
      }
      if (!shown.has(event.id) || event.origin === "replay") {
        shown.add(event.id);
        if (shown.size > 1000) shown.delete(shown.values().next().value);
        const alive = setInterval(() => mine.readyState === 1 && mine.send(`PUB ${reply} 4\r\n+WPI\r\n`), 4000); // it takes its time
        try {
          await show(event);
        } catch (error) {
          shown.delete(event.id); // it was not shown, and comes again
          again(`a treat cannot be shown: ${error}`, mine);
          return;
        } finally {
          clearInterval(alive);
        }
      }
      if (mine !== socket || mine.readyState !== 1) return; // it comes again on the next connection, and is known then
      send(`PUB ${reply}`, "+ACK");
    } else if (!/^NATS\/1\.0 40[48]/.test(headers)) { // nothing came for a while; anything else is that the consumer is gone
      again("relay's stream does not answer; trying again", mine);
      return;
    }
    if (mine === socket && mine.readyState === 1) next();
  }

  open();
  return () => {
    stopped = true;
    clearInterval(timer);
    socket.close();
  };
}
