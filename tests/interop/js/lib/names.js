'use strict';

// The names in a trace, which stand for what differs from run to run. In a frame,
//
//   {alice}           the address of the peer `alice` at this star
//   {alice/p2p}       the same in the other spelling
//   {alice.key}       her public key in hex
//   {alice signs n}   her signature of the nonce `n`, in hex
//   {alice missigns n}  a well-formed signature that is wrong
//   {nonce n}         a nonce, two version 4 UUIDs; becomes the nonce `n`
//   {ack n}           the number of an acknowledgement; becomes `n`
//   {sid}             a session id
//
// Everything else is compared byte by byte.

const { addressOf, keylessId, newIdentity } = require('./identity');

const PLACE = /\{([a-z][^{}"]*)\}/g;
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
const CAPTURED = { nonce: `(${UUID}${UUID})`, ack: '(\\d+)' };

class Names {
  #url;
  #peers = new Map();
  #values = new Map();

  constructor(url) {
    this.#url = url;
  }

  /** Handles `peer <name> rsa|ed25519|keyless`. */
  declare([name, kind]) {
    this.#peers.set(name, kind === 'keyless' ? { id: keylessId(name) } : newIdentity(kind));
  }

  /** Returns the frame to send. */
  frame(pattern) {
    const hex = /^hex ([0-9a-f]*)$/.exec(pattern);
    if (hex) return { hex: hex[1] };
    return { text: pattern.replace(PLACE, (_, place) => this.#value(place)) };
  }

  /** Compares a frame with a pattern and keeps what the pattern captures. */
  matches(text, pattern) {
    const captures = [];
    let source = '';
    let rest = 0;
    for (const { 0: whole, 1: place, index } of pattern.matchAll(PLACE)) {
      source += escape(pattern.slice(rest, index)) + this.#source(place, captures);
      rest = index + whole.length;
    }
    const match = new RegExp(`^${source}${escape(pattern.slice(rest))}$`).exec(text);
    captures.forEach((place, n) => this.#values.set(place, match?.[n + 1]));
    return match !== null;
  }

  #source(place, captures) {
    if (place === 'sid') return '[^"]+';
    const [kind] = place.split(' ');
    if (!(kind in CAPTURED) || this.#values.has(place)) return escape(this.#value(place));
    captures.push(place);
    return CAPTURED[kind];
  }

  #value(place) {
    const known = this.#values.get(place);
    if (known !== undefined) return known;
    const [, name, spelling, verb, nonce] = /^(\w+)(\/p2p|\.key)?(?: (\w+) (\w+))?$/.exec(place);
    const peer = this.#peers.get(name);
    if (!peer) throw new Error(`nothing is named ${place}`);
    if (spelling === '.key') return peer.keyHex;
    switch (verb) {
      case undefined:
        return addressOf(this.#url, peer.id, spelling ? 'p2p' : 'ipfs');
      case 'signs':
        return peer.sign(this.#values.get(`nonce ${nonce}`));
      case 'missigns':
        return peer.sign('something else');
      default:
        throw new Error(`unknown: ${place}`);
    }
  }
}

function escape(text) {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}

module.exports = { Names };
