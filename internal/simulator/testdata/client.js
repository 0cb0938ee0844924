// The official Socket.IO client that ships inside an npm socket.io server, used as the provider's sample program uses it.
// Arguments: the server's alias in testdata/peers, the URL, the transports ("default" or a comma-separated list).
// The working directory is testdata/peers, the token is in TOKEN. Each thing that happens is one line of JSON: [name, detail]. It ends when stdin closes.
const [, , alias, url, transports] = process.argv;
const client = require(require.resolve("socket.io-client", { paths: [require.resolve(alias, { paths: [process.cwd()] })] }));
const options = { query: "token=" + process.env.TOKEN, forceNew: true, reconnection: false };
if (transports !== "default") options.transports = transports.split(",");
const socket = client(url, options);
const tell = (name, detail) => process.stdout.write(JSON.stringify([name, detail]) + "\n");
for (const name of ["connect", "realTimeTreat", "error", "connect_error", "disconnect"]) {
  socket.on(name, (detail) => tell(name, (detail && detail.message && name !== "realTimeTreat" && detail.message) || detail));
}
socket.on("pong", () => tell("pong"));
process.stdin.resume().on("end", () => process.exit());
