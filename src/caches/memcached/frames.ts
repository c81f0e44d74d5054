import type { CacheResponse } from './protocol.js'

/** One answer of the server, with the number of the question that it belongs to. */
export interface Frame extends CacheResponse {
  readonly opaque: number
}

const HEADER_BYTES = 24
const RESPONSE_MAGIC = 0x81

/** The largest item a Memcached can be told to take is 1 GiB; what claims more is no answer. */
const LONGEST_BODY_BYTES = 1024 * 1024 * 1024 + 64 * 1024

/**
 * Cuts the bytes of one connection into answers. One reader serves one connection and dies with it, so that
 * the first half of an answer can never meet the second half of another.
 *
 * `push` throws on bytes that no Memcached sends; the connection is of no use from there on.
 */
export class FrameReader {
  #chunks: Uint8Array[] = []
  #buffered = 0
  /** How many bytes must be there before it is worth looking again: a large value is joined once. */
  #wanted = HEADER_BYTES

  push(chunk: Uint8Array): Frame[] {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    const frames: Frame[] = []
    if (this.#buffered < this.#wanted) return frames

    const bytes = this.#chunks.length === 1 ? asBuffer(chunk) : Buffer.concat(this.#chunks, this.#buffered)
    let start = 0
    for (;;) {
      this.#wanted = HEADER_BYTES
      if (bytes.length - start < HEADER_BYTES) break
      this.#wanted = HEADER_BYTES + bodyLength(bytes, start)
      if (bytes.length - start < this.#wanted) break
      frames.push(frameAt(bytes, start, this.#wanted))
      start += this.#wanted
    }
    this.#chunks = start === bytes.length ? [] : [bytes.subarray(start)]
    this.#buffered = bytes.length - start
    return frames
  }
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const bodyLength = (bytes: Buffer, at: number): number => {
  if (bytes.readUInt8(at) !== RESPONSE_MAGIC) throw new Error('it sent bytes that are no answer')
  const length = bytes.readUInt32BE(at + 8)
  if (length > LONGEST_BODY_BYTES || length < bytes.readUInt16BE(at + 2) + bytes.readUInt8(at + 4))
    throw new Error('it sent an answer of an impossible length')
  return length
}

const frameAt = (bytes: Buffer, start: number, length: number): Frame => {
  const extrasAt = start + HEADER_BYTES
  const keyAt = extrasAt + bytes.readUInt8(start + 4)
  const valueAt = keyAt + bytes.readUInt16BE(start + 2)
  return {
    opcode: bytes.readUInt8(start + 1),
    status: bytes.readUInt16BE(start + 6),
    opaque: bytes.readUInt32BE(start + 12),
    cas: bytes.subarray(start + 16, start + HEADER_BYTES),
    extras: bytes.subarray(extrasAt, keyAt),
    key: bytes.subarray(keyAt, valueAt),
    value: bytes.subarray(valueAt, start + length),
  }
}
