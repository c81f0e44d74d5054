import type { Codec, EncodeLimits } from '../contract/codec.js'
import { msgpackCodec } from './msgpack.js'
import { plainOf } from './plain.js'

/**
 * msgpackCodec for applications that come from a store that kept JSON: what it refuses is stored as JSON would have
 * stored it. What it writes is msgpack, under the same id, so that programs with and without it share their sessions.
 *
 * * Whatever has a `toJSON` (a mongoose document, an ObjectId, a Decimal, a moment, a luxon DateTime, a URL) is stored as
 *   what that gives, and any other instance of a class as a plain object of its own enumerable properties.
 * * Functions and symbols are left out, in an array they become null; so are keys that are symbols, properties that are
 *   not enumerable, and properties beside the elements of an array. A hole becomes null. A getter is run.
 * * What msgpackCodec keeps stays exact, wherever it stands: Date, Map, Set, RegExp, bigint, Buffer and other bytes,
 *   undefined, NaN, errors of the language. An instance of a class that extends one of them, without a `toJSON` of its
 *   own, is stored as what it extends.
 *
 * Refused, with `E_SESSION_DATA` and a path, are a cycle, an own `__proto__` key, a `toJSON` or getter that throws,
 * memory shared between threads, and more than 256 levels or 64 MiB.
 *
 * Costs a copy of the data at each save, which is of the order of the encoding itself.
 */
export const jsonLike = (): Codec =>
  Object.freeze({
    name: msgpackCodec.name,
    id: msgpackCodec.id,
    encode: (value: unknown, limits?: EncodeLimits): Uint8Array => msgpackCodec.encode(plainOf(value), limits),
    decode: (bytes: Uint8Array): unknown => msgpackCodec.decode(bytes),
  })
