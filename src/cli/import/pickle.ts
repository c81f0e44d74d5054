/**
 * Reads what Python has pickled, as data and never as code: a pickle is a program, and of that program only the commands that
 * make plain values are known here. Every name of a class or a function is refused, but for the few by which Python writes
 * values of its own, such as a date. No name is looked up anywhere, and nothing is called.
 *
 * docs/decisions/0044-pickles.md says why no package does this.
 */

/** What cannot be read, and why, in words without any of its content. */
export class PickleError extends Error {}

/** A text of Python 2, or bytes: which of both it is shows where it is used. */
class RawText {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** A name of something in Python. */
class Name {
  readonly name: string

  constructor(module: unknown, name: unknown) {
    this.name = `${asText(module)} ${asText(name)}`
  }
}

const DEEPEST = 200
const LARGEST_SAFE = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * The value of a pickle of protocol 0 to 5. A dict becomes an object (whole numbers as keys become texts, as in JSON), a tuple
 * a list, a set a Set, a datetime a Date (one without a time zone is taken for UTC), a date a text such as `2026-01-31`, bytes a
 * Uint8Array, and a whole number that is too large for a number a bigint.
 *
 * @throws PickleError for everything else: damage, objects of classes, functions
 */
export const unpickle = (bytes: Uint8Array): unknown => {
  const read = new Reader(bytes)
  const machine = new Machine(read)
  for (;;) {
    const code = read.byte()
    if (code === STOP) return finished(machine.pop(), 0)
    const command = COMMANDS.get(code)
    if (command === undefined) throw new PickleError('it holds an object of a class, which is code and no data')
    command(machine, read)
  }
}

const STOP = 0x2e

/** The bytes of a pickle, read from the beginning. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  take(length: number): Buffer {
    const to = this.#at + length
    if (!(length >= 0) || to > this.#bytes.length) throw new PickleError('it is no whole pickle')
    const taken = this.#bytes.subarray(this.#at, to)
    this.#at = to
    return taken
  }

  byte = (): number => this.take(1).readUInt8()
  uint16 = (): number => this.take(2).readUInt16LE()
  uint32 = (): number => this.take(4).readUInt32LE()
  int32 = (): number => this.take(4).readInt32LE()
  uint64 = (): number => Number(this.take(8).readBigUInt64LE())
  float64 = (): number => this.take(8).readDoubleBE()

  /** Up to the end of the line, without that. */
  line = (): Buffer => {
    const end = this.#bytes.indexOf(0x0a, this.#at)
    if (end === -1) throw new PickleError('it is no whole pickle')
    const line = this.#bytes.subarray(this.#at, end)
    this.#at = end + 1
    return line
  }
}

/** The stack and the memory that the commands work on. */
class Machine {
  readonly #read: Reader
  readonly #stack: unknown[] = []
  readonly #marks: number[] = []
  readonly #memo = new Map<number, unknown>()

  constructor(read: Reader) {
    this.#read = read
  }

  push = (value: unknown): void => void this.#stack.push(value)

  pop = (): unknown => {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw new PickleError('it is no pickle that makes sense')
    return this.#stack.pop()
  }

  top = (): unknown => {
    const value = this.pop()
    this.push(value)
    return value
  }

  mark = (): void => void this.#marks.push(this.#stack.length)

  /** All that was pushed since the last mark. */
  popMarked = (): unknown[] => {
    const from = this.#marks.pop()
    if (from === undefined) throw new PickleError('it is no pickle that makes sense')
    return this.#stack.splice(from)
  }

  remember = (at: number): void => void this.#memo.set(at, this.top())
  rememberNext = (): void => this.remember(this.#memo.size)

  recall = (at: number): void => {
    if (!this.#memo.has(at)) throw new PickleError('it is no pickle that makes sense')
    this.push(this.#memo.get(at))
  }

  /** A number that stands on a line of its own. */
  numberOnLine = (): number => Number(this.#read.line().toString('latin1'))
}

const asList = (value: unknown): unknown[] => {
  if (Array.isArray(value)) return value as unknown[]
  throw new PickleError('it is no pickle that makes sense')
}

const asMap = (value: unknown): Map<unknown, unknown> => {
  if (value instanceof Map) return value
  throw new PickleError('it holds an object of a class, which is code and no data')
}

const asText = (value: unknown): string => {
  if (typeof value === 'string') return value
  if (value instanceof RawText) return textOf(value)
  throw new PickleError('it is no pickle that makes sense')
}

/** Python 2 does not say how the bytes of a text are to be read: as UTF-8 where they can be, else each as a letter. */
const textOf = ({ bytes }: RawText): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return Buffer.from(bytes).toString('latin1')
  }
}

const setPairs = (map: Map<unknown, unknown>, pairs: readonly unknown[]): Map<unknown, unknown> => {
  if (pairs.length % 2 !== 0) throw new PickleError('it is no pickle that makes sense')
  for (let at = 0; at < pairs.length; at += 2) map.set(keyOf(pairs[at]), pairs[at + 1])
  return map
}

/** Two texts of Python 2 with the same bytes are one key. */
const keyOf = (key: unknown): unknown => {
  if (key instanceof RawText) return textOf(key)
  if (typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint') return key
  throw new PickleError('it has a key that is neither a text nor a number')
}

const wholeNumber = (value: bigint): number | bigint =>
  value >= -LARGEST_SAFE && value <= LARGEST_SAFE ? Number(value) : value

/** A whole number in two's complement, the lowest byte first. */
const longOf = (bytes: Buffer): number | bigint => {
  let value = 0n
  for (let at = bytes.length - 1; at >= 0; at -= 1) value = (value << 8n) | BigInt(bytes[at] ?? 0)
  return wholeNumber(BigInt.asIntN(bytes.length * 8, value))
}

const numberIn = (line: Buffer): number | bigint => {
  const text = line.toString('latin1').trim().replace(/L$/, '')
  if (!/^[+-]?\d+$/.test(text)) throw new PickleError('it is no pickle that makes sense')
  return wholeNumber(BigInt(text))
}

const ESCAPES: Readonly<Record<string, number>> = {
  ...{ n: 0x0a, r: 0x0d, t: 0x09, a: 0x07, b: 0x08, f: 0x0c, v: 0x0b },
  ...{ '\\': 0x5c, "'": 0x27, '"': 0x22 },
}

/** The bytes of a text that Python 2 has written as in a program: `'it\'s \xe9'`. */
const quoted = (line: Buffer): RawText => {
  const text = line.toString('latin1').trim()
  const quote = text[0]
  if (text.length < 2 || (quote !== "'" && quote !== '"') || !text.endsWith(quote))
    throw new PickleError('it is no pickle that makes sense')
  const bytes: number[] = []
  const inner = text.slice(1, -1)
  for (let at = 0; at < inner.length; at += 1) {
    const letter = inner[at] ?? ''
    if (letter !== '\\') {
      bytes.push(letter.charCodeAt(0))
      continue
    }
    const [, hex, one = ''] = /^(?:x([0-9a-fA-F]{2})|(.))/.exec(inner.slice(at + 1, at + 4)) ?? []
    const byte = hex === undefined ? ESCAPES[one] : Number.parseInt(hex, 16)
    if (byte === undefined) throw new PickleError('it holds a text with an escape that is not known')
    bytes.push(byte)
    at += hex === undefined ? 1 : 3
  }
  return new RawText(Uint8Array.from(bytes))
}

/** A text whose letters from 256 on, and some others, are written as `\u20ac` and `\U0001f600`. */
const escapedUnicode = (line: Buffer): string =>
  line
    .toString('latin1')
    .replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, four: string | undefined, eight: string | undefined) => {
      const point = Number.parseInt(four ?? eight ?? '', 16)
      if (point > 0x10ffff) throw new PickleError('it is no pickle that makes sense')
      return String.fromCodePoint(point)
    })

const bytesOf = (value: unknown): Uint8Array => {
  if (value instanceof RawText) return value.bytes
  if (value instanceof Uint8Array) return value
  // Python 3 writes bytes so for Python 2.
  if (typeof value === 'string') return Buffer.from(value, 'latin1')
  throw new PickleError('it is no pickle that makes sense')
}

const dateParts = (bytes: Uint8Array): readonly [year: number, month: number, day: number] => {
  const [high = 0, low = 0, month = 0, day = 0] = bytes
  return [high * 256 + low, month & 0x7f, day]
}

/** A difference of two moments, in ms. */
class Difference {
  readonly ms: number

  constructor([days, seconds, microseconds]: readonly unknown[]) {
    this.ms = Number(days) * 86_400_000 + Number(seconds ?? 0) * 1_000 + Number(microseconds ?? 0) / 1_000
  }
}

/** By which names Python writes values of its own, and what these values are here. */
type Make = (given: readonly unknown[]) => unknown

const VALUES: ReadonlyMap<string, Make> = new Map<string, Make>([
  [
    '_codecs encode',
    ([text, encoding]) => {
      if (asText(encoding) !== 'latin1') throw new PickleError('it holds bytes in an encoding that is not known')
      return Uint8Array.from(bytesOf(asText(text)))
    },
  ],
  [
    'datetime date',
    ([state]) => {
      const [year, month, day] = dateParts(bytesOf(state))
      return `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`
    },
  ],
  [
    'datetime datetime',
    ([state, zone]) => {
      const bytes = bytesOf(state)
      if (bytes.length !== 10) throw new PickleError('it is no pickle that makes sense')
      const [year, month, day] = dateParts(bytes)
      const [hours = 0, minutes = 0, seconds = 0, high = 0, middle = 0, low = 0] = bytes.subarray(4)
      const ms = Math.floor(((high << 16) | (middle << 8) | low) / 1_000)
      const utc = Date.UTC(year, month - 1, day, hours, minutes, seconds, ms)
      if (zone === undefined) return new Date(utc)
      if (zone instanceof Difference) return new Date(utc - zone.ms)
      throw new PickleError('it holds a moment in a time zone that is not known')
    },
  ],
  ['datetime timedelta', (given) => new Difference(given)],
  [
    'datetime timezone',
    ([offset]) => {
      if (offset instanceof Difference) return offset
      throw new PickleError('it is no pickle that makes sense')
    },
  ],
  ...['__builtin__', 'builtins'].flatMap((module) => [
    ...['set', 'frozenset'].map(
      (name) => [`${module} ${name}`, ([items]: readonly unknown[]) => new Set(asList(items ?? []))] as const,
    ),
    [`${module} bytes`, () => new Uint8Array(0)] as const,
    [
      `${module} bytearray`,
      ([given]: readonly unknown[]) => Uint8Array.from(given === undefined ? [] : bytesOf(given)),
    ] as const,
  ]),
  [
    'collections OrderedDict',
    ([pairs]) => {
      const map = new Map<unknown, unknown>()
      for (const pair of asList(pairs ?? [])) setPairs(map, asList(pair))
      return map
    },
  ],
])

const reduced = (callable: unknown, given: unknown): unknown => {
  const make = callable instanceof Name ? VALUES.get(callable.name) : undefined
  if (make === undefined) throw new PickleError('it holds an object of a class, which is code and no data')
  return make(asList(given))
}

type Command = (machine: Machine, read: Reader) => void

const utf8 = (bytes: Buffer): string => bytes.toString('utf8')
const addTo = (set: unknown, items: readonly unknown[]): void => {
  if (!(set instanceof Set)) throw new PickleError('it is no pickle that makes sense')
  for (const item of items) set.add(item)
}

const COMMANDS: ReadonlyMap<number, Command> = new Map<number, Command>([
  // What a pickle says of itself.
  [
    0x80,
    (_, read) => {
      if (read.byte() > 5) throw new PickleError('it is a pickle of a protocol newer than 5')
    },
  ],
  [0x95, (_, read) => void read.take(8)],
  // The stack and the memory.
  [0x28, ({ mark }) => mark()],
  [0x30, ({ pop }) => void pop()],
  [0x31, ({ popMarked }) => void popMarked()],
  [0x32, ({ push, top }) => push(top())],
  [0x70, ({ remember, numberOnLine }) => remember(numberOnLine())],
  [0x71, ({ remember }, { byte }) => remember(byte())],
  [0x72, ({ remember }, { uint32 }) => remember(uint32())],
  [0x94, ({ rememberNext }) => rememberNext()],
  [0x67, ({ recall, numberOnLine }) => recall(numberOnLine())],
  [0x68, ({ recall }, { byte }) => recall(byte())],
  [0x6a, ({ recall }, { uint32 }) => recall(uint32())],
  // Nothing, truth and numbers.
  [0x4e, ({ push }) => push(null)],
  [0x88, ({ push }) => push(true)],
  [0x89, ({ push }) => push(false)],
  [
    0x49,
    ({ push }, { line }) => {
      const text = line()
      const word = text.toString('latin1')
      push(word === '00' || word === '01' ? word === '01' : numberIn(text))
    },
  ],
  [0x4a, ({ push }, { int32 }) => push(int32())],
  [0x4b, ({ push }, { byte }) => push(byte())],
  [0x4d, ({ push }, { uint16 }) => push(uint16())],
  [0x4c, ({ push }, { line }) => push(numberIn(line()))],
  [0x8a, ({ push }, read) => push(longOf(read.take(read.byte())))],
  [0x8b, ({ push }, read) => push(longOf(read.take(read.int32())))],
  [
    0x46,
    ({ push }, { line }) => {
      const text = line().toString('latin1')
      push(text === 'inf' ? Number.POSITIVE_INFINITY : text === '-inf' ? Number.NEGATIVE_INFINITY : Number(text))
    },
  ],
  [0x47, ({ push }, { float64 }) => push(float64())],
  // Texts and bytes.
  [0x53, ({ push }, { line }) => push(quoted(line()))],
  [0x54, ({ push }, read) => push(new RawText(read.take(read.int32())))],
  [0x55, ({ push }, read) => push(new RawText(read.take(read.byte())))],
  [0x56, ({ push }, { line }) => push(escapedUnicode(line()))],
  [0x58, ({ push }, read) => push(utf8(read.take(read.uint32())))],
  [0x8c, ({ push }, read) => push(utf8(read.take(read.byte())))],
  [0x8d, ({ push }, read) => push(utf8(read.take(read.uint64())))],
  [0x42, ({ push }, read) => push(Uint8Array.from(read.take(read.uint32())))],
  [0x43, ({ push }, read) => push(Uint8Array.from(read.take(read.byte())))],
  [0x8e, ({ push }, read) => push(Uint8Array.from(read.take(read.uint64())))],
  [0x96, ({ push }, read) => push(Uint8Array.from(read.take(read.uint64())))],
  // Lists and tuples.
  [0x29, ({ push }) => push([])],
  [0x5d, ({ push }) => push([])],
  [0x74, ({ push, popMarked }) => push(popMarked())],
  [0x6c, ({ push, popMarked }) => push(popMarked())],
  [0x85, ({ push, pop }) => push([pop()])],
  [0x86, ({ push, pop }) => push([pop(), pop()].reverse())],
  [0x87, ({ push, pop }) => push([pop(), pop(), pop()].reverse())],
  [
    0x61,
    ({ pop, top }) => {
      const item = pop()
      asList(top()).push(item)
    },
  ],
  [
    0x65,
    ({ popMarked, top }) => {
      const items = popMarked()
      const list = asList(top())
      for (const item of items) list.push(item)
    },
  ],
  // Dicts.
  [0x7d, ({ push }) => push(new Map())],
  [0x64, ({ push, popMarked }) => push(setPairs(new Map(), popMarked()))],
  [
    0x73,
    ({ pop, top }) => {
      const [value, key] = [pop(), pop()]
      setPairs(asMap(top()), [key, value])
    },
  ],
  [
    0x75,
    ({ popMarked, top }) => {
      const pairs = popMarked()
      setPairs(asMap(top()), pairs)
    },
  ],
  // Sets.
  [0x8f, ({ push }) => push(new Set())],
  [
    0x90,
    ({ popMarked, top }) => {
      const items = popMarked()
      addTo(top(), items)
    },
  ],
  [0x91, ({ push, popMarked }) => push(new Set(popMarked()))],
  // Names, and the values that Python writes by them.
  [
    0x63,
    ({ push }, { line }) => {
      const module = line().toString('latin1')
      push(new Name(module, line().toString('latin1')))
    },
  ],
  [
    0x93,
    ({ push, pop }) => {
      const [name, module] = [pop(), pop()]
      push(new Name(module, name))
    },
  ],
  [
    0x52,
    ({ push, pop }) => {
      const [given, callable] = [pop(), pop()]
      push(reduced(callable, given))
    },
  ],
])

/** The value as it leaves here. What is in itself, or too deep, is refused. */
const finished = (value: unknown, depth: number): unknown => {
  if (depth > DEEPEST) throw new PickleError('it is nested too deep, or is in itself')
  if (value instanceof RawText) return textOf(value)
  if (value instanceof Name) throw new PickleError('it holds a class or a function, which is code and no data')
  if (value instanceof Difference) throw new PickleError('it holds a duration, for which there is no value here')
  if (Array.isArray(value)) return value.map((item) => finished(item, depth + 1))
  if (value instanceof Set) return new Set([...value].map((item) => finished(item, depth + 1)))
  if (!(value instanceof Map)) return value
  const object: Record<string, unknown> = {}
  for (const [key, item] of value) {
    if (key === '__proto__') throw new PickleError('it has a key `__proto__`, which no session can have')
    object[String(key)] = finished(item, depth + 1)
  }
  return object
}
