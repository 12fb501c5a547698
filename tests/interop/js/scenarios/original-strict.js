'use strict';

// An original peer at a star that takes star addresses only.
//
// Settings: `url`.

const { begin, fact, refusalOf, run, settings } = require('../lib/scenario');
const { OriginalPeer, newPeerId } = require('../lib/original-peer');
const { addressOf } = require('../lib/identity');

run(async () => {
  const id = await newPeerId('ed25519');
  const address = addressOf(settings.url, id.toB58String());
  begin('join with an address that names no star');
  const plain = new OriginalPeer({ id });
  const refusal = await refusalOf(plain.listen(address.replace('/p2p-websocket-star', '')));
  fact('refused', { refusal });
  begin('join with a star address');
  const peer = new OriginalPeer({ id });
  await peer.listen(address);
  fact('joined', { address });
});
