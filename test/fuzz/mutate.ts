/** How genuine bytes, texts and JSON become what nobody has written. */
import type { Chance } from './chance.js'

/** Stands in samples wherever a secret or somebody's data would: no error may show it. */
export const SECRET = 'hush-hush'

const WORDS = [0, 1, 4, 5, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

/** What is no UTF-8, or is so in an odd way. */
const ODD_TEXT: readonly Buffer[] = ['c080', 'eda080', 'f8888080', 'ff', 'e2', 'efbbbf', '00'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

/** Names that mean something to every object. */
export const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'toJSON',
  'then',
  'length',
] as const

/** Longer inputs only cost time. */
const LONGEST = 16_384

const randomBytes = (chance: Chance, most: number): Buffer =>
  Buffer.from(Array.from({ length: chance.below(most) }, () => chance.below(256)))

/** Changes bytes in one to four ways. `others` are what pieces are taken from, `tokens` what means something to the parser. */
export const mutated = (
  chance: Chance,
  sample: Uint8Array,
  {
    others = [],
    tokens = [],
  }: { readonly others?: readonly Uint8Array[]; readonly tokens?: readonly Uint8Array[] } = {},
): Buffer => {
  let bytes: Buffer = Buffer.from(sample)
  for (let turns = 1 + chance.below(4); turns > 0; turns -= 1) bytes = mutatedOnce(chance, bytes, others, tokens)
  return bytes.subarray(0, LONGEST)
}

const mutatedOnce = (
  chance: Chance,
  bytes: Buffer,
  others: readonly Uint8Array[],
  tokens: readonly Uint8Array[],
): Buffer => {
  const at = chance.below(bytes.length + 1)
  const insert = (piece: Uint8Array, replaced = 0): Buffer =>
    Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + replaced)])
  switch (chance.below(9)) {
    case 0: {
      if (at === bytes.length) return bytes
      bytes[at] = (bytes[at] ?? 0) ^ (1 << chance.below(8))
      return bytes
    }
    case 1:
      return bytes.subarray(0, at)
    case 2:
      return insert(bytes.subarray(at, at + chance.below(64)))
    case 3: {
      const other = others.length === 0 ? bytes : chance.pick(others)
      const from = chance.below(other.length + 1)
      return insert(other.subarray(from, from + chance.below(64)), chance.below(64))
    }
    case 4: {
      const size = chance.pick([1, 2, 4])
      const word = Buffer.alloc(4)
      word.writeUInt32BE(chance.pick(WORDS))
      return insert(word.subarray(4 - size), size)
    }
    case 5:
      // What stands in itself, many times.
      return insert(
        Buffer.alloc(
          chance.below(chance.oneIn(20) ? 8_000 : 40),
          chance.pick([...bytes.subarray(at, at + 1), 0x91, 0x5b]),
        ),
      )
    case 6:
      return insert(chance.pick(ODD_TEXT), chance.below(3))
    case 7:
      return insert(tokens.length === 0 ? Buffer.from(chance.pick(NAMES)) : chance.pick(tokens), chance.below(3))
    default:
      return insert(randomBytes(chance, 32), chance.below(32))
  }
}

/** A sample, changed or not, or bytes from nothing. */
export const anyBytes = (
  chance: Chance,
  samples: readonly Uint8Array[],
  tokens: readonly Uint8Array[] = [],
): Buffer => {
  if (!chance.oneIn(10)) return mutated(chance, chance.pick(samples), { others: samples, tokens })
  if (tokens.length === 0 || chance.oneIn(2)) return randomBytes(chance, 200)
  return Buffer.concat(Array.from({ length: chance.below(20) }, () => chance.pick(tokens)))
}

/** The same for texts. Half of what is no UTF-8 becomes half of a surrogate pair. */
export const anyText = (chance: Chance, samples: readonly string[], tokens: readonly string[] = []): string => {
  const bytes = anyBytes(
    chance,
    samples.map((sample) => Buffer.from(sample)),
    tokens.map((token) => Buffer.from(token)),
  )
  return chance.oneIn(2) ? bytes.toString('utf8') : bytes.toString('utf8').replaceAll('\ufffd', '\ud800')
}

const LEAVES: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1.5, 255, 256, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 53, -(2 ** 53), 1e300, -1e300, 5e-324],
  ...[
    '',
    SECRET,
    '\ud800',
    '\0',
    'ok',
    'not_found',
    'missing',
    '0000000000000000',
    'A'.repeat(300),
    '1e5',
    '__proto__',
  ],
  ...[[], {}, [[]], [null], { toString: 0, valueOf: 0 }, { toJSON: 1 }, { length: 4_294_967_295 }],
]

const deep = (chance: Chance): unknown => {
  let value: unknown = 1
  const isList = chance.oneIn(2)
  for (let level = chance.below(500); level > 0; level -= 1) value = isList ? [value] : { a: value }
  return value
}

/** A name as its own property, also the one that `=` does not make one. */
const withOwn = (object: object, name: string, value: unknown): void => {
  Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })
}

const anyLeaf = (chance: Chance): unknown => (chance.oneIn(12) ? deep(chance) : structuredClone(chance.pick(LEAVES)))

/** JSON with one to four of its values replaced, removed, doubled, moved elsewhere, or joined by odd names. */
export const mutatedJson = (chance: Chance, sample: unknown): unknown => {
  if (chance.oneIn(25)) return anyLeaf(chance)
  const root = { value: structuredClone(sample) }
  for (let turns = 1 + chance.below(4); turns > 0; turns -= 1) changeOne(chance, root)
  return root.value
}

const changeOne = (chance: Chance, root: { value: unknown }): void => {
  let parent: object = root
  let name = 'value'
  for (;;) {
    const inner: unknown = Reflect.get(parent, name)
    if (typeof inner !== 'object' || inner === null || chance.oneIn(4)) break
    const names = Object.keys(inner)
    if (names.length === 0) break
    parent = inner
    name = chance.pick(names)
  }
  const there: unknown = Reflect.get(parent, name)
  // An array of JSON has no names, and no holes.
  const isObject = typeof there === 'object' && there !== null && !Array.isArray(there)
  switch (chance.below(6)) {
    case 0:
      if (Array.isArray(parent)) parent.splice(Number(name), 1)
      else if (parent !== root) Reflect.deleteProperty(parent, name)
      return
    case 1:
      if (isObject) withOwn(there, chance.pick(NAMES), anyLeaf(chance))
      return
    case 2:
      if (Array.isArray(there)) there.push(...structuredClone(there.slice(0, 50)))
      return
    case 3:
      if (typeof there === 'string') withOwn(parent, name, mutated(chance, Buffer.from(there)).toString('utf8'))
      return
    default:
      withOwn(parent, name, anyLeaf(chance))
  }
}
