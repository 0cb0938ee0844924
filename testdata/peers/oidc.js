'use strict';

// A real OpenID provider for relay's tests of tokens: npm `oidc-provider`. It rotates refresh tokens, and a token that comes
// twice ends the whole grant. A login needs PKCE and no click: whoever asks is logged in and has consented.
//
//   node oidc.js
//
// When it listens on 127.0.0.1 it prints one line, {"port":12345}, and it ends when stdin closes. Its endpoints are /auth,
// /token, /token/revocation and /me; its client is relay-peer with the secret canary-secret-of-the-client, whose redirect URL is
// http://127.0.0.1/back on any port.

const http = require('http');

async function main() {
  const { default: Provider } = await import('oidc-provider');
  const server = http.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();

  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [{
      client_id: 'relay-peer',
      client_secret: 'canary-secret-of-the-client',
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1/back'],
      token_endpoint_auth_method: 'client_secret_post',
    }],
    cookies: { keys: ['for a test'] },
    features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: () => true,
    expiresWithSession: () => false,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: { AccessToken: 600, RefreshToken: 86400, Grant: 86400, Interaction: 600, Session: 600, IdToken: 600 },
  });

  // finish answers an interaction as a willing user would.
  async function finish(req, res) {
    const { prompt, params, session } = await provider.interactionDetails(req, res);
    if (prompt.name === 'login') {
      await provider.interactionFinished(req, res, { login: { accountId: 'viewer' } });
      return;
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    const grantId = await grant.save();
    await provider.interactionFinished(req, res, { consent: { grantId } }, { mergeWithLastSubmission: true });
  }

  const serve = provider.callback();
  server.on('request', (req, res) => {
    if (!req.url.startsWith('/interaction/')) {
      serve(req, res);
      return;
    }
    finish(req, res).catch((err) => {
      res.statusCode = 500;
      res.end(String(err));
    });
  });
  process.stdout.write(JSON.stringify({ port }) + '\n');
}

main().catch((err) => {
  process.stderr.write(`oidc.js: ${err.stack}\n`);
  process.exit(1);
});
process.stdin.on('close', () => process.exit(0)).resume();
