import { msgpackCodec } from '../../src/codecs/index.js'

/** Decodes what was made to hurt, in a process that has little memory to spare; says what became of each. */

const repeated = (byte: number, times: number, ...end: number[]): number[] => [...new Array(times).fill(byte), ...end]
const times = (part: readonly number[], count: number): number[] => Array.from({ length: count }, () => part).flat()
const HUGE = [0xff, 0xff, 0xff, 0xff]
const MILLION = 1_000_000

const CASES: Record<string, () => readonly number[]> = {
  'an array of 4 billion': () => [0xdd, ...HUGE],
  'a map of 4 billion': () => [0xdf, ...HUGE],
  'a text of 4 GB': () => [0xdb, ...HUGE, 0x61],
  'bytes of 4 GB': () => [0xc6, ...HUGE],
  'an extension of 4 GB': () => [0xc9, ...HUGE, 0x74, 1],
  'a typed array of 4 GB': () => [0xc9, ...HUGE, 0x74, 8],
  'arrays that each claim all that is left': () => times([0xdd, 0, 0x0f, 0, 0], 10_000),
  'a million arrays in each other': () => repeated(0x91, MILLION, 0xc0),
  'a million maps in each other': () => times([0x81, 0x01], MILLION / 2),
  'a million sets in each other': () => times([0xd4, 0x73, 0], MILLION / 3),
  'unusual values in each other': () => times([0xd4, 0x6e, 0, 0x91], MILLION / 4),
  'a hundred thousand empty maps': () => [0xdd, 0, 1, 0x86, 0xa0, ...repeated(0x80, 100_000)],
  'records that define each other': () => times([0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61], 100_000),
  'a record of itself': () => [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, ...repeated(0x40, MILLION)],
  'a record with a million keys': () => [0xd4, 0x72, 0x40, 0xdd, 0, 0x0f, 0x42, 0x40, ...repeated(0xa0, MILLION), 1],
  'two-byte record ids': () => times([0xd5, 0x72, 0x40, 0x00, 0x91, 0xa1, 0x61], 1000),
  'a record whose keys are no list': () => [0xd4, 0x72, 0x40, 0x01],
  'a record whose keys are objects': () => [0xd4, 0x72, 0x40, 0x91, 0x80, 0x01],
  'a record with the key __proto__': () => [0xd4, 0x72, 0x40, 0x91, 0xa9, ...Buffer.from('__proto__'), 0x91, 0x01],
  'a bigint of a megabyte': () => [0xc9, 0, 0x10, 0, 0, 0x42, ...repeated(0x7f, 1 << 20)],
  'a bigint of nothing': () => [0xc7, 0, 0x42],
  'references to what is not there': () => [0xd6, 0x70, 0, 0, 0, 1],
  'a reference to itself': () => [0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1],
  'bundled strings': () => [0xd6, 0x62, 0, 0, 0, 1, 0xa1, 0x61, 0xa1, 0x62],
  'bundled strings that point back': () => [0xd6, 0x62, ...HUGE, 0xa1, 0x61, 0xa1, 0x62],
  "msgpackr's own error": () => [0xd4, 0x65, 0, 0x92, 0xab, ...Buffer.from('constructor'), 0xa1, 0x61],
  "msgpackr's own regular expression": () => [0xd4, 0x78, 0, 0x92, 0xa1, 0x61, 0xa0],
  'an unusual value without parts': () => [0xd4, 0x6e, 0, 0xc0],
  'an unusual value of no kind': () => [0xd4, 0x6e, 0, 0x91, 0x3f],
  'an unusual value as raw bytes': () => [0xd5, 0x6e, 0x91, 0x00],
  'an error of a class of its own': () => [0xd4, 0x6e, 0, 0x92, 5, 0xab, ...Buffer.from('constructor')],
  'an object with the key __proto__': () => [0xd4, 0x6e, 0, 0x93, 3, 0xa9, ...Buffer.from('__proto__'), 0x80],
  'an error with the key __proto__': () => [
    ...[0xd4, 0x6e, 0, 0x95, 5, 0xa5, ...Buffer.from('Error'), 0xa9, ...Buffer.from('__proto__'), 0xc3, 0x80],
  ],
  'a text of half units': () => [0xd4, 0x6e, 0, 0x92, 2, 0xc4, 1, 0],
  'a regular expression that is none': () => [0xd4, 0x6e, 0, 0x94, 6, 0xa1, 0x28, 0xa0, 0],
  'a regular expression that begins before its text': () => [0xd4, 0x6e, 0, 0x94, 6, 0xa1, 0x61, 0xa0, 0xff],
  'the token that is never used': () => [0xc1],
  'the token that is never used, inside': () => [0x92, 0x01, 0xc1],
  'floats of three bytes': () => [0xc7, 4, 0x74, 8, 1, 2, 3],
  'a set of a number': () => [0xd4, 0x73, 0, 1],
  'a large value with one byte left over': () => [0xc6, 0, 0x10, 0, 0, ...repeated(1, 1 << 20), 0x01],
}

for (const [title, make] of Object.entries(CASES)) {
  const bytes = Uint8Array.from(make())
  const before = process.cpuUsage()
  let outcome = 'a value'
  try {
    msgpackCodec.decode(bytes)
  } catch (error) {
    outcome = error instanceof Error ? 'an error' : 'something thrown that is no error'
  }
  const { user, system } = process.cpuUsage(before)
  // The processor's time and not the wall's, of which other programs may take most.
  const slow = (user + system) / 1_000 > 3_000 ? ', slowly' : ''
  const polluted = Object.keys(Object.prototype).length + ('polluted' in {} ? 1 : 0) > 0 ? ', with pollution' : ''
  console.log(`${title}: ${outcome}${slow}${polluted}`)
}

const value = { still: ['working', -0, new Map([[1, new Date(0)]])] }
const works = Object.is((msgpackCodec.decode(msgpackCodec.encode(value)) as typeof value).still[1], -0)
console.log(works ? 'works' : 'is broken')
