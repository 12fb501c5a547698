'use strict';

// A peer that is the unmodified `libp2p-websocket-star`, with its own callbacks
// and pull streams behind promises.

const { keys } = require('libp2p-crypto');
const multiaddr = require('multiaddr');
const PeerId = require('peer-id');
const WebsocketStar = require('libp2p-websocket-star');

const { addressOf, newIdentity } = require('./identity');
const { Inbox, eventually, promised, refusalOf } = require('./scenario');

/** Bytes in a socket's send buffer above which a source pauses. */
const SEND_BUFFER_BYTES = 1024 * 1024;

/** Makes a PeerId of kind `rsa` or `ed25519`. */
async function newPeerId(kind) {
  const message = kind === 'rsa'
    ? newIdentity('rsa').privateKeyMessage()
    : keys.marshalPrivateKey(await promised((done) => keys.generateKeyPair(kind, 256, done)));
  return promised((done) => PeerId.createFromPrivKey(message, done));
}

class OriginalPeer {
  /** Addresses of the peers that discovery has reported, in order, repeated ones too. */
  discovered = [];
  /** Errors that the listener has reported. */
  errors = [];
  #accepted = new Inbox();

  /** `options` go to the transport; `options.id` proves the address. */
  constructor(options) {
    this.transport = new WebsocketStar(options);
    this.transport.discovery.on('peer', (peer) => {
      const addresses = peer.multiaddrs.toArray().map(String);
      this.discovered.push({ id: peer.id.toB58String(), address: addresses[0] });
    });
    this.listener = this.transport.createListener((connection) => {
      this.#accepted.push(connection);
    });
    this.listener.on('error', (error) => this.errors.push(error.message));
  }

  /** Makes a peer with a key of its own that has joined. */
  static async joined(url, kind, options = {}) {
    const id = await newPeerId(kind);
    const peer = new OriginalPeer({ id, ...options });
    await peer.listen(addressOf(url, id.toB58String()));
    return peer;
  }

  get id() {
    return this.transport.id.toB58String();
  }

  get socket() {
    return this.listener.io;
  }

  listen(address) {
    this.address = address;
    return promised((done) => this.listener.listen(multiaddr(address), done));
  }

  dial(address) {
    return promised((done) => this.transport.dial(multiaddr(address), done));
  }

  /** Returns the next connection that another peer has dialed. */
  accept() {
    return this.#accepted.next();
  }

  close() {
    return promised((done) => this.listener.close(done));
  }

  /** Returns how often discovery has reported this peer. */
  timesDiscovered(id) {
    return this.discovered.filter((peer) => peer.id === id).length;
  }

  /** Waits until discovery reports this peer. */
  discovers(id) {
    return eventually(`${this.id} discovers ${id}`, () => {
      return this.discovered.find((peer) => peer.id === id);
    });
  }

  /** Writes chunks into a connection, no faster than the socket takes them. */
  send(connection, chunks) {
    const iterator = chunks[Symbol.iterator]();
    connection.sink((end, deliver) => {
      if (end) {
        deliver(end);
        return;
      }
      const pull = () => {
        if (this.#isFull()) {
          setTimeout(pull, 1);
          return;
        }
        const { done, value } = iterator.next();
        deliver(done ? true : null, value);
      };
      setImmediate(pull);
    });
  }

  #isFull() {
    const engine = this.socket.io.engine;
    const unsent = engine.transport.ws?.bufferedAmount ?? 0;
    return engine.writeBuffer.length > 0 || unsent > SEND_BUFFER_BYTES;
  }
}

/**
 * Reads a connection to its end, one chunk at a time.
 *
 * Returns how it ended: `true`, or the error of the writer.
 */
function receive(connection, onChunk) {
  return new Promise((resolve) => {
    const pull = () => {
      connection.source(null, (end, chunk) => {
        if (end) {
          resolve(end instanceof Error ? end.message : end);
          return;
        }
        onChunk(chunk);
        setImmediate(pull);
      });
    };
    pull();
  });
}

/** Reads a connection to its end as text. */
async function receiveText(connection) {
  const parts = [];
  const end = await receive(connection, (chunk) => parts.push(chunk));
  return { text: Buffer.concat(parts).toString(), end };
}

/**
 * Dials until the star has forgotten the address, and returns what it then says.
 *
 * A dial that meets the peer on its way out is refused in other words.
 */
function forgotten(dialer, address) {
  return eventually(`the star forgets ${address}`, async () => {
    const refusal = await refusalOf(dialer.dial(address));
    return refusal === 'Peer not found' && refusal;
  });
}

module.exports = { OriginalPeer, forgotten, newPeerId, receive, receiveText };
