import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clientOf } from '../../src/session/client.js'
import { rounds, seed } from '../support/seed.js'

const kept = (userAgent: string): string | undefined => clientOf({ userAgent }).userAgent

describe('what is recorded of a client', () => {
  test('an ordinary address and an ordinary name are kept as they are', () => {
    const client = { address: '2001:db8::1', userAgent: 'Browser/1.0 (größer; "0")' }
    expect(clientOf(client)).toEqual(client)
  })

  test('what is missing, undefined or empty is not known', () => {
    const nothing = { address: undefined, userAgent: undefined }
    for (const given of [{}, nothing, { address: '', userAgent: '' }]) expect(clientOf(given)).toStrictEqual(nothing)
    expect(clientOf({ address: '192.0.2.1' })).toStrictEqual({ address: '192.0.2.1', userAgent: undefined })
  })

  test('of 255 bytes all are kept, and of more the first ones', () => {
    expect(kept('x'.repeat(255))).toBe('x'.repeat(255))
    expect(kept('x'.repeat(256))).toBe('x'.repeat(255))
    expect(kept('x'.repeat(1_000_000))).toBe('x'.repeat(255))
    expect(clientOf({ address: 'x'.repeat(300) }).address).toHaveLength(255)
  })

  test('no character is cut in two', () => {
    expect(kept('ö'.repeat(200))).toBe('ö'.repeat(127)) // two bytes each
    expect(kept('€'.repeat(200))).toBe('€'.repeat(85)) // three bytes each
    expect(kept('\u{1F600}'.repeat(200))).toBe('\u{1F600}'.repeat(63)) // four bytes each
    for (const before of [252, 253, 254]) expect(kept(`${'x'.repeat(before)}\u{1F600}`)).toBe('x'.repeat(before))
    expect(kept(`${'x'.repeat(251)}\u{1F600}`)).toBe(`${'x'.repeat(251)}\u{1F600}`)
  })

  test('a character that could spoil a log, a terminal or a database is replaced', () => {
    expect(kept('a\0b\nc\r\td\u001b[31me\u007f\u0085')).toBe('a�b�c��d�[31me��')
    expect(kept('a\ud83db\ude00')).toBe('a�b�')
    expect(kept('\u{1F600}')).toBe('\u{1F600}')
  })

  test('any text at all becomes one that UTF-8, PostgreSQL and a line of text can hold, and stays that', () => {
    const property = fc.property(fc.string({ unit: 'binary', maxLength: 400, size: 'max' }), (whole) => {
      for (const text of [whole, whole.slice(1), whole.slice(0, -1)]) {
        const recorded = kept(text)
        if (recorded === undefined) expect(text).toBe('')
        else {
          expect(Buffer.byteLength(recorded)).toBeLessThanOrEqual(255)
          expect(Buffer.from(recorded).toString()).toBe(recorded)
          expect(recorded).not.toMatch(/[\p{Cc}\p{Cs}]/u)
          expect(kept(recorded)).toBe(recorded)
        }
      }
    })
    fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
  })
})
