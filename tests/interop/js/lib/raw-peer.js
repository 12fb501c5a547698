'use strict';

// A peer on plain socket.io-client, major version 2 or 4: it emits the events of
// the protocol itself, without the original's libraries.

const { randomUUID } = require('node:crypto');

const { addressOf, newIdentity } = require('./identity');
const { Inbox, begin, eventually } = require('./scenario');

const CLIENTS = {
  2: require('socket.io-client-2'),
  4: require('socket.io-client-4'),
};

const TRANSPORTS = {
  websocket: ['websocket'],
  polling: ['polling'],
  upgrade: ['polling', 'websocket'],
};

const STREAM = 'socket.io-pull-stream';

/** The reading side of one direction of a connection. */
class Reader {
  #items = new Inbox();

  constructor(socket, stream) {
    socket.on(`${STREAM}.queue.${stream}`, (data) => this.#items.push({ data }));
    socket.on(`${STREAM}.error.${stream}`, (end) => this.#items.push({ end }));
    socket.emit(`${STREAM}.accept.${stream}`);
  }

  /** Returns the next chunk; fails at the end of the stream. */
  async chunk() {
    const { data, end } = await this.#items.next();
    if (data === undefined) throw new Error(`stream ended with ${JSON.stringify(end)}`);
    if (!(data instanceof Uint8Array)) throw new Error(`not bytes: ${JSON.stringify(data)}`);
    return data;
  }

  /** Returns what the writer ended the stream with; fails if a chunk comes first. */
  async end() {
    const { data, end } = await this.#items.next();
    if (data !== undefined) throw new Error(`a chunk of ${data.length} bytes before the end`);
    return end;
  }
}

/** The writing side of one direction of a connection. */
class Writer {
  #socket;
  #stream;

  constructor(socket, stream) {
    this.#socket = socket;
    this.#stream = stream;
    this.accepted = new Promise((resolve) => {
      socket.once(`${STREAM}.accept.${stream}`, resolve);
    });
  }

  async write(bytes) {
    await this.accepted;
    this.#socket.emit(`${STREAM}.queue.${this.#stream}`, bytes);
  }

  async end(how = true) {
    await this.accepted;
    this.#socket.emit(`${STREAM}.error.${this.#stream}`, how);
  }
}

class RawPeer {
  /** Addresses that the star has announced, in order. */
  announced = [];
  #dials = new Inbox();

  constructor(socket, identity, address) {
    this.socket = socket;
    this.identity = identity;
    this.address = address;
    socket.on('ws-peer', (peer) => this.announced.push(peer));
    socket.on('ss-incomming', (dialId, from, answer) => {
      this.#dials.push({ dialId, from, answer });
    });
  }

  /**
   * Connects with socket.io-client `version` over `transport`: `websocket`,
   * `polling`, or `upgrade` from one to the other. It reconnects by itself if
   * `reconnection` is set.
   */
  static async connect(url, { version, transport, spelling, reconnection = false }) {
    begin(`socket.io-client ${version} connects by ${transport}`);
    const socket = CLIENTS[version](url, {
      transports: TRANSPORTS[transport],
      forceNew: true,
      reconnection,
    });
    const identity = newIdentity('ed25519');
    const peer = new RawPeer(socket, identity, addressOf(url, identity.id, spelling));
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('connect_error', reject);
    });
    if (transport === 'upgrade') {
      await eventually('upgrade to websocket', () => peer.transport === 'websocket');
    }
    return peer;
  }

  /** Name of the transport in use. */
  get transport() {
    return this.socket.io.engine.transport.name;
  }

  /** Makes a call and returns the arguments of its acknowledgement. */
  call(event, ...args) {
    return new Promise((resolve) => {
      this.socket.emit(event, ...args, (...answer) => resolve(answer));
    });
  }

  /** Joins with a signature; returns the addresses of the others. */
  async join(key = this.identity.keyHex) {
    begin(`${this.address} joins`);
    const nonce = await this.challenge(key);
    const [error, none, others] = await this.call(
      'ss-join',
      this.address,
      this.identity.sign(nonce),
    );
    if (error !== null || none !== null) throw new Error(`refused: ${JSON.stringify(error)}`);
    return others;
  }

  /** Shows the key and returns the nonce to sign. */
  async challenge(key = this.identity.keyHex) {
    const [error, nonce] = await this.call('ss-join', this.address, key);
    if (error !== null) throw new Error(error);
    return nonce;
  }

  /** Dials and returns the connection; fails with the text of the refusal. */
  async dial(to) {
    begin(`${this.address} dials ${to}`);
    const dialId = randomUUID();
    const writer = new Writer(this.socket, `${dialId}.dialer`);
    const answer = await this.call('ss-dial', this.address, to, dialId);
    if (answer.length > 0) throw new Error(answer[0]);
    const reader = new Reader(this.socket, `${dialId}.listener`);
    return { dialId, reader, writer };
  }

  /** Takes the next dial of another peer. */
  async accept() {
    const { dialId, from, answer } = await this.#dials.next();
    const reader = new Reader(this.socket, `${dialId}.dialer`);
    const writer = new Writer(this.socket, `${dialId}.listener`);
    answer();
    return { dialId, from, reader, writer };
  }

  /** Waits until the star announces this address. */
  hears(address) {
    return eventually(`${this.address} hears of ${address}`, () => {
      return this.announced.includes(address);
    });
  }

  close() {
    this.socket.disconnect();
  }
}

/** Lets `dialer` dial `callee`; returns both ends. */
async function connected(dialer, callee) {
  const [dialed, accepted] = await Promise.all([dialer.dial(callee.address), callee.accept()]);
  return { dialed, accepted };
}

module.exports = { RawPeer, connected };
