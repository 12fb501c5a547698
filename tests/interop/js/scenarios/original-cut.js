'use strict';

// The connection of an original peer to the star breaks in mid transfer: the
// other side must not take what it has for the whole.
//
// Settings: `url`.

const { begin, fact, run, settings } = require('../lib/scenario');
const { OriginalPeer, receive } = require('../lib/original-peer');

run(async () => {
  const reader = await OriginalPeer.joined(settings.url, 'ed25519');
  const writer = await OriginalPeer.joined(settings.url, 'ed25519');
  begin('dial');
  const accepting = writer.accept();
  const dialed = await reader.dial(writer.address);
  const accepted = await accepting;

  begin('break in mid transfer');
  let bytes = 0;
  const ending = receive(dialed, (chunk) => {
    bytes += chunk.length;
    // As a process that is killed: no goodbye on any layer above TCP.
    writer.socket.io.engine.transport.ws.terminate();
  });
  accepted.sink((end, deliver) => {
    if (end) deliver(end);
    else if (bytes === 0) setImmediate(() => deliver(null, Buffer.alloc(1024, 7)));
  });
  const end = await ending;
  fact('cut', { end, got_some: bytes > 0 });
});
