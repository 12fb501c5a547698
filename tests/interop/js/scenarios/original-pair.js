'use strict';

// Two original peers join, find each other, dial each other, and one leaves.
//
// Settings: `url`; `kinds`, the kinds of their keys.

const { begin, fact, run, settings } = require('../lib/scenario');
const { OriginalPeer, forgotten, receiveText } = require('../lib/original-peer');

run(async () => {
  begin('the first peer joins');
  const first = await OriginalPeer.joined(settings.url, settings.kinds[0]);
  fact('joined', { who: 'first', id: first.id, address: first.address });
  begin('the second peer joins');
  const second = await OriginalPeer.joined(settings.url, settings.kinds[1]);
  fact('joined', { who: 'second', id: second.id, address: second.address });

  // The star announces nothing at intervals here, so the second can only have
  // heard of the first with its join, and the first of the second by an event.
  fact('discovered', { by: 'first', ...await first.discovers(second.id) });
  fact('discovered', { by: 'second', ...await second.discovers(first.id) });

  await echo(first, second, 'first');
  await echo(second, first, 'second');
  await leave(first, second);
});

/** Dials; the callee answers what it got, with a greeting. */
async function echo(dialer, callee, name) {
  begin(`the ${name} peer dials`);
  const answering = callee.accept().then(async (connection) => {
    const { text, end } = await receiveText(connection);
    const observed = await observedAddress(connection);
    callee.send(connection, [Buffer.from('re: '), Buffer.from(text)]);
    return { heard: text, ended: end, observed };
  });
  const connection = await dialer.dial(callee.address);
  // Half-close: the end of what is written comes before the answer is read.
  dialer.send(connection, [Buffer.from('grüße, '), Buffer.from([0x00]), Buffer.from(name)]);
  const answer = await receiveText(connection);
  const callees = await answering;
  fact('echo', { dialer: name, answer: answer.text, ended: answer.end, callee: callees });
}

function observedAddress(connection) {
  return new Promise((resolve, reject) => {
    connection.getObservedAddrs((error, addresses) => {
      if (error) reject(error);
      else resolve(String(addresses[0]));
    });
  });
}

async function leave(left, leaving) {
  begin('the second peer closes its listener');
  await leaving.close();
  const refusal = await forgotten(left, leaving.address);
  fact('left', { refusal, errors: left.errors.length + leaving.errors.length });
}
