import { types } from 'node:util'
import type { EncodeLimits } from '../contract/codec.js'
import { examine, MAX_DEPTH, mostObjects, USUAL_BYTES } from './guard.js'
import { tooLarge, tooManyValues } from './guard-refusal.js'
import {
  ERROR,
  NEGATIVE_ZERO,
  NOT_A_NUMBER,
  NULL_OBJECT,
  OBJECT,
  REGEXP,
  TEXT,
  UNUSUAL_TYPE,
} from './msgpack-unusual.js'
import { pack } from './msgpackr.js'
import { BUILT_INS, broughtHome, ownPrototype } from './realms.js'
import { errorClassOf, isUnusualKey, isUnusualText } from './unusual.js'

const FIRST_BUFFER = 16 * 1024
/** A larger working buffer is not kept for the next call. */
const LARGEST_KEPT_BUFFER = 256 * 1024
/** So many bytes are free where a value begins: enough for a number, for a short text, and for the head of anything. */
const SPARE = 64

/** Up to so many bytes, a text has a head of one byte. */
const SHORT_TEXT = 31
/** A longer text is measured before it is written, as three bytes for each of its characters would be too much room. */
const LONG_TEXT = 4 * 1024

/** So many shapes of objects can be named at the same time; one more takes the name of the oldest. */
const NAMES = 64
const FIRST_NAME = 0x40

/** So many shapes are remembered from one call to the next. */
const MOST_SHAPES = 4_000

/** That a value must not be stored. The guard then says why; if it does not find it any more, this is the cause. */
const REFUSED = new Error('It was another at a second look')

/** A list of keys in their order. The lists that were met are a tree, in which each key leads to the list that is longer by it. */
class Shape {
  readonly #before: Shape | undefined
  readonly #key: string
  /** The list that was met last of those that are longer by one, and all of them where there are several. */
  #last: Shape | undefined
  #longer: Map<string, Shape> | undefined
  #keys: readonly string[] | undefined
  /** Whether one of the keys must not become the name of a property in msgpack. */
  readonly isUnusual: boolean
  /** Which call has given it a name, and how many names that call had given before. */
  call = 0
  place = 0

  constructor(before?: Shape, key = '') {
    this.#before = before
    this.#key = key
    this.isUnusual = before !== undefined && (before.isUnusual || isUnusualKey(key))
  }

  with(key: string): Shape {
    const last = this.#last
    if (last !== undefined && last.#key === key) return last
    const longer = this.#longer?.get(key) ?? this.#add(key)
    this.#last = longer
    return longer
  }

  get keys(): readonly string[] {
    if (this.#keys !== undefined) return this.#keys
    const keys: string[] = []
    for (let at: Shape = this; at.#before !== undefined; at = at.#before) keys.push(at.#key)
    this.#keys = keys.reverse()
    return keys
  }

  #add(key: string): Shape {
    if (key === '__proto__') throw REFUSED
    const longer = new Shape(this, key)
    shapesKnown += 1
    const last = this.#last
    if (last !== undefined) {
      this.#longer ??= new Map([[last.#key, last]])
      this.#longer.set(key, longer)
    }
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
 * Writes a value as msgpack with msgpackr's inline records, and looks in the same pass whether it may be stored.
 *
 * @throws an error that says nothing, where it must not be stored as the guard would find, or is too large
 */
export const writeValue = (
  value: unknown,
  { maxBytes, maxValues = Number.POSITIVE_INFINITY }: Partial<EncodeLimits> = {},
): Uint8Array => {
  const writer = unused ?? new Writer()
  unused = undefined
  try {
    return writer.bytesOf(value, maxBytes ?? USUAL_BYTES, maxValues, mostObjects(maxBytes))
  } finally {
    unused = writer
    writer.rest()
  }
}

class Writer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER)
  #at = 0
  #maxBytes = 0
  #maxValues = 0
  #valuesLeft = 0
  #objectsLeft = 0
  #call = 0
  #names = 0
  /** Whether somebody gave every object an enumerable property, so that a loop over the keys of an object shows it. */
  #inherits = false

  /** In a buffer of its own, as the data of other sessions passes through the working buffer. */
  bytesOf(value: unknown, maxBytes: number, maxValues: number, maxObjects: number): Uint8Array {
    calls += 1
    this.#call = calls
    this.#names = 0
    this.#at = 0
    this.#inherits = false
    for (const _ in Object.prototype) this.#inherits = true
    this.#maxBytes = maxBytes
    this.#maxValues = maxValues
    // The data itself is none of the values in it.
    this.#valuesLeft = maxValues + 1
    this.#objectsLeft = maxObjects
    if (shapesKnown > MOST_SHAPES) {
      noKeys = new Shape()
      shapesKnown = 0
    }
    this.#write(value, 0)
    if (this.#at > maxBytes) throw tooLarge(maxBytes)
    return new Uint8Array(this.#bytes.subarray(0, this.#at))
  }

  /** Until the next call. */
  rest(): void {
    if (this.#bytes.length > LARGEST_KEPT_BUFFER) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BUFFER)
  }

  #write(value: unknown, depth: number): void {
    this.#valuesLeft -= 1
    if (this.#valuesLeft < 0) throw tooManyValues(this.#maxValues)
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
        throw REFUSED
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
    } else if (value === 0) this.#unusual(NEGATIVE_ZERO, 0)
    else if (Number.isNaN(value)) this.#unusual(NOT_A_NUMBER, 0)
    else {
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
    if (this.#at + text.length > this.#maxBytes) throw tooLarge(this.#maxBytes)
    if (isUnusualText(text)) {
      this.#unusual(TEXT, 1)
      this.#leaf(Buffer.from(text, 'utf16le'))
      return
    }
    this.#makeRoom(SPARE + (text.length > LONG_TEXT ? Buffer.byteLength(text) : 3 * text.length))
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
    this.#objectsLeft -= 1
    if (depth >= MAX_DEPTH || this.#objectsLeft < 0) throw REFUSED
    const prototype = Object.getPrototypeOf(value) as object | null
    if (prototype === Object.prototype) this.#record(value as Record<string, unknown>, depth)
    else if (prototype === Array.prototype && Array.isArray(value)) this.#array(value, depth)
    else this.#other(value, BUILT_INS.has(prototype) ? prototype : ownPrototype(prototype), depth)
  }

  /** What is no plain data of this realm: of another one, or a built-in object. An instance of a class is refused. */
  #other(value: object, prototype: object | null, depth: number): void {
    if (prototype === Object.prototype) {
      // What every object of that realm inherits is not known here.
      const inherits = this.#inherits
      this.#inherits = true
      this.#record(value as Record<string, unknown>, depth)
      this.#inherits = inherits
    } else if (prototype === null) this.#entries(NULL_OBJECT, value as Record<string, unknown>, depth)
    else if (prototype === Array.prototype && Array.isArray(value)) this.#array(value, depth)
    else if (prototype === Map.prototype && types.isMap(value)) this.#map(value, depth)
    else if (prototype === Set.prototype && types.isSet(value)) this.#set(value, depth)
    else if (types.isNativeError(value)) this.#error(value, errorClassOf(prototype), depth)
    else {
      examine(value, 'msgpack', { maxBytes: this.#maxBytes })
      if (types.isRegExp(value)) this.#regExp(value)
      else this.#leaf(broughtHome(value, prototype))
    }
  }

  #record(value: Record<string, unknown>, depth: number): void {
    let shape = noKeys
    let count = 0
    for (const key in value) {
      if (this.#inherits && !Object.hasOwn(value, key)) continue
      count += 1
      // An object with too many values is given up before all its keys have been remembered as a shape.
      if (count > this.#valuesLeft) throw tooManyValues(this.#maxValues)
      shape = shape.with(key)
    }
    // For-in and these two counts cost a third of Reflect.ownKeys.
    if (Object.getOwnPropertyNames(value).length !== count) throw REFUSED
    if (Object.getOwnPropertySymbols(value).length > 0) throw REFUSED
    if (shape.isUnusual) {
      this.#entries(OBJECT, value, depth)
      return
    }
    this.#name(shape)
    for (const key in value) {
      if (this.#inherits && !Object.hasOwn(value, key)) continue
      this.#write(dataIn(value, key), depth + 1)
      count -= 1
    }
    // A proxy has changed it meanwhile.
    if (count !== 0) throw REFUSED
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
    // Looked at before its elements: `new Array(4e9)` costs nothing to make and minutes to walk.
    if (length > this.#valuesLeft) throw tooManyValues(this.#maxValues)
    if (length > this.#maxBytes) throw tooLarge(this.#maxBytes)
    // One more than its elements, for `length`. Where a hole makes up for something else, the hole is found below.
    if (Reflect.ownKeys(value).length !== length + 1) throw REFUSED
    this.#arrayHead(length)
    for (let index = 0; index < length; index += 1) {
      const element = value[index]
      if (element === undefined && !Object.hasOwn(value, index)) throw REFUSED
      this.#write(element, depth + 1)
    }
  }

  #map(value: ReadonlyMap<unknown, unknown>, depth: number): void {
    if (Reflect.ownKeys(value).length > 0) throw REFUSED
    if (2 * value.size > this.#valuesLeft) throw tooManyValues(this.#maxValues)
    const entries = [...value]
    if (entries.length < 0x10) this.#byte(0x80 | entries.length)
    else this.#size(entries.length, 0xde)
    for (const [key, entry] of entries) {
      this.#write(key, depth + 1)
      this.#write(entry, depth + 1)
    }
  }

  #set(value: ReadonlySet<unknown>, depth: number): void {
    if (Reflect.ownKeys(value).length > 0) throw REFUSED
    if (value.size > this.#valuesLeft) throw tooManyValues(this.#maxValues)
    const members = [...value]
    this.#tag(0x73, 0)
    this.#arrayHead(members.length)
    for (const member of members) this.#write(member, depth + 1)
  }

  /** The head of what `msgpack-unusual.ts` reads. */
  #unusual(kind: number, parts: number): void {
    this.#tag(UNUSUAL_TYPE, 0)
    this.#arrayHead(1 + parts)
    this.#byte(kind)
  }

  /** An object that cannot be written as one with a shape. */
  #entries(kind: number, value: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(value)
    if (Reflect.ownKeys(value).length !== keys.length) throw REFUSED
    this.#unusual(kind, 2 * keys.length)
    for (const key of keys) {
      this.#key(key)
      this.#write(dataIn(value, key), depth + 1)
    }
  }

  #key(key: string): void {
    if (key === '__proto__') throw REFUSED
    this.#makeRoom(SPARE)
    this.#text(key)
  }

  /** The own properties are the error; only `stack` is left behind. */
  #error(error: Error, className: string | undefined, depth: number): void {
    if (className === undefined || Object.getOwnPropertySymbols(error).length > 0) throw REFUSED
    const keys = Object.getOwnPropertyNames(error).filter((key) => key !== 'stack')
    this.#unusual(ERROR, 1 + 3 * keys.length)
    this.#text(className)
    for (const key of keys) {
      const value = dataIn(error as unknown as Record<string, unknown>, key)
      this.#key(key)
      this.#byte(Object.prototype.propertyIsEnumerable.call(error, key) ? 0xc3 : 0xc2)
      this.#write(value, depth + 1)
    }
  }

  #regExp({ source, flags, lastIndex }: RegExp): void {
    this.#unusual(REGEXP, 3)
    this.#text(source)
    this.#makeRoom(SPARE)
    this.#text(flags)
    this.#number(lastIndex)
  }

  /** What holds no other value is written by msgpackr. */
  #leaf(leaf: unknown): void {
    const bytes = pack(leaf)
    if (this.#at + bytes.length > this.#maxBytes) throw tooLarge(this.#maxBytes)
    this.#makeRoom(bytes.length + SPARE)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes > this.#bytes.length) this.#grow(bytes)
  }

  #grow(bytes: number): void {
    if (this.#at > this.#maxBytes) throw tooLarge(this.#maxBytes)
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#at + bytes))
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

/** What a property holds. No getter is run. */
const dataIn = (value: Record<string, unknown>, key: string): unknown => {
  if (lookupGetter.call(value, key) !== undefined) throw REFUSED
  const held = value[key]
  // A setter without a getter holds nothing.
  if (held === undefined && Object.getOwnPropertyDescriptor(value, key)?.writable === undefined) throw REFUSED
  return held
}
