'use strict';

// Two original peers dial each other many times at once; every connection
// carries its own text there and back.
//
// Settings: `url`; `dials` by each of the two.

const { begin, fact, run, settings } = require('../lib/scenario');
const { OriginalPeer, receiveText } = require('../lib/original-peer');

run(async () => {
  begin('join');
  const peers = await Promise.all([
    OriginalPeer.joined(settings.url, 'ed25519'),
    OriginalPeer.joined(settings.url, 'ed25519'),
  ]);
  begin('dial');
  const answered = peers.map((peer) => answerAll(peer));
  const texts = await Promise.all(peers.flatMap((dialer, side) => {
    const callee = peers[1 - side];
    return Array.from({ length: settings.dials }, (_, n) => {
      return exchange(dialer, callee.address, `connection ${n} of peer ${side}`);
    });
  }));
  begin('answer');
  await Promise.all(answered);
  fact('exchanged', { connections: texts.length, distinct: new Set(texts).size });
});

async function answerAll(peer) {
  await Promise.all(Array.from({ length: settings.dials }, async () => {
    const connection = await peer.accept();
    const { text, end } = await receiveText(connection);
    if (end !== true) throw new Error(`the callee's stream ended with ${end}`);
    peer.send(connection, [Buffer.from(`re: ${text}`)]);
  }));
}

async function exchange(dialer, address, text) {
  const connection = await dialer.dial(address);
  dialer.send(connection, [Buffer.from(text)]);
  const answer = await receiveText(connection);
  if (answer.end !== true) throw new Error(`the dialer's stream ended with ${answer.end}`);
  if (answer.text !== `re: ${text}`) throw new Error(`${text} was answered: ${answer.text}`);
  return answer.text;
}
