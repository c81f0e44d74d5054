import type { Codec, EncodeLimits } from '../contract/codec.js'
import { examine, isStorable } from './guard.js'
import { refused, UNREADABLE } from './guard-refusal.js'
import { GIVEN_BACK, readPlain } from './msgpack-read.js'
import { substitute } from './msgpack-unusual.js'
import { writePlain } from './msgpack-write.js'
import { pack, unpack } from './msgpackr.js'

/** The token msgpack leaves unused; msgpackr reads it as an object of its own. */
const NEVER_USED = 0xc1

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
    const plain = writePlain(value, limits ?? {})
    if (plain !== undefined) return plain
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
    const plain = readPlain(source)
    if (plain !== GIVEN_BACK) return plain
    const value = unpackAny(source)
    if (source.includes(NEVER_USED) && !isStorable(value, 'msgpack')) throw damaged()
    return value
  },
})

/** msgpackr's own errors quote what they read, so none of them is passed on, not even as a cause. */
const unpackAny = (source: Uint8Array): unknown => {
  try {
    return unpack(source)
  } catch {
    throw damaged()
  }
}

const damaged = (): Error => new Error('The bytes are damaged, or were not written by the msgpack codec')
