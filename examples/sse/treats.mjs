// Prints treats as they come, from relay's stream of Server-Sent Events. After a lost connection it goes on where it was.
// Needs Node 20, and no package.
const headers = { Authorization: `Bearer ${process.env.RELAY_KEY}` }; // never in the URL: that would be logged
for (;; await new Promise((again) => setTimeout(again, 1000))) {
  try {
    const response = await fetch(`${process.env.RELAY_URL}/api/v1/events`, { headers });
    if (!response.ok) throw new Error(await response.text());
    let text = "";
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      const messages = (text + part).split("\n\n");
      text = messages.pop(); // the rest of it has not come yet
      for (const message of messages) {
        const field = Object.fromEntries(message.split("\n").map((line) => line.split(/: (.*)/s)));
        if (field.id) headers["Last-Event-ID"] = field.id;
        if (field.event || !field.data) continue; // a heartbeat, or relay's own
        const { id, data } = JSON.parse(field.data);
        console.log(id, data.sender ?? "Somebody", "sent", data.title);
      }
    }
  } catch (error) {
    console.error(error.message);
  }
}
