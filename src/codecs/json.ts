import type { Codec, EncodeLimits } from '../contract/codec.js'
import { examine, isStorable } from './guard.js'

const encoder = new TextEncoder()

/**
 * Strict JSON, for rows that people read or other programs share. Id 2.
 *
 * Stores what JSON gives back equal: null, booleans, finite numbers but -0, strings, arrays, plain objects. All else
 * is refused, with `E_SESSION_DATA` and a path, where `JSON.stringify` would drop or bend it: undefined (also as a
 * property), NaN, bigint, Date, Map, Buffer, an object with a `toJSON` method. The bounds are msgpackCodec's: 256
 * levels, and `maxBytes`. Keys keep their order, and their order is part of a value.
 */
export const jsonCodec: Codec = Object.freeze({
  name: 'json',
  id: 2,

  encode(value: unknown, limits?: EncodeLimits): Uint8Array {
    examine(value, 'json', limits)
    return encoder.encode(JSON.stringify(value))
  },

  decode(bytes: Uint8Array): unknown {
    const value = parse(bytes)
    if (!isStorable(value, 'json')) throw damaged()
    return value
  },
})

/** JSON.parse quotes what it could not read, so its error is not passed on, not even as a cause. */
const parse = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    throw damaged()
  }
}

const damaged = (): Error => new Error('The bytes are damaged, or were not written by the json codec')
