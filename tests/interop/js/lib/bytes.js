'use strict';

// Test data: as many bytes as wanted without holding them, the same for the same
// seed, and without repetitions that would hide a swapped chunk.

const { createCipheriv, createHash } = require('node:crypto');

/** Yields `totalBytes` pseudo-random bytes in chunks of at most `chunkBytes`. */
function* chunks(seed, totalBytes, chunkBytes) {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(Math.min(chunkBytes, totalBytes));
  for (let left = totalBytes; left > 0; left -= chunkBytes) {
    yield cipher.update(zeros.subarray(0, Math.min(left, chunkBytes)));
  }
}

/** Counts and hashes what passes. */
class Meter {
  #hash = createHash('sha256');
  bytes = 0;

  add(chunk) {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }

  /** Passes the chunks on. */
  * over(source) {
    for (const chunk of source) {
      this.add(chunk);
      yield chunk;
    }
  }

  /** Ends the measurement. */
  result() {
    return { bytes: this.bytes, sha256: this.#hash.digest('hex') };
  }
}

module.exports = { chunks, Meter };
