'use strict';

// One original peer, whose counterpart is another program: it listens and
// echoes, or it dials, sends and compares what comes back.
//
// Settings: `url`; `kind` of its key; `role`, see below. As `dialer`: `address`
// to dial and `bytes` to send. As `listener`: nothing more.

const { begin, fact, run, settings } = require('../lib/scenario');
const { Meter, chunks } = require('../lib/bytes');
const { OriginalPeer, receive } = require('../lib/original-peer');

const CHUNK_BYTES = 64 * 1024;

const roles = { dialer, listener, resetter };

run(async () => {
  begin('join');
  const peer = await OriginalPeer.joined(settings.url, settings.kind);
  fact('joined', { id: peer.id, address: peer.address });
  await roles[settings.role](peer);
});

/** Dials, sends, ends its direction, and measures what comes back. */
async function dialer(peer) {
  begin('dial');
  const connection = await peer.dial(settings.address);
  begin('transfer');
  const sent = new Meter();
  const received = new Meter();
  peer.send(connection, sent.over(chunks('dialer', settings.bytes, CHUNK_BYTES)));
  const end = await receive(connection, (chunk) => received.add(chunk));
  fact('transfer', { end, sent: sent.result(), received: received.result() });
}

/** Takes one connection, reads it to its end, and sends all of it back. */
async function listener(peer) {
  begin('accept');
  const connection = await peer.accept();
  begin('transfer');
  const received = new Meter();
  const parts = [];
  const end = await receive(connection, (chunk) => {
    received.add(chunk);
    parts.push(Buffer.from(chunk));
  });
  const sent = new Meter();
  peer.send(connection, sent.over(parts));
  fact('received', { end, received: received.result() });
  // Until the test has seen the end of what is sent.
  begin('wait for the other to leave');
  await new Promise(() => {});
}

/** Takes one connection and aborts it. */
async function resetter(peer) {
  begin('accept');
  const connection = await peer.accept();
  connection.sink((end, deliver) => deliver(new Error('changed my mind')));
  begin('wait for the other to leave');
  await new Promise(() => {});
}
