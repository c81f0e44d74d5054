import { types } from 'node:util'
import type { EncodeLimits } from '../contract/codec.js'
import { examine } from './guard.js'
import { pack } from './msgpackr.js'
import { isUnusualKey, isUnusualText } from './unusual.js'

/** The same bound as the guard's. */
const MAX_DEPTH = 256

/** What becomes larger is written by msgpackr, so that the guard's bounds on time hold for it. */
const MOST_BYTES = 4 * 1024 * 1024

const FIRST_BUFFER = 16 * 1024
/** A larger working buffer is not kept for the next call. */
const LARGEST_KEPT_BUFFER = 256 * 1024
/** So many bytes are free where a value begins: enough for a number, for a short text, and for the head of anything. */
const SPARE = 64

/** Up to so many bytes, a text has a head of one byte. */
const SHORT_TEXT = 31

/** So many shapes of objects can be named at the same time; one more takes the name of the oldest. */
const NAMES = 64
const FIRST_NAME = 0x40

/** So many shapes are remembered from one call to the next. */
const MOST_SHAPES = 4_000

/** It is thrown where a value is given back, and made once, as making an error takes longer than all the rest. */
const GIVEN_BACK = new Error('Not written here')

/** A list of keys in their order. The lists that were met are a tree, in which each key leads to the list that is longer by it. */
class Shape {
  readonly #before: Shape | undefined
  readonly #key: string
  readonly #longer = new Map<string, Shape>()
  #last: Shape | undefined
  #keys: readonly string[] | undefined
  /** Which call has given it a name, and how many names that call had given before. */
  call = 0
  place = 0

  constructor(before?: Shape, key = '') {
    this.#before = before
    this.#key = key
  }

  with(key: string): Shape {
    const last = this.#last
    if (last !== undefined && last.#key === key) return last
    const longer = this.#longer.get(key) ?? this.#add(key)
    this.#last = longer
    return longer
  }

  get keys(): readonly string[] {
    this.#keys ??= this.#before === undefined ? [] : [...this.#before.keys, this.#key]
    return this.#keys
  }

  #add(key: string): Shape {
    if (isUnusualKey(key)) throw GIVEN_BACK
    const longer = new Shape(this, key)
    this.#longer.set(key, longer)
    shapesKnown += 1
    return longer
  }
}

let noKeys: Shape = new Shape()
let shapesKnown = 0
let calls = 0

/**
 * The writer while no call uses it: what a proxy runs while it is read may encode something else meanwhile. It is kept as
 * its buffer is, and as V8 drops the code that it made for a class of which no instance is left.
 */
let unused: Writer | undefined

/**
 * Writes plain data as msgpack, and looks in the same pass whether it may be stored: objects and arrays of this realm, Maps
 * and Sets, texts, numbers, booleans, `null` and `undefined`, and what stands in them as a Date, as bytes or as a bigint.
 * The bytes are those that msgpackr makes of the same value.
 *
 * `undefined` where it meets anything else, or something that must be refused: then the guard looks at the whole of the
 * value, and msgpackr writes it.
 */
export const writePlain = (
  value: unknown,
  { maxBytes = MOST_BYTES, maxValues = Number.POSITIVE_INFINITY }: Partial<EncodeLimits>,
): Uint8Array | undefined => {
  // Somebody gave Object.prototype an enumerable property: then a loop over the keys of an object shows it too.
  for (const _ in Object.prototype) return undefined
  const writer = unused ?? new Writer()
  unused = undefined
  try {
    return writer.bytesOf(value, Math.min(maxBytes, MOST_BYTES), maxValues)
  } catch {
    return undefined
  } finally {
    unused = writer
    writer.rest()
  }
}

class Writer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER)
  #at = 0
  #maxBytes = 0
  #valuesLeft = 0
  #call = 0
  #names = 0

  /** In a buffer of its own, as the data of other sessions passes through the working buffer. */
  bytesOf(value: unknown, maxBytes: number, maxValues: number): Uint8Array {
    calls += 1
    this.#call = calls
    this.#names = 0
    this.#at = 0
    this.#maxBytes = maxBytes
    // The data itself is none of the values in it.
    this.#valuesLeft = maxValues + 1
    if (shapesKnown > MOST_SHAPES) {
      noKeys = new Shape()
      shapesKnown = 0
    }
    this.#write(value, 0)
    if (this.#at > maxBytes) throw GIVEN_BACK
    return new Uint8Array(this.#bytes.subarray(0, this.#at))
  }

  /** Until the next call. */
  rest(): void {
    if (this.#bytes.length > LARGEST_KEPT_BUFFER) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BUFFER)
  }

  #write(value: unknown, depth: number): void {
    this.#valuesLeft -= 1
    if (this.#valuesLeft < 0) throw GIVEN_BACK
    this.#makeRoom(SPARE)
    switch (typeof value) {
      case 'string':
        this.#text(value)
        break
      case 'number':
        this.#number(value)
        break
      case 'boolean':
        this.#byte(value ? 0xc3 : 0xc2)
        break
      case 'object':
        if (value === null) this.#byte(0xc0)
        else this.#object(value, depth)
        break
      case 'undefined':
        this.#tag(0, 0)
        break
      case 'bigint':
        this.#leaf(value)
        break
      default:
        throw GIVEN_BACK
    }
  }

  #byte(byte: number): void {
    this.#bytes[this.#at] = byte
    this.#at += 1
  }

  /** An extension of one byte. */
  #tag(type: number, byte: number): void {
    this.#byte(0xd4)
    this.#byte(type)
    this.#byte(byte)
  }

  /** A number of four bytes behind the byte that says so. */
  #long(head: number, number: number): void {
    this.#byte(head)
    this.#at = this.#bytes.writeUInt32BE(number, this.#at)
  }

  #number(value: number): void {
    if (value >>> 0 === value && (value !== 0 || !Object.is(value, -0))) {
      if (value < FIRST_NAME) this.#byte(value)
      else if (value < 0x100) {
        this.#byte(0xcc)
        this.#byte(value)
      } else if (value < 0x10000) {
        this.#byte(0xcd)
        this.#byte(value >> 8)
        this.#byte(value)
      } else this.#long(0xce, value)
    } else if (value >> 0 === value && value !== 0) {
      if (value >= -0x20) this.#byte(value)
      else if (value >= -0x80) {
        this.#byte(0xd0)
        this.#byte(value)
      } else if (value >= -0x8000) {
        this.#byte(0xd1)
        this.#byte(value >> 8)
        this.#byte(value)
      } else this.#long(0xd2, value >>> 0)
    } else {
      // Negative zero, or NaN, which travel as what is unusual.
      if (value === 0 || Number.isNaN(value)) throw GIVEN_BACK
      this.#byte(0xcb)
      this.#at = this.#bytes.writeDoubleBE(value, this.#at)
    }
  }

  #text(text: string): void {
    if (text.length > SHORT_TEXT || !this.#shortText(text)) this.#longText(text)
  }

  /** Whether it could write a short text, as it is all ASCII. */
  #shortText(text: string): boolean {
    const { length } = text
    const bytes = this.#bytes
    let at = this.#at + 1
    for (let index = 0; index < length; index += 1) {
      const code = text.charCodeAt(index)
      if (code > 0x7f) return false
      bytes[at] = code
      at += 1
    }
    bytes[this.#at] = 0xa0 | length
    this.#at = at
    return true
  }

  #longText(text: string): void {
    if (isUnusualText(text)) throw GIVEN_BACK
    if (this.#at + text.length > this.#maxBytes) throw GIVEN_BACK
    this.#makeRoom(5 + 3 * text.length + SPARE)
    // The head says how many bytes follow, which is known once they are written: they are moved where it grew by that.
    const guess = this.#at + headBytes(text.length)
    const size = this.#bytes.write(text, guess)
    const start = this.#at + headBytes(size)
    if (start !== guess) this.#bytes.copyWithin(start, guess, guess + size)
    if (size <= SHORT_TEXT) this.#byte(0xa0 | size)
    else if (size < 0x100) {
      this.#byte(0xd9)
      this.#byte(size)
    } else this.#size(size, 0xda)
    this.#at = start + size
  }

  /** A size of two bytes behind `head`, or of four behind the one that follows it. */
  #size(size: number, head: number): void {
    if (size >= 0x10000) this.#long(head + 1, size)
    else {
      this.#byte(head)
      this.#byte(size >> 8)
      this.#byte(size)
    }
  }

  #object(value: object, depth: number): void {
    if (depth >= MAX_DEPTH) throw GIVEN_BACK
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Object.prototype) this.#record(value as Record<string, unknown>, depth)
    else if (prototype === Array.prototype && Array.isArray(value)) this.#array(value, depth)
    else if (prototype === Map.prototype && types.isMap(value)) this.#map(value, depth)
    else if (prototype === Set.prototype && types.isSet(value)) this.#set(value, depth)
    else if (types.isDate(value) || ArrayBuffer.isView(value) || types.isArrayBuffer(value)) this.#leaf(value)
    else throw GIVEN_BACK
  }

  #record(value: Record<string, unknown>, depth: number): void {
    let shape = noKeys
    let count = 0
    for (const key in value) {
      shape = shape.with(key)
      count += 1
    }
    if (Object.getOwnPropertyNames(value).length !== count) throw GIVEN_BACK
    if (Object.getOwnPropertySymbols(value).length > 0) throw GIVEN_BACK
    this.#name(shape)
    for (const key in value) {
      if (hasGetter(value, key)) throw GIVEN_BACK
      const held = value[key]
      // A setter without a getter holds nothing.
      if (held === undefined && !isDatum(value, key)) throw GIVEN_BACK
      this.#write(held, depth + 1)
      count -= 1
    }
    // A proxy has changed it meanwhile.
    if (count !== 0) throw GIVEN_BACK
  }

  /** The name of the shape, and its keys where the name is not known at this place of the bytes. */
  #name(shape: Shape): void {
    if (shape.call === this.#call && this.#names - shape.place <= NAMES) {
      this.#byte(FIRST_NAME + (shape.place % NAMES))
      return
    }
    shape.call = this.#call
    shape.place = this.#names
    this.#tag(0x72, FIRST_NAME + (this.#names % NAMES))
    this.#names += 1
    const { keys } = shape
    this.#arrayHead(keys.length)
    for (const key of keys) {
      this.#makeRoom(SPARE)
      this.#text(key)
    }
  }

  #arrayHead(length: number): void {
    if (length < 0x10) this.#byte(0x90 | length)
    else this.#size(length, 0xdc)
  }

  #array(value: readonly unknown[], depth: number): void {
    const { length } = value
    if (length > this.#valuesLeft || length > this.#maxBytes) throw GIVEN_BACK
    // One more than its elements, for `length`. Where a hole makes up for something else, the hole is found below.
    if (Reflect.ownKeys(value).length !== length + 1) throw GIVEN_BACK
    this.#arrayHead(length)
    for (let index = 0; index < length; index += 1) {
      const element = value[index]
      if (element === undefined && !Object.hasOwn(value, index)) throw GIVEN_BACK
      this.#write(element, depth + 1)
    }
  }

  #map(value: ReadonlyMap<unknown, unknown>, depth: number): void {
    if (Reflect.ownKeys(value).length > 0) throw GIVEN_BACK
    const entries = [...value]
    if (entries.length < 0x10) this.#byte(0x80 | entries.length)
    else this.#size(entries.length, 0xde)
    for (const [key, entry] of entries) {
      this.#write(key, depth + 1)
      this.#write(entry, depth + 1)
    }
  }

  #set(value: ReadonlySet<unknown>, depth: number): void {
    if (Reflect.ownKeys(value).length > 0) throw GIVEN_BACK
    const members = [...value]
    this.#tag(0x73, 0)
    this.#arrayHead(members.length)
    for (const member of members) this.#write(member, depth + 1)
  }

  /** What holds no other value. */
  #leaf(leaf: bigint | Date | ArrayBufferView | ArrayBuffer): void {
    if (examine(leaf, 'msgpack')) throw GIVEN_BACK
    const bytes = pack(leaf)
    this.#makeRoom(bytes.length + SPARE)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes > this.#bytes.length) this.#grow(bytes)
  }

  #grow(bytes: number): void {
    if (this.#at > this.#maxBytes) throw GIVEN_BACK
    const larger = Buffer.allocUnsafeSlow(2 * (this.#at + bytes))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
  }
}

const headBytes = (size: number): number => {
  if (size <= SHORT_TEXT) return 1
  if (size < 0x100) return 2
  return size < 0x10000 ? 3 : 5
}

/** Unlike a descriptor, it leaves no garbage, and there is one of these for every property of every session. */
const lookupGetter = Reflect.get(Object.prototype, '__lookupGetter__') as (this: object, key: string) => unknown

const hasGetter = (value: object, key: string): boolean => lookupGetter.call(value, key) !== undefined

const isDatum = (value: object, key: string): boolean =>
  Object.getOwnPropertyDescriptor(value, key)?.writable !== undefined
