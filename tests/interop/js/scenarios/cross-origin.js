'use strict';

// What a browser at another origin asks before it lets socket.io-client 2 poll:
// that client sends its requests with credentials, and its binary payloads after
// a preflight.
//
// Settings: `url`.

const { begin, fact, run, settings } = require('../lib/scenario');

const ORIGIN = 'https://app.example';

run(async () => {
  const url = new URL('/socket.io/?EIO=3&transport=polling', settings.url);
  begin('open');
  const open = await fetch(url, { headers: { origin: ORIGIN } });
  fact('allowed', { request: 'open', status: open.status, ...permissions(open) });
  const [, sid] = /"sid":"([^"]+)"/.exec(await open.text());
  url.searchParams.set('sid', sid);

  begin('preflight');
  const preflight = await fetch(url, {
    method: 'OPTIONS',
    headers: {
      origin: ORIGIN,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    },
  });
  await preflight.text();
  const headers = preflight.headers.get('access-control-allow-headers') ?? '';
  fact('allowed', { request: 'preflight', status: preflight.status, ...permissions(preflight) });
  fact('preflight', { headers: headers.toLowerCase().split(/\s*,\s*/) });

  begin('post');
  const post = await fetch(url, {
    method: 'POST',
    headers: { origin: ORIGIN, 'content-type': 'application/octet-stream' },
    body: Buffer.from([0x00, 0x01, 0xff, 0x32]),
  });
  fact('allowed', { request: 'post', status: post.status, ...permissions(post) });
  fact('posted', { body: await post.text() });
});

/** Returns what a browser compares for a request with credentials. */
function permissions(response) {
  return {
    origin: response.headers.get('access-control-allow-origin') === ORIGIN,
    credentials: response.headers.get('access-control-allow-credentials'),
  };
}
