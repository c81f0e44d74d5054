import type { Codec, EncodeLimits } from '../contract/codec.js'
import { isSessionStoreError } from '../errors.js'
import { examine } from './guard.js'
import { refused, UNREADABLE } from './guard-refusal.js'
import { readValue } from './msgpack-read.js'
import { writeValue } from './msgpack-write.js'

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
    try {
      return writeValue(value, limits)
    } catch (cause) {
      // To list the keys of a huge object takes long, and a second look would do it once more.
      if (isSessionStoreError(cause, 'E_SESSION_TOO_LARGE')) throw cause
      // It throws, with the path.
      examine(value, 'msgpack', limits)
      throw isSessionStoreError(cause) ? cause : refused(UNREADABLE, [], cause)
    }
  },

  decode(bytes: Uint8Array): unknown {
    try {
      // A view of our own, whatever class of bytes a driver hands out.
      return readValue(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    } catch {
      // Not even as a cause is an error passed on that quotes what was read.
      throw new Error('The bytes are damaged, or were not written by the msgpack codec')
    }
  },
})
