'use strict';

// Two peers on socket.io-client live through restarts of their star: the client
// reconnects by itself, the peer joins again and dials again.
//
// Settings: `url`; `peers`, two of `{ version, transport }`; `restarts`, how often
// the test restarts the star.

const { begin, fact, once, run, settings } = require('../lib/scenario');
const { RawPeer, connected } = require('../lib/raw-peer');

run(async () => {
  const peers = [];
  for (const options of settings.peers) {
    const peer = await RawPeer.connect(settings.url, { ...options, reconnection: true });
    await peer.join();
    peers.push(peer);
  }
  for (let round = 0; round < settings.restarts; round += 1) {
    const lost = peers.map((peer) => once(peer.socket, 'disconnect'));
    const back = peers.map((peer) => once(peer.socket, 'connect'));
    fact('ready', { round });
    begin(`star goes down in round ${round}`);
    const reasons = (await Promise.all(lost)).map(([reason]) => reason);
    fact('disconnected', { round, reasons });
    begin(`star comes back in round ${round}`);
    await Promise.all(back);
    for (const peer of peers) await peer.join();
    const { dialed, accepted } = await connected(peers[0], peers[1]);
    await dialed.writer.write(Buffer.from('still there'));
    const text = Buffer.from(await accepted.reader.chunk()).toString();
    fact('rejoined', { round, text });
  }
});
