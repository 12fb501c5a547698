'use strict';

// A peer leaves by name and keeps its socket: it cannot be dialed, what it has
// open goes on, and it can join again with a fresh challenge.
//
// Settings: `url`; `peers`, two of `{ version, transport }`.

const { begin, fact, refusalOf, run, settings } = require('../lib/scenario');
const { RawPeer, connected } = require('../lib/raw-peer');

run(async () => {
  const staying = await RawPeer.connect(settings.url, settings.peers[0]);
  const leaving = await RawPeer.connect(settings.url, settings.peers[1]);
  await staying.join();
  await leaving.join();
  const { dialed, accepted } = await connected(staying, leaving);

  begin('leave');
  const answer = await leaving.call('ss-leave', leaving.address);
  const refusals = {
    to: await refusalOf(staying.dial(leaving.address)),
    from: await refusalOf(leaving.dial(staying.address)),
  };
  begin('a stream that was open before');
  await accepted.writer.write(Buffer.from('still here'));
  const text = Buffer.from(await dialed.reader.chunk()).toString();
  fact('left', { answer, refusals, text });

  const others = await leaving.join();
  const again = await connected(staying, leaving);
  await again.dialed.writer.end();
  fact('rejoined', { others, staying: staying.address, end: await again.accepted.reader.end() });
});
