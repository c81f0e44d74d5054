import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PickleError, unpickle } from '../../src/cli/import/pickle.js'
import { msgpackCodec } from '../../src/codecs/index.js'

/** Bytes that Python 3.11 has written, and, under `python2`, some in the form of Python 2's protocol 0, written by hand. */
const fixtures = JSON.parse(readFileSync(new URL('fixtures/pickles.json', import.meta.url), 'utf8')) as Record<
  'values' | 'evil' | 'instance',
  readonly string[]
> &
  Record<'proto' | 'timedelta' | 'python2' | 'cycle', string>

const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64')

const VALUE = {
  isauthenticated: true,
  user: 'ada',
  name: 'Aé € 😀\n\'q"\\',
  n: 5,
  neg: -(2 ** 40),
  big: 2n ** 70n,
  f: 1.5,
  none: null,
  l: [1, [2]],
  t: [1, 'x'],
  d: { k: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 6)), day: '2026-01-02' },
  set: new Set([1, 2]),
  fs: new Set(['a']),
  b: Uint8Array.from([0, 255]),
  e: {},
  od: { a: 1 },
  no: false,
  utc: new Date(Date.UTC(2026, 0, 2)),
  rome: new Date(Date.UTC(2026, 0, 2)),
  same: [['shared'], ['shared']],
  7: 'seven',
}

describe('a pickle', () => {
  test.each([0, 1, 2, 3, 4, 5])(
    'of protocol %i is read as the values that Python wrote, and they can be stored',
    (protocol) => {
      const value = unpickle(bytesOf(fixtures.values[protocol] ?? ''))
      expect(value).toEqual(VALUE)
      expect(msgpackCodec.decode(msgpackCodec.encode(value))).toEqual(VALUE)
    },
  )

  test('of Python 2 has its texts as UTF-8 where they are, and its moments', () => {
    expect(unpickle(bytesOf(fixtures.python2))).toEqual({
      user: "it's é\n",
      latin: 'é',
      when: new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
      n: -3,
      yes: true,
    })
  })

  test.each(['evil', 'instance'] as const)('that asks for code is refused, and nothing is done (%s)', (which) => {
    for (const pickle of fixtures[which]) expect(() => unpickle(bytesOf(pickle))).toThrow('which is code and no data')
    expect(existsSync('/tmp/pwned')).toBe(false)
  })

  test('that would reach a prototype, is in itself, or holds what has no value here is refused', () => {
    expect(() => unpickle(bytesOf(fixtures.proto))).toThrow('__proto__')
    expect(() => unpickle(bytesOf(fixtures.cycle))).toThrow('in itself')
    expect(() => unpickle(bytesOf(fixtures.timedelta))).toThrow('a duration')
    expect(({} as { x?: unknown }).x).toBeUndefined()
  })

  test('that is cut off or damaged anywhere is refused as such, or is another value; nothing else is thrown', () => {
    fc.assert(
      fc.property(fc.nat({ max: 5 }), fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (protocol, place, byte, cuts) => {
        const bytes = bytesOf(fixtures.values[protocol] ?? '')
        const at = place % bytes.length
        const bad = cuts ? bytes.subarray(0, at) : Buffer.from(bytes)
        if (!cuts) bad[at] = byte
        try {
          unpickle(bad)
        } catch (error) {
          expect(error).toBeInstanceOf(PickleError)
        }
      }),
      { numRuns: 3_000 },
    )
  })

  test('of any bytes is refused in the same way', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          unpickle(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(PickleError)
        }
      }),
      { numRuns: 3_000 },
    )
  })
})
