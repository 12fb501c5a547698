'use strict';

// Single messages of many megabytes between two peers on socket.io-client.
//
// Settings: `url`; `peers`, two of `{ version, transport }`; `sizes` in bytes.

const { begin, fact, run, settings } = require('../lib/scenario');
const { Meter, chunks } = require('../lib/bytes');
const { RawPeer, connected } = require('../lib/raw-peer');

run(async () => {
  const first = await RawPeer.connect(settings.url, settings.peers[0]);
  const second = await RawPeer.connect(settings.url, settings.peers[1]);
  await first.join();
  await second.join();
  const { dialed, accepted } = await connected(first, second);
  for (const size of settings.sizes) {
    await transfer('dialer', dialed.writer, accepted.reader, size);
    await transfer('listener', accepted.writer, dialed.reader, size);
  }
});

async function transfer(name, writer, reader, size) {
  begin(`one message of ${size} bytes from the ${name}`);
  const [message] = chunks(name, size, size);
  const [sent, received] = [new Meter(), new Meter()];
  sent.add(message);
  await writer.write(message);
  received.add(await reader.chunk());
  fact('transfer', { writer: name, sent: sent.result(), received: received.result() });
}
