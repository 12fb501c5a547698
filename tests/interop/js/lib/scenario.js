'use strict';

// What every scenario shares: its settings, the facts that it reports, and its
// deadline. A scenario is run as `node scenarios/<name>.js '<settings as JSON>'`;
// each fact is one line of JSON on stdout, and any failure ends the process with
// a status other than 0.

const { once } = require('node:events');

const POLL_MS = 5;
const DEFAULT_DEADLINE_MS = 120_000;

const settings = JSON.parse(process.argv[2] ?? '{}');

let step = 'start';

/** Names what is being done, for the message of a scenario that hangs. */
function begin(text) {
  step = text;
}

/** Reports something that the test looks at. */
function fact(name, values = {}) {
  process.stdout.write(`${JSON.stringify({ fact: name, ...values })}\n`);
}

/** Runs a scenario and ends the process, whatever it has left open. */
function run(main) {
  const deadline = setTimeout(() => {
    fail(new Error(`deadline passed during: ${step}`));
  }, settings.deadline_ms ?? DEFAULT_DEADLINE_MS);
  // After the rest of the scenario's file has been read.
  Promise.resolve().then(main).then(() => {
    clearTimeout(deadline);
    process.exit(0);
  }, fail);
}

function fail(error) {
  process.stderr.write(`scenario failed during: ${step}\n${error.stack ?? error}\n`);
  // Engine.IO hides the reason of a failed connection here.
  const reason = error.description?.error ?? error.description;
  if (reason) process.stderr.write(`because of: ${reason.message ?? reason}\n`);
  process.exit(1);
}

/** Waits until `condition` returns something truthy, and returns that. */
async function eventually(what, condition) {
  begin(what);
  for (;;) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Makes a promise of a function that takes a Node callback. */
function promised(call) {
  return new Promise((resolve, reject) => {
    call((error, value) => (error ? reject(error) : resolve(value)));
  });
}

/** Returns the message of the error that `promise` must fail with. */
async function refusalOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error.message;
  }
  throw new Error(`not refused during: ${step}`);
}

/** A queue whose reader waits. */
class Inbox {
  #items = [];
  #readers = [];

  push(item) {
    const reader = this.#readers.shift();
    if (reader) reader(item);
    else this.#items.push(item);
  }

  next() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  /** Returns what nobody has taken yet. */
  get rest() {
    return [...this.#items];
  }
}

module.exports = { begin, eventually, fact, Inbox, once, promised, refusalOf, run, settings };
