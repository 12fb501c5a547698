'use strict';

// The unmodified `libp2p-websocket-star-rendezvous` on a port of 127.0.0.1. Prints
// its URL as one line when it listens, and runs until its stdin ends.
//
// Settings, as JSON in the first argument: `challenge`, whether a peer has to
// prove its address; `port`, 0 for a free one.

const rendezvous = require('libp2p-websocket-star-rendezvous');

const { challenge = true, port = 0 } = JSON.parse(process.argv[2] ?? '{}');

async function main() {
  const server = await rendezvous.start({
    // Its own `port` takes 0 for no setting at all.
    hapi: { port, host: '127.0.0.1' },
    cryptoChallenge: challenge,
  });
  process.stdout.write(`${server.info.uri}\n`);
}

process.stdin.on('end', () => process.exit(0)).resume();
main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
