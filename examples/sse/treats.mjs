// Prints treats as they come. After a lost connection it goes on where it was. Needs Node 20, and no package.
const show = ({ sender, title }) => console.log(sender ?? "Somebody", "sent", title);
const headers = { Authorization: `Bearer ${process.env.RELAY_KEY}` }; // never in the URL: servers log those
for (;; await new Promise((again) => setTimeout(again, 1000))) try {
  const response = await fetch(`${process.env.RELAY_URL}/api/v1/events?type=treatrelay.treat.v1`, { headers });
  if (!response.ok) throw new Error(await response.text());
  let messages = [""];
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    messages = (messages.at(-1) + part).split("\n\n"); // the last one is not complete yet
    for (const message of messages.slice(0, -1)) {
      const { id, event, data } = Object.fromEntries(message.split("\n").map((line) => line.split(/: (.*)/s)));
      if (id) headers["Last-Event-ID"] = id;
      if (data && !event) show(JSON.parse(data).data);
    }
  }
} catch (error) { console.error(error.message); }
