'use strict';

// Original peers at a star that does not challenge.
//
// Settings: `url`.

const { begin, fact, refusalOf, run, settings } = require('../lib/scenario');
const { OriginalPeer, newPeerId, receiveText } = require('../lib/original-peer');
const { addressOf, keylessId } = require('../lib/identity');

run(async () => {
  begin('join without saying that no challenge is fine');
  const id = await newPeerId('ed25519');
  const careful = new OriginalPeer({ id });
  const refusal = await refusalOf(careful.listen(addressOf(settings.url, id.toB58String())));
  fact('careful', { refusal });

  begin('join with a key that nobody asks for');
  const allowJoinWithDisabledChallenge = true;
  const keyed = await OriginalPeer.joined(settings.url, 'rsa', { allowJoinWithDisabledChallenge });
  begin('join without a key');
  const keyless = new OriginalPeer({ allowJoinWithDisabledChallenge });
  const keylessAddress = addressOf(settings.url, keylessId('keyless'));
  await keyless.listen(keylessAddress);

  begin('dial');
  const accepting = keyless.accept();
  const connection = await keyed.dial(keylessAddress);
  keyed.send(connection, [Buffer.from('hello')]);
  fact('heard', await receiveText(await accepting));
});
