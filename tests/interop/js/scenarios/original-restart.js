'use strict';

// Two original peers live through restarts of their star: they reconnect by
// themselves, answer a fresh challenge, and dial again.
//
// Settings: `url`; `restarts`, how often the test restarts the star.

const { begin, eventually, fact, once, run, settings } = require('../lib/scenario');
const { OriginalPeer, receiveText } = require('../lib/original-peer');

run(async () => {
  begin('join');
  const peers = [
    await OriginalPeer.joined(settings.url, 'rsa'),
    await OriginalPeer.joined(settings.url, 'ed25519'),
  ];
  await Promise.all([peers[0].discovers(peers[1].id), peers[1].discovers(peers[0].id)]);
  const signatures = peers.map((peer) => new Set([peer.listener.signature]));

  for (let round = 0; round < settings.restarts; round += 1) {
    const lost = peers.map((peer) => once(peer.socket, 'disconnect'));
    for (const peer of peers) peer.discovered = [];
    fact('ready', { round });
    begin(`star goes down in round ${round}`);
    const reasons = (await Promise.all(lost)).map(([reason]) => reason);
    fact('disconnected', { round, reasons });
    // Discovery of the other is the proof that both have joined the new star.
    await Promise.all([peers[0].discovers(peers[1].id), peers[1].discovers(peers[0].id)]);
    peers.forEach((peer, n) => signatures[n].add(peer.listener.signature));
    fact('rejoined', { round, answer: await ask(peers[0], peers[1]) });
  }
  fact('signatures', { distinct: signatures.map((set) => set.size) });
  fact('errors', { errors: peers.flatMap((peer) => peer.errors) });
});

async function ask(dialer, callee) {
  await eventually('both are connected', () => dialer.socket.connected && callee.socket.connected);
  begin('dial after the restart');
  const answering = callee.accept().then(async (connection) => {
    const { text } = await receiveText(connection);
    callee.send(connection, [Buffer.from(`re: ${text}`)]);
  });
  const connection = await dialer.dial(callee.address);
  dialer.send(connection, [Buffer.from('still there?')]);
  const [answer] = await Promise.all([receiveText(connection), answering]);
  return answer.text;
}
