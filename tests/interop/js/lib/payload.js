'use strict';

// Payloads of Engine.IO 3 long polling: several frames in one HTTP body.

const BINARY = /^application\/octet-stream\b/;
const TEXT = /^text\/plain\b/;
const LENGTH_END = 0xff;

/** Writes frames as one body, with its content type. */
function encodePayload(frames, isBase64) {
  const hasBinary = frames.some((frame) => frame.hex !== undefined);
  if (hasBinary && !isBase64) {
    return { type: 'application/octet-stream', body: Buffer.concat(frames.map(binaryPart)) };
  }
  const body = frames.map(textOf).map((text) => `${text.length}:${text}`).join('');
  return { type: 'text/plain;charset=UTF-8', body };
}

function binaryPart(frame) {
  const isText = frame.text !== undefined;
  const bytes = isText ? Buffer.from(frame.text) : Buffer.from(frame.hex, 'hex');
  const digits = Array.from(String(bytes.length), Number);
  return Buffer.concat([Buffer.from([isText ? 0 : 1, ...digits, LENGTH_END]), bytes]);
}

function textOf(frame) {
  if (frame.text !== undefined) return frame.text;
  const bytes = Buffer.from(frame.hex, 'hex');
  return `b${bytes[0]}${bytes.subarray(1).toString('base64')}`;
}

/** Reads the frames of a body. */
function decodePayload(body, type, isBase64) {
  if (BINARY.test(type) && !isBase64) return decodeBinary(body);
  if (TEXT.test(type)) return decodeText(body.toString());
  throw new Error(`unexpected content type: ${type}`);
}

function decodeBinary(body) {
  const frames = [];
  for (let at = 0; at < body.length;) {
    const isText = body[at] === 0;
    const end = body.indexOf(LENGTH_END, at);
    const length = Number(Array.from(body.subarray(at + 1, end)).join(''));
    const bytes = body.subarray(end + 1, end + 1 + length);
    frames.push(isText ? { text: bytes.toString() } : { hex: bytes.toString('hex') });
    at = end + 1 + length;
  }
  return frames;
}

function decodeText(body) {
  const frames = [];
  for (let at = 0; at < body.length;) {
    const colon = body.indexOf(':', at);
    const length = Number(body.slice(at, colon));
    if (colon < 0 || !Number.isInteger(length)) throw new Error(`not a payload: ${body}`);
    frames.push(frameOf(body.slice(colon + 1, colon + 1 + length)));
    at = colon + 1 + length;
  }
  return frames;
}

function frameOf(text) {
  if (!text.startsWith('b')) return { text };
  const bytes = Buffer.from(text.slice(2), 'base64');
  return { hex: Buffer.concat([Buffer.from([Number(text[1])]), bytes]).toString('hex') };
}

/** Reads the first frame of a session. */
function openOf(frame) {
  if (!frame.text?.startsWith('0{')) throw new Error(`not an open packet: ${frame.text}`);
  return JSON.parse(frame.text.slice(1));
}

module.exports = { decodePayload, encodePayload, openOf };
