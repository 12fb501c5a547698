'use strict';

// Two original peers send each other bytes through one connection, both at once.
//
// Settings: `url`; `bytes` each way; `chunk_bytes`.

const { begin, fact, run, settings } = require('../lib/scenario');
const { Meter, chunks } = require('../lib/bytes');
const { OriginalPeer, receive } = require('../lib/original-peer');

run(async () => {
  begin('join');
  const [dialer, listener] = await Promise.all([
    OriginalPeer.joined(settings.url, 'ed25519'),
    OriginalPeer.joined(settings.url, 'ed25519'),
  ]);
  begin('dial');
  const accepting = listener.accept();
  const dialed = await dialer.dial(listener.address);
  const accepted = await accepting;

  begin('transfer');
  const sent = { dialer: new Meter(), listener: new Meter() };
  const received = { dialer: new Meter(), listener: new Meter() };
  send('dialer', dialer, dialed, sent.dialer);
  let answers = false;
  const ends = await Promise.all([
    receive(dialed, (chunk) => received.listener.add(chunk)),
    receive(accepted, (chunk) => {
      received.dialer.add(chunk);
      // With the first chunk the star has told the listener, too, to go on; what
      // is sent before would wait in the client's memory.
      if (!answers) send('listener', listener, accepted, sent.listener);
      answers = true;
    }),
  ]);
  fact('ends', { ends });
  for (const writer of ['dialer', 'listener']) {
    const [from, to] = [sent[writer].result(), received[writer].result()];
    fact('transfer', { writer, sent: from, received: to });
  }
});

function send(seed, peer, connection, meter) {
  peer.send(connection, meter.over(chunks(seed, settings.bytes, settings.chunk_bytes)));
}
