import { restore, UNUSUAL_TYPE } from './msgpack-unusual.js'
import { unpack } from './msgpackr.js'

/**
 * A text of up to so many bytes is cut out of a text that was made of many bytes at once, which is fastest. What V8 cuts out
 * of a text that is longer than this would hold on to the whole of it.
 */
const SHORT_TEXT = 12
/** Of so many bytes that text is made. */
const TEXT_BYTES = 64 * 1024

/** So many lists of keys are remembered, each with at most so many bytes. */
const MOST_LISTS = 1_000
const LONGEST_LIST = 512

/** Lists of keys by the bytes that they were read from. */
const listsOfKeys = new Map<string, readonly string[]>()

/** Extensions that hold no other value: large bigints, typed arrays and their like, dates. */
const LEAF_TYPES: ReadonlySet<number> = new Set([0x42, 0x74, 0xff])

/** Undocumented, and in every release of Node: `toString` with an encoding takes half as long again. */
type Slices = Readonly<Record<'latin1Slice' | 'utf8Slice', (this: Uint8Array, start: number, end: number) => string>>
const { latin1Slice, utf8Slice } = Buffer.prototype as unknown as Slices

const NO_BYTES = Buffer.alloc(0)

/**
 * Reads the value that `writeValue` has written as msgpack.
 *
 * @throws errors of all kinds where it did not write these bytes; one of msgpackr's may quote them
 */
export const readValue = (bytes: Buffer): unknown => {
  try {
    return reader.valueOf(bytes)
  } finally {
    reader.rest()
  }
}

class Reader {
  #bytes: Buffer = NO_BYTES
  #at = 0
  /** The first of the bytes as a text, with one character for each. */
  #text = ''
  #shapes: (readonly string[])[] = []
  /** How many elements all arrays together may still have, since each of them takes a byte. */
  #elementsLeft = 0

  valueOf(bytes: Buffer): unknown {
    this.#bytes = bytes
    this.#at = 0
    this.#text = latin1Slice.call(bytes, 0, Math.min(bytes.length, TEXT_BYTES))
    this.#elementsLeft = bytes.length
    const value = this.#read()
    if (this.#at !== bytes.length) throw notWritten()
    return value
  }

  /** Lets go of what was read. */
  rest(): void {
    this.#bytes = NO_BYTES
    this.#text = ''
    this.#shapes = []
  }

  #read(): unknown {
    const token = this.#next()
    if (token < 0x40) return token
    if (token < 0x80) return this.#record(this.#shapes[token & 0x3f])
    if (token < 0x90) return this.#map(token & 0x0f)
    if (token < 0xa0) return this.#array(token & 0x0f)
    if (token < 0xc0) return this.#string(token & 0x1f)
    if (token >= 0xe0) return token - 0x100
    switch (token) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xcb:
        return this.#bytes.readDoubleBE(this.#skip(8))
      case 0xcc:
        return this.#next()
      case 0xcd:
        return this.#uint16()
      case 0xce:
        return this.#uint32()
      case 0xd0:
        return this.#bytes.readInt8(this.#skip(1))
      case 0xd1:
        return this.#bytes.readInt16BE(this.#skip(2))
      case 0xd2:
        return this.#bytes.readInt32BE(this.#skip(4))
      case 0xd9:
        return this.#string(this.#next())
      case 0xda:
        return this.#string(this.#uint16())
      case 0xdb:
        return this.#string(this.#uint32())
      case 0xdc:
        return this.#array(this.#uint16())
      case 0xdd:
        return this.#array(this.#uint32())
      case 0xde:
        return this.#map(this.#uint16())
      case 0xdf:
        return this.#map(this.#uint32())
      case 0xd4:
        return this.#tagged()
      default:
        return this.#leaf(token)
    }
  }

  #next(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw notWritten()
    this.#at += 1
    return byte
  }

  /** Goes on by so many bytes, and says where they begin. Whether there are as many is seen by whoever reads them. */
  #skip(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    return at
  }

  #uint16(): number {
    return this.#bytes.readUInt16BE(this.#skip(2))
  }

  #uint32(): number {
    return this.#bytes.readUInt32BE(this.#skip(4))
  }

  #string(length: number): string {
    const start = this.#skip(length)
    const end = this.#at
    const bytes = this.#bytes
    if (end > bytes.length) throw notWritten()
    if (length > SHORT_TEXT || end > this.#text.length) return utf8Slice.call(bytes, start, end)
    for (let at = start; at < end; at += 1) if ((bytes[at] as number) > 0x7f) return utf8Slice.call(bytes, start, end)
    return this.#text.slice(start, end)
  }

  #array(length: number): unknown[] {
    this.#elementsLeft -= length
    if (this.#elementsLeft < 0) throw notWritten()
    const elements = new Array<unknown>(length)
    for (let index = 0; index < length; index += 1) elements[index] = this.#read()
    return elements
  }

  #map(size: number): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>()
    for (let index = 0; index < size; index += 1) {
      const key = this.#read()
      map.set(key, this.#read())
    }
    return map
  }

  /** @param keys `undefined` where the name of the shape is that of none */
  #record(keys: readonly string[] | undefined): Record<string, unknown> {
    if (keys === undefined) throw notWritten()
    const record: Record<string, unknown> = {}
    for (let index = 0; index < keys.length; index += 1) record[keys[index] as string] = this.#read()
    return record
  }

  /** What stands behind `d4`: a list of keys and the first record that has them, a Set, what is unusual, `undefined`, or a leaf. */
  #tagged(): unknown {
    const start = this.#at - 1
    const type = this.#next()
    const byte = this.#next()
    if (type === 0x72) {
      const keys = this.#keys()
      this.#shapes[byte & 0x3f] = keys
      return this.#record(keys)
    }
    if (type === 0x73) return this.#members()
    if (type === UNUSUAL_TYPE) return restore(this.#read())
    if (type === 0 && byte === 0) return undefined
    if (!LEAF_TYPES.has(type)) throw notWritten()
    return this.#leafFrom(start)
  }

  #members(): Set<unknown> {
    const members = this.#read()
    if (!Array.isArray(members)) throw notWritten()
    return new Set(members as unknown[])
  }

  #keys(): readonly string[] {
    const start = this.#at
    const count = this.#countOfKeys()
    for (let index = 0; index < count; index += 1) this.#skip(this.#lengthOfKey())
    const end = this.#at
    if (end - start > LONGEST_LIST || end > this.#text.length) return this.#keysFrom(start)
    const known = listsOfKeys.get(this.#text.slice(start, end))
    if (known !== undefined) return known
    const keys = this.#keysFrom(start)
    if (listsOfKeys.size >= MOST_LISTS) listsOfKeys.clear()
    // Not a slice of the text, which would hold on to the whole session.
    listsOfKeys.set(latin1Slice.call(this.#bytes, start, end), keys)
    return keys
  }

  #keysFrom(start: number): readonly string[] {
    this.#at = start
    const keys = Array.from({ length: this.#countOfKeys() }, () => this.#string(this.#lengthOfKey()))
    if (keys.includes('__proto__')) throw notWritten()
    return keys
  }

  #countOfKeys(): number {
    const token = this.#next()
    if (token >= 0x90 && token < 0xa0) return token & 0x0f
    if (token === 0xdc) return this.#uint16()
    if (token !== 0xdd) throw notWritten()
    return this.#uint32()
  }

  #lengthOfKey(): number {
    const token = this.#next()
    if (token >= 0xa0 && token < 0xc0) return token & 0x1f
    if (token === 0xd9) return this.#next()
    if (token === 0xda) return this.#uint16()
    if (token !== 0xdb) throw notWritten()
    return this.#uint32()
  }

  #leaf(token: number): unknown {
    const start = this.#at - 1
    this.#skip(this.#bytesOfLeaf(token))
    return this.#leafFrom(start)
  }

  #leafFrom(start: number): unknown {
    if (this.#at > this.#bytes.length) throw notWritten()
    return unpack(this.#bytes.subarray(start, this.#at))
  }

  #bytesOfLeaf(token: number): number {
    switch (token) {
      case 0xc4:
        return this.#next()
      case 0xc5:
        return this.#uint16()
      case 0xc6:
        return this.#uint32()
      case 0xcf:
      case 0xd3:
        return 8
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#bytesOfExtension(1 << (token - 0xd4))
      case 0xc7:
        return this.#bytesOfExtension(this.#next())
      case 0xc8:
        return this.#bytesOfExtension(this.#uint16())
      case 0xc9:
        return this.#bytesOfExtension(this.#uint32())
      default:
        throw notWritten()
    }
  }

  #bytesOfExtension(bytes: number): number {
    if (!LEAF_TYPES.has(this.#next())) throw notWritten()
    return bytes
  }
}

const notWritten = (): Error => new Error('The bytes were not written here')

/** One for all calls: V8 drops the code that it made for a class of which no instance is left. */
const reader: Reader = new Reader()
