'use strict';

// Connections that speak frames of Engine.IO and nothing above: every frame that
// comes is handed out as it is, as text or as the hex of its bytes.

const WebSocket = require('ws');

const { Inbox, once } = require('./scenario');
const { decodePayload, encodePayload, openOf } = require('./payload');

const ENGINE_PATH = '/socket.io/';

/** Frames over a WebSocket. */
class WebSocketWire {
  #frames = new Inbox();
  #socket;

  /** Pings of Engine.IO 4, if `answersPings`, are answered and not handed out. */
  constructor(socket, answersPings) {
    this.#socket = socket;
    socket.on('message', (data, isBinary) => {
      const frame = isBinary ? { hex: data.toString('hex') } : { text: data.toString() };
      if (answersPings && frame.text === '2') socket.send('3');
      else this.#frames.push(frame);
    });
    this.closed = once(socket, 'close').then(([code]) => code);
    this.closed.then((code) => this.#frames.push({ closed: code }));
  }

  static async connect(url, engine, sid) {
    const query = `EIO=${engine}&transport=websocket${sid ? `&sid=${sid}` : ''}`;
    const target = new URL(`${ENGINE_PATH}?${query}`, url);
    target.protocol = target.protocol.replace('http', 'ws');
    const socket = new WebSocket(target, { perMessageDeflate: false });
    const wire = new WebSocketWire(socket, engine === 4);
    await once(socket, 'open');
    return wire;
  }

  send(frame) {
    this.#socket.send(frame.text ?? Buffer.from(frame.hex, 'hex'));
  }

  /** Does nothing: frames leave at once. */
  async flush() {}

  next() {
    return this.#frames.next();
  }

  /** Closes in good order; returns the frames that nobody has asked for. */
  async close() {
    this.#socket.close();
    await this.closed;
    return this.#frames.rest.filter((frame) => frame.closed === undefined);
  }

  /** Cuts the connection without a goodbye. */
  vanish() {
    this.#socket.terminate();
  }
}

/** Frames over long polling of Engine.IO 3. */
class PollingWire {
  #url;
  #isBase64;
  #received = [];
  #unsent = [];

  constructor(url, isBase64) {
    this.#url = new URL(`${ENGINE_PATH}?EIO=3&transport=polling${isBase64 ? '&b64=1' : ''}`, url);
    this.#isBase64 = isBase64;
  }

  static async connect(url, isBase64) {
    const wire = new PollingWire(url, isBase64);
    await wire.#poll();
    const { sid } = openOf(wire.#received[0]);
    wire.#url.searchParams.set('sid', sid);
    wire.sid = sid;
    return wire;
  }

  /** Keeps the frame for the next `flush`: a client of polling sends several at once. */
  send(frame) {
    this.#unsent.push(frame);
  }

  async next() {
    while (this.#received.length === 0) await this.#poll();
    return this.#received.shift();
  }

  /** Ends the session; returns the frames that nobody has asked for. */
  async close() {
    return this.#received;
  }

  async flush() {
    if (this.#unsent.length === 0) return;
    const { type, body } = encodePayload(this.#unsent.splice(0), this.#isBase64);
    const headers = { 'content-type': type };
    const response = await fetch(this.#url, { method: 'POST', headers, body });
    const text = await response.text();
    if (response.status !== 200 || text !== 'ok') {
      throw new Error(`POST answered ${response.status}: ${text}`);
    }
  }

  async #poll() {
    const response = await fetch(this.#url);
    if (response.status !== 200) {
      throw new Error(`GET answered ${response.status}: ${await response.text()}`);
    }
    const body = Buffer.from(await response.arrayBuffer());
    const type = response.headers.get('content-type');
    this.#received.push(...decodePayload(body, type, this.#isBase64));
  }
}

/** Opens a session by polling and moves it to a WebSocket, step by step. */
async function upgraded(url) {
  const polling = await PollingWire.connect(url, true);
  const open = await polling.next();
  const connect = await polling.next();
  const wire = await WebSocketWire.connect(url, 3, polling.sid);
  const lastPoll = polling.next();
  wire.send({ text: '2probe' });
  await expectText(wire.next(), '3probe');
  // The star frees the poll that is still waiting.
  await expectText(lastPoll, '6');
  wire.send({ text: '5' });
  return { wire, open, connect };
}

async function expectText(frame, text) {
  const received = await frame;
  if (received.text !== text) {
    throw new Error(`expected ${text}, received ${JSON.stringify(received)}`);
  }
}

/** Connects by `websocket`, `websocket 4`, `polling`, `base64 polling` or `upgrade`. */
async function openWire(url, how) {
  switch (how) {
    case 'websocket':
      return greeted(await WebSocketWire.connect(url, 3));
    case 'websocket 4':
      return greeted4(await WebSocketWire.connect(url, 4));
    case 'polling':
      return greeted(await PollingWire.connect(url, false));
    case 'base64 polling':
      return greeted(await PollingWire.connect(url, true));
    case 'upgrade':
      return upgraded(url);
    default:
      throw new Error(`unknown way to connect: ${how}`);
  }
}

async function greeted(wire) {
  return { wire, open: await wire.next(), connect: await wire.next() };
}

/** As `greeted`, where the client speaks first and the star pings when it likes. */
async function greeted4(wire) {
  const open = await wire.next();
  wire.send({ text: '40' });
  return { wire, open, connect: await wire.next() };
}

module.exports = { openWire };
