import { asBuffer } from '../../tools/as-buffer.js'
import { type CacheRequest, type CacheResponse, IMPOSSIBLE_LENGTH } from './protocol.js'

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
  const { opcode, key = NOTHING, value = NOTHING, expiration, extras = NOTHING, cas = 0n } = request
  const keyAt = HEADER_BYTES + (expiration === undefined ? extras.length : 8)
  const valueAt = keyAt + key.length
  const length = valueAt + value.length
  const bytes = Buffer.allocUnsafe(length)
  bytes.writeUInt16BE((REQUEST_MAGIC << 8) | opcode, 0)
  bytes.writeUInt16BE(key.length, 2)
  bytes.writeUInt32BE((keyAt - HEADER_BYTES) << 24, 4)
  bytes.writeUInt32BE(length - HEADER_BYTES, 8)
  bytes.writeUInt32BE(opaque, 12)
  bytes.writeBigUInt64BE(cas, 16)
  if (expiration === undefined) bytes.set(extras, HEADER_BYTES)
  else {
    bytes.writeUInt32BE(0, HEADER_BYTES)
    bytes.writeUInt32BE(expiration, HEADER_BYTES + 4)
  }
  bytes.set(key, keyAt)
  bytes.set(value, valueAt)
  return bytes
}

/** What the first 24 bytes of an answer say of it. */
export interface Head {
  readonly opcode: number
  readonly opaque: number
  /** How many bytes follow. */
  readonly bodyBytes: number
}

/** Who waits for the answers that a reader finds. */
export interface Awaiting {
  /**
   * Something of the next answer has come; `head` is there once 24 bytes of it are. Throws where none is awaited, or not
   * this one. Gives how large its body may be: of a larger one nothing is kept.
   */
  admit(head: Head | undefined): number
  /** The error for bytes that do not even begin like an answer. */
  strange(bytes: Uint8Array): Error
  take(frame: Frame): void
}

/** An answer of which the body is let pass. */
interface Passing {
  readonly frame: Frame
  readonly leftBytes: number
}

/**
 * Cuts the bytes of one connection into answers. One reader serves one connection and dies with it, so that
 * the first half of an answer can never meet the second half of another.
 *
 * `push` throws on bytes that no Memcached sends, or that nobody awaits, after it has given out the answers before
 * them; the connection is of no use from there on. They are noticed with their first byte where that will do, else with
 * their header, so that never more is kept than an answer that somebody waits for.
 */
export class FrameReader {
  readonly #awaiting: Awaiting
  #chunks: Uint8Array[] = []
  #buffered = 0
  /** How many bytes must be there before it is worth looking again: a large value is joined once. */
  #wanted = 1
  #passing: Passing | undefined

  constructor(awaiting: Awaiting) {
    this.#awaiting = awaiting
  }

  push(received: Uint8Array): void {
    const chunk = this.#pass(received)
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#buffered < this.#wanted) return

    const bytes = this.#chunks.length === 1 ? asBuffer(chunk) : Buffer.concat(this.#chunks, this.#buffered)
    let start = 0
    while (start < bytes.length) {
      const taken = this.#next(bytes, start)
      if (taken === 0) break
      start += taken
    }
    this.#chunks = start === bytes.length ? [] : [bytes.subarray(start)]
    this.#buffered = bytes.length - start
  }

  /** How many bytes from `start` on are dealt with; 0 where more must come first. */
  #next(bytes: Buffer, start: number): number {
    const there = bytes.length - start
    if (bytes.readUInt8(start) !== RESPONSE_MAGIC) throw this.#awaiting.strange(bytes.subarray(start))
    this.#wanted = HEADER_BYTES
    if (there < HEADER_BYTES) {
      this.#awaiting.admit(undefined)
      return 0
    }
    const head = headAt(bytes, start)
    const longest = this.#awaiting.admit(head)
    const end = HEADER_BYTES + head.bodyBytes
    if (head.bodyBytes > longest) {
      const frame = { ...frameAt(bytes, start, 0), omittedBytes: head.bodyBytes }
      this.#wanted = 1
      if (there >= end) this.#awaiting.take(frame)
      else this.#passing = { frame, leftBytes: end - there }
      return Math.min(there, end)
    }
    this.#wanted = end
    if (there < end) return 0
    this.#wanted = 1
    this.#awaiting.take(frameAt(bytes, start, head.bodyBytes))
    return end
  }

  /** Lets the body pass that is not wanted, and gives what comes behind it. */
  #pass(chunk: Uint8Array): Uint8Array {
    if (this.#passing === undefined) return chunk
    const { frame, leftBytes } = this.#passing
    if (chunk.length < leftBytes) {
      this.#passing = { frame, leftBytes: leftBytes - chunk.length }
      return NOTHING
    }
    this.#passing = undefined
    this.#awaiting.take(frame)
    return chunk.subarray(leftBytes)
  }
}

const headAt = (bytes: Buffer, at: number): Head => {
  const bodyBytes = bytes.readUInt32BE(at + 8)
  if (bodyBytes > LONGEST_BODY_BYTES || bodyBytes < bytes.readUInt16BE(at + 2) + bytes.readUInt8(at + 4))
    throw new Error(IMPOSSIBLE_LENGTH)
  return { opcode: bytes.readUInt8(at + 1), opaque: bytes.readUInt32BE(at + 12), bodyBytes }
}

/** The answer at `start`, with so many bytes of body; of 0 it has neither key nor value, whatever its header says. */
const frameAt = (bytes: Buffer, start: number, bodyBytes: number): Frame => {
  const bodyAt = start + HEADER_BYTES
  const end = bodyAt + bodyBytes
  const keyAt = Math.min(end, bodyAt + bytes.readUInt8(start + 4))
  const valueAt = Math.min(end, keyAt + bytes.readUInt16BE(start + 2))
  return {
    opcode: bytes.readUInt8(start + 1),
    status: bytes.readUInt16BE(start + 6),
    opaque: bytes.readUInt32BE(start + 12),
    cas: bytes.readBigUInt64BE(start + 16),
    extrasBytes: keyAt - bodyAt,
    key: keyAt === valueAt ? NOTHING : bytes.subarray(keyAt, valueAt),
    value: valueAt === end ? NOTHING : bytes.subarray(valueAt, end),
    omittedBytes: 0,
  }
}
