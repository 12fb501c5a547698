'use strict';

// Peer identities made with Node's own cryptography, so that a raw client shares
// no code with the libp2p libraries of the original peers.

const { createHash, generateKeyPairSync, sign } = require('node:crypto');

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const RSA = 0;
const ED25519 = 1;
const ED25519_SPKI_PREFIX_BYTES = 12;

function base58(bytes) {
  let number = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  while (number > 0n) {
    text = ALPHABET[Number(number % 58n)] + text;
    number /= 58n;
  }
  for (const byte of bytes) {
    if (byte !== 0) break;
    text = `1${text}`;
  }
  return text;
}

function varint(number) {
  const bytes = [];
  for (; number > 0x7f; number >>>= 7) bytes.push((number & 0x7f) | 0x80);
  return Buffer.from([...bytes, number]);
}

/** Writes a libp2p key: protobuf with the type as field 1 and the data as field 2. */
function keyMessage(type, data) {
  return Buffer.concat([Buffer.from([0x08, type, 0x12]), varint(data.length), data]);
}

/** Returns a peer id that nobody holds a key of. */
function keylessId(label) {
  const digest = createHash('sha256').update(label).digest();
  return base58(Buffer.concat([Buffer.from([0x12, 0x20]), digest]));
}

/** A key pair and what a peer shows of it. */
class Identity {
  #privateKey;
  #hash;

  constructor(publicKey, privateKey, id, hash) {
    this.publicKey = publicKey;
    this.id = id;
    this.#privateKey = privateKey;
    this.#hash = hash;
  }

  get keyHex() {
    return this.publicKey.toString('hex');
  }

  /** Signs a text as a join challenge asks for it; hex. */
  sign(text) {
    return sign(this.#hash, Buffer.from(text), this.#privateKey).toString('hex');
  }

  /** Returns the private key as the original's libraries read it. RSA only. */
  privateKeyMessage() {
    return keyMessage(RSA, this.#privateKey.export({ type: 'pkcs1', format: 'der' }));
  }
}

/** Makes an identity of kind `rsa` or `ed25519`. */
function newIdentity(kind) {
  switch (kind) {
    case 'rsa': {
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const key = keyMessage(RSA, publicKey.export({ type: 'spki', format: 'der' }));
      const digest = createHash('sha256').update(key).digest();
      const id = base58(Buffer.concat([Buffer.from([0x12, 0x20]), digest]));
      return new Identity(key, privateKey, id, 'sha256');
    }
    case 'ed25519': {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519');
      const spki = publicKey.export({ type: 'spki', format: 'der' });
      const key = keyMessage(ED25519, spki.subarray(ED25519_SPKI_PREFIX_BYTES));
      const id = base58(Buffer.concat([Buffer.from([0x00, key.length]), key]));
      return new Identity(key, privateKey, id, null);
    }
    default:
      throw new Error(`unknown kind of key: ${kind}`);
  }
}

/** Returns the address of a peer at the star with this URL. */
function addressOf(url, id, spelling = 'ipfs') {
  const { protocol, hostname, port } = new URL(url);
  const host = /^[0-9.]+$/.test(hostname) ? `/ip4/${hostname}` : `/dns4/${hostname}`;
  const scheme = protocol === 'https:' ? 'wss' : 'ws';
  return `${host}/tcp/${port}/${scheme}/p2p-websocket-star/${spelling}/${id}`;
}

module.exports = { addressOf, keylessId, newIdentity };
