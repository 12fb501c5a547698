'use strict';

// A star that announces often: original peers hear of each other again and again,
// and of a peer that has left no more.
//
// Settings: `url`.

const { eventually, fact, run, settings } = require('../lib/scenario');
const { OriginalPeer, forgotten } = require('../lib/original-peer');

const REPEATS = 3;

run(async () => {
  const staying = [
    await OriginalPeer.joined(settings.url, 'ed25519'),
    await OriginalPeer.joined(settings.url, 'ed25519'),
  ];
  const leaving = await OriginalPeer.joined(settings.url, 'ed25519');
  const all = [...staying, leaving];
  for (const peer of all) {
    for (const other of all) {
      if (peer !== other) await hearsRepeatedly(peer, other.id, REPEATS);
    }
  }
  fact('announced', { peers: all.length, self: selfDiscoveries(all) });

  await leaving.close();
  const refusal = await forgotten(staying[0], leaving.address);
  // The refusal came after everything that the star had said of the peer before.
  const before = staying[0].timesDiscovered(leaving.id);
  const heard = staying[0].timesDiscovered(staying[1].id);
  await hearsRepeatedly(staying[0], staying[1].id, heard + REPEATS);
  const after = staying[0].timesDiscovered(leaving.id);
  fact('forgotten', { refusal, announcements_after: after - before });
});

function hearsRepeatedly(peer, id, times) {
  return eventually(`${peer.id} hears of ${id} ${times} times`, () => {
    return peer.timesDiscovered(id) >= times;
  });
}

function selfDiscoveries(peers) {
  return peers.reduce((sum, peer) => sum + peer.timesDiscovered(peer.id), 0);
}
