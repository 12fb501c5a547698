'use strict';

// A peer that says `/ipfs/` and one that says `/p2p/`: each sees the other in its
// own spelling, and either may show its key in hex or in base64.
//
// Settings: `url`.

const { begin, fact, run, settings } = require('../lib/scenario');
const { addressOf } = require('../lib/identity');
const { RawPeer } = require('../lib/raw-peer');

run(async () => {
  const transport = 'websocket';
  const old = await RawPeer.connect(settings.url, { version: 2, transport, spelling: 'ipfs' });
  const modern = await RawPeer.connect(settings.url, { version: 4, transport, spelling: 'p2p' });
  await old.join();
  const others = await modern.join(modern.identity.publicKey.toString('base64'));
  const seen = {
    old: addressOf(settings.url, old.identity.id, 'p2p'),
    modern: addressOf(settings.url, modern.identity.id, 'ipfs'),
  };
  fact('list', { others, expected: [seen.old] });
  await old.hears(seen.modern);
  fact('announced', { announced: [...new Set(old.announced)], expected: [seen.modern] });

  await dial(old, seen.modern, modern, 'own spelling', seen.old);
  await dial(modern, seen.old, old, 'own spelling', seen.modern);
  await dial(old, modern.address, modern, 'spelling of the callee', seen.old);
  await dial(modern, old.address, old, 'spelling of the callee', seen.modern);
});

async function dial(dialer, address, callee, name, expected) {
  begin(`dial in the ${name}`);
  const [dialed, accepted] = await Promise.all([dialer.dial(address), callee.accept()]);
  await dialed.writer.write(Buffer.from(name));
  const text = Buffer.from(await accepted.reader.chunk()).toString();
  fact('dialed', { spelling: name, text, from: accepted.from, expected });
}
