// This build of msgpackr is a module of its own: no native strings, no generated code, and its extensions are ours
// alone (docs/decisions/0004-codec.md).
import { addExtension, Packr, RESET_BUFFER_MODE, Unpackr } from 'msgpackr/index-no-eval'
import type { Codec, EncodeLimits } from '../contract/codec.js'
import { examine, isStorable } from './guard.js'
import { refused, UNREADABLE } from './guard-refusal.js'
import { restore, substitute, UNUSUAL_TYPE, Unusual } from './msgpack-unusual.js'

addExtension({ Class: Unusual, type: UNUSUAL_TYPE, write: ({ parts }) => parts, read: restore })

/** Bundled strings, msgpackr's own errors, references back and forth, its own regular expressions: never written. */
for (const type of [0x62, 0x65, 0x69, 0x70, 0x78])
  addExtension({
    type,
    unpack: () => {
      throw new Error('An extension that is not in use')
    },
  })

const packr: Packr = new Packr({
  moreTypes: true,
  useToJSON: false,
  // The guard has refused functions; should a proxy produce one afterwards, msgpackr would write `undefined`.
  writeFunction: () => {
    throw new TypeError('A function appeared while the data was being encoded')
  },
})

// Not `packr.unpack`: a Packr keeps the shapes of damaged input from one call to the next.
const unpackr: Unpackr = new Unpackr({
  moreTypes: true,
  mapsAsObjects: false,
  copyBuffers: true,
  structuredClone: false,
})

/** The token msgpack leaves unused; msgpackr reads it as an object of its own. */
const NEVER_USED = 0xc1

/** msgpackr keeps its working buffer at the largest size it ever needed; beyond this we hand it a new one. */
const LARGEST_KEPT_BUFFER = 256 * 1024

/**
 * The default codec: msgpack with msgpackr's inline records. Id 1.
 *
 * Comes back equal: undefined, null, booleans, every number, bigint and string; Date, Map, Set, RegExp (with
 * `lastIndex`), Buffer, ArrayBuffer, DataView, all typed arrays but Float16Array; the language's own errors with
 * all their own properties except `stack`, which keeps its first line; arrays; objects, also without a prototype.
 * The order of keys, members and entries is part of a value.
 *
 * An object that is referred to twice comes back as two equal ones. Frozen comes back unfrozen. Properties that
 * were added to a Buffer or a typed array are not stored.
 *
 * Refused, with `E_SESSION_DATA` and a path: functions, symbols, symbol keys, an own `__proto__` key, getters and
 * setters, properties that are not enumerable, instances of any other class (derived ones too, and those with a
 * `toJSON`), arrays with holes or extra properties, cycles, more than 256 levels. More than `maxBytes` (64 MiB where they
 * are not given) is refused with `E_SESSION_TOO_LARGE`, before it is encoded where that can be seen.
 */
export const msgpackCodec: Codec = Object.freeze({
  name: 'msgpack',
  id: 1,

  encode(value: unknown, limits?: EncodeLimits): Uint8Array {
    const unusual = examine(value, 'msgpack', limits)
    try {
      return pack(unusual ? substitute(value) : value)
    } catch (cause) {
      throw refused(UNREADABLE, [], cause)
    }
  },

  decode(bytes: Uint8Array): unknown {
    // A view of our own: msgpackr hangs a DataView on what it reads, and copies a Buffer's parts as Buffers.
    const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const value = unpack(source)
    if (source.includes(NEVER_USED) && !isStorable(value, 'msgpack')) throw damaged()
    return value
  },
})

/** A copy of exactly its size: msgpackr's is a view on a buffer that other sessions' data passes through. */
const pack = (value: unknown): Uint8Array => {
  const bytes = new Uint8Array(packr.pack(value, RESET_BUFFER_MODE))
  if (bytes.length > LARGEST_KEPT_BUFFER) packr.useBuffer(Buffer.allocUnsafeSlow(8192))
  return bytes
}

/** msgpackr's own errors quote what they read, so none of them is passed on, not even as a cause. */
const unpack = (source: Uint8Array): unknown => {
  try {
    return unpackr.unpack(source)
  } catch {
    throw damaged()
  }
}

const damaged = (): Error => new Error('The bytes are damaged, or were not written by the msgpack codec')
