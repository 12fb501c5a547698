'use strict';

// What an original peer is told when a star that challenges refuses it.
//
// Settings: `url`.

const { begin, fact, refusalOf, run, settings } = require('../lib/scenario');
const { OriginalPeer, newPeerId } = require('../lib/original-peer');
const { addressOf, keylessId } = require('../lib/identity');

run(async () => {
  const peer = await OriginalPeer.joined(settings.url, 'ed25519');
  const stranger = addressOf(settings.url, keylessId('stranger'));

  begin('join without a key');
  fact('refused', { case: 'no key', text: await refusalOf(new OriginalPeer().listen(stranger)) });

  begin('join as another peer');
  const thief = new OriginalPeer({ id: await newPeerId('rsa') });
  fact('refused', { case: 'stolen', text: await refusalOf(thief.listen(peer.address)) });

  begin('dial a peer that is not there');
  fact('refused', { case: 'absent', text: await refusalOf(peer.dial(stranger)) });
});
