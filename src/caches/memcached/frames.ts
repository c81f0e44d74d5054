import type { CacheRequest, CacheResponse } from './protocol.js'

/** One answer of the server, with the number of the question that it belongs to. */
export interface Frame extends CacheResponse {
  readonly opaque: number
}

const HEADER_BYTES = 24
const REQUEST_MAGIC = 0x80
const RESPONSE_MAGIC = 0x81

/** The largest item a Memcached can be told to take is 1 GiB; what claims more is no answer. */
const LONGEST_BODY_BYTES = 1024 * 1024 * 1024 + 64 * 1024

const NOTHING: Buffer = Buffer.alloc(0)

/** A request as it is sent: one allocation, every byte of it written once. `opaque` is below 2^32. */
export const encode = (request: CacheRequest, opaque: number): Buffer => {
  const { opcode, key = NOTHING, value = NOTHING, expiration, cas = 0n } = request
  const keyAt = expiration === undefined ? HEADER_BYTES : HEADER_BYTES + 8
  const valueAt = keyAt + key.length
  const length = valueAt + value.length
  const bytes = Buffer.allocUnsafe(length)
  bytes.writeUInt16BE((REQUEST_MAGIC << 8) | opcode, 0)
  bytes.writeUInt16BE(key.length, 2)
  bytes.writeUInt32BE((keyAt - HEADER_BYTES) << 24, 4)
  bytes.writeUInt32BE(length - HEADER_BYTES, 8)
  bytes.writeUInt32BE(opaque, 12)
  bytes.writeBigUInt64BE(cas, 16)
  if (expiration !== undefined) {
    bytes.writeUInt32BE(0, HEADER_BYTES)
    bytes.writeUInt32BE(expiration, HEADER_BYTES + 4)
  }
  bytes.set(key, keyAt)
  bytes.set(value, valueAt)
  return bytes
}

/**
 * Cuts the bytes of one connection into answers. One reader serves one connection and dies with it, so that
 * the first half of an answer can never meet the second half of another.
 *
 * `push` throws on bytes that no Memcached sends, after it has given out the answers before them; the
 * connection is of no use from there on.
 */
export class FrameReader {
  #chunks: Uint8Array[] = []
  #buffered = 0
  /** How many bytes must be there before it is worth looking again: a large value is joined once. */
  #wanted = HEADER_BYTES

  push(chunk: Uint8Array, take: (frame: Frame) => void): void {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#buffered < this.#wanted) return

    const bytes = this.#chunks.length === 1 ? asBuffer(chunk) : Buffer.concat(this.#chunks, this.#buffered)
    let start = 0
    for (;;) {
      this.#wanted = HEADER_BYTES
      if (bytes.length - start < HEADER_BYTES) break
      this.#wanted = HEADER_BYTES + bodyLength(bytes, start)
      if (bytes.length - start < this.#wanted) break
      take(frameAt(bytes, start, this.#wanted))
      start += this.#wanted
    }
    this.#chunks = start === bytes.length ? [] : [bytes.subarray(start)]
    this.#buffered = bytes.length - start
  }
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const bodyLength = (bytes: Buffer, at: number): number => {
  if (bytes.readUInt8(at) !== RESPONSE_MAGIC) throw new Error('it sent bytes that are no answer')
  const length = bytes.readUInt32BE(at + 8)
  if (length > LONGEST_BODY_BYTES || length < bytes.readUInt16BE(at + 2) + bytes.readUInt8(at + 4))
    throw new Error('it sent an answer of an impossible length')
  return length
}

const frameAt = (bytes: Buffer, start: number, length: number): Frame => {
  const keyAt = start + HEADER_BYTES + bytes.readUInt8(start + 4)
  const valueAt = keyAt + bytes.readUInt16BE(start + 2)
  const end = start + length
  return {
    opcode: bytes.readUInt8(start + 1),
    status: bytes.readUInt16BE(start + 6),
    opaque: bytes.readUInt32BE(start + 12),
    cas: bytes.readBigUInt64BE(start + 16),
    key: keyAt === valueAt ? NOTHING : bytes.subarray(keyAt, valueAt),
    value: valueAt === end ? NOTHING : bytes.subarray(valueAt, end),
  }
}
