'use strict';

// Two peers on socket.io-client dial each other; bytes and ends go both ways.
//
// Settings: `url`; `peers`, two of `{ version, transport }`.

const { begin, fact, run, settings } = require('../lib/scenario');
const { RawPeer, connected } = require('../lib/raw-peer');

/** Chunks that a transport may get wrong: none, all byte values, and a long one. */
const CHUNKS = [
  Buffer.alloc(0),
  Buffer.from(Array.from({ length: 256 }, (_, value) => value)),
  Buffer.from('grüße ☎', 'utf8'),
  Buffer.alloc(70_000, 0xa5),
];

run(async () => {
  const [first, second] = [
    await RawPeer.connect(settings.url, settings.peers[0]),
    await RawPeer.connect(settings.url, settings.peers[1]),
  ];
  const lists = [await first.join(), await second.join()];
  fact('joined', {
    addresses: [first.address, second.address],
    lists,
    transports: [first.transport, second.transport],
  });
  await first.hears(second.address);

  for (const [dialer, callee] of [[first, second], [second, first]]) {
    const { dialed, accepted } = await connected(dialer, callee);
    begin(`echo of ${dialer.address}`);
    const sent = sendAll(dialed);
    const echo = await echoAll(accepted);
    const back = [];
    for (const chunk of CHUNKS) back.push(matches(await dialed.reader.chunk(), chunk));
    await sent;
    fact('echo', {
      from: accepted.from,
      intact: [...echo.intact, ...back],
      ends: [echo.end, await dialed.reader.end()],
    });
  }
  first.close();
  second.close();
});

async function sendAll(connection) {
  for (const chunk of CHUNKS) await connection.writer.write(chunk);
  await connection.writer.end();
}

/** Sends back each chunk as it comes, and ends after the other side has. */
async function echoAll(connection) {
  const intact = [];
  for (const expected of CHUNKS) {
    const chunk = await connection.reader.chunk();
    intact.push(matches(chunk, expected));
    await connection.writer.write(chunk);
  }
  const end = await connection.reader.end();
  await connection.writer.end();
  return { intact, end };
}

function matches(actual, expected) {
  return Buffer.compare(actual, expected) === 0;
}
