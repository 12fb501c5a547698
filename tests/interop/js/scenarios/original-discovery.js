'use strict';

// One original peer joins and hears of another program's peer, which was there
// before it, or comes after it.
//
// Settings: `url`; `kind` of its key; `id` of the other.

const { fact, run, settings } = require('../lib/scenario');
const { OriginalPeer } = require('../lib/original-peer');

run(async () => {
  const peer = await OriginalPeer.joined(settings.url, settings.kind);
  fact('joined', { id: peer.id, address: peer.address });
  fact('discovered', await peer.discovers(settings.id));
});
