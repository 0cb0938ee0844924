'use strict';

// A real token endpoint for relay's tests of client credentials: npm `oauth2-mock-server`, which takes JSON as well as forms
// and puts the parameters scope and aud into the JWT it issues.
//
//   node mock.js
//
// When it listens on 127.0.0.1 it prints one line, {"port":12345}, and it ends when stdin closes. Its endpoint is
// /oauth/token. A client_id other than relay-peer is refused with invalid_client.

async function main() {
  const { OAuth2Server } = await import('oauth2-mock-server');
  const server = new OAuth2Server(undefined, undefined, { endpoints: { token: '/oauth/token' } });
  await server.issuer.keys.generate('RS256');
  server.service.on('beforeResponse', (response, req) => {
    if (req.body.client_id !== 'relay-peer') {
      response.statusCode = 401;
      response.body = { error: 'invalid_client' };
    }
  });
  await server.start(0, '127.0.0.1');
  process.stdout.write(JSON.stringify({ port: server.address().port }) + '\n');
}

main().catch((err) => {
  process.stderr.write(`mock.js: ${err.stack}\n`);
  process.exit(1);
});
process.stdin.on('close', () => process.exit(0)).resume();
