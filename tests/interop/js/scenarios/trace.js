'use strict';

// Plays a trace of `traces/` against a star: sends what the clients of the trace
// send, and compares what comes with what the trace expects, frame by frame.
//
// Settings: `url`; `trace`, the name of its file.

const { readFileSync } = require('node:fs');
const path = require('node:path');

const { begin, fact, run, settings } = require('../lib/scenario');
const { Names } = require('../lib/names');
const { openOf } = require('../lib/payload');
const { openWire } = require('../lib/wire');

const STEP = /^(\w+) (connects by|->|<-|closes|vanishes|is idle)(?: (.*))?$/;

run(async () => {
  const file = path.join(__dirname, '..', 'traces', `${settings.trace}.trace`);
  const player = new Player(settings.url);
  const lines = readFileSync(file, 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    begin(`line ${index + 1} of the trace: ${line}`);
    await player.play(line);
  }
  player.finish();
  fact('played', { trace: settings.trace, frames: player.framesCompared });
});

class Player {
  framesCompared = 0;
  #wires = new Map();
  #names;

  constructor(url) {
    this.url = url;
    this.#names = new Names(url);
  }

  async play(line) {
    if (line === '' || line.startsWith('#') || line.startsWith('serve:')) return;
    if (line.startsWith('peer ')) {
      this.#names.declare(line.split(' ').slice(1));
      return;
    }
    const [, name, verb, rest] = STEP.exec(line) ?? [];
    if (verb !== '->') await this.#flush();
    switch (verb) {
      case 'connects by':
        await this.#connect(name, rest);
        break;
      case '->':
        this.#wire(name).send(this.#names.frame(rest));
        break;
      case '<-':
        this.#compare(await this.#wire(name).next(), rest);
        break;
      case 'is idle':
        // The star answers in order: what it had to say comes before the pong.
        this.#wire(name).send({ text: '2' });
        await this.#flush();
        this.#compare(await this.#wire(name).next(), '3');
        break;
      case 'closes':
        await this.#close(name);
        break;
      case 'vanishes':
        this.#wire(name).vanish();
        this.#wires.delete(name);
        break;
      default:
        throw new Error('not a line of a trace');
    }
  }

  finish() {
    if (this.#wires.size > 0) throw new Error(`left open: ${[...this.#wires.keys()]}`);
  }

  #wire(name) {
    const wire = this.#wires.get(name);
    if (!wire) throw new Error(`${name} is not connected`);
    return wire;
  }

  async #flush() {
    for (const wire of this.#wires.values()) await wire.flush();
  }

  async #connect(name, how) {
    const { wire, open, connect } = await openWire(this.url, how);
    this.#wires.set(name, wire);
    checkOpen(openOf(open), how);
    this.#compare(connect, how === 'websocket 4' ? '40{"sid":"{sid}"}' : '40');
  }

  #compare(frame, expected) {
    const text = frame.hex === undefined ? frame.text : `hex ${frame.hex}`;
    if (text === undefined || !this.#names.matches(text, expected)) {
      throw new Error(`expected ${expected}\nreceived ${text ?? JSON.stringify(frame)}`);
    }
    this.framesCompared += 1;
  }

  async #close(name) {
    const rest = await this.#wire(name).close();
    if (rest.length > 0) throw new Error(`frames too many: ${JSON.stringify(rest)}`);
    this.#wires.delete(name);
  }
}

/** Checks the handshake, which names a session and times of the star's own choice. */
function checkOpen({ sid, upgrades, pingInterval, pingTimeout }, how) {
  const polls = how.includes('polling') || how === 'upgrade';
  const isRight = typeof sid === 'string' && sid !== ''
    && JSON.stringify(upgrades) === JSON.stringify(polls ? ['websocket'] : [])
    && pingInterval === 25_000
    && Number.isInteger(pingTimeout) && pingTimeout >= 20_000;
  if (!isRight) {
    throw new Error(`handshake: ${JSON.stringify({ sid, upgrades, pingInterval, pingTimeout })}`);
  }
}
