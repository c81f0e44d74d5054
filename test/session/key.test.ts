import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkedId, sessionIdFrom } from '../../src/session/id.js'
import { KEY_CHECK_BYTES, keyCheck, locate, NAMESPACE } from '../../src/session/key.js'
import { rounds, seed } from '../support/seed.js'

const anyId = fc.string({ minLength: 1, maxLength: 1024, unit: 'binary' }).filter((id) => id.length <= 1024)

describe('The key of a session', () => {
  test('it is the namespace, a colon and the base64url of the SHA-256 of the id', () => {
    const hash = createHash('sha256').update('Sitzung №1 🍵', 'utf8').digest('base64url')
    expect(locate('shop', 'Sitzung №1 🍵')).toEqual({ key: `shop:${hash}` })
  })

  test('whatever the id, the key has only characters that every cache takes, and at most 108 of them', () => {
    const longest = 'N'.repeat(64)
    expect(NAMESPACE.test(longest)).toBe(true)
    const property = fc.property(anyId, (id) => {
      const { key } = locate(longest, checkedId(id))
      expect(key).toMatch(/^N{64}:[A-Za-z0-9_-]{43}$/)
      expect(key).toHaveLength(108)
    })
    fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
  })

  test('no id can be read from its key', () => {
    // Long enough not to be found in a hash by chance.
    const property = fc.property(fc.string({ minLength: 8, maxLength: 80 }), (id) => {
      expect(JSON.stringify(locate('shop', id).key)).not.toContain(id)
    })
    fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
  })

  test('two ids, or two namespaces, have two keys', () => {
    const property = fc.property(anyId, anyId, (one, other) => {
      expect(locate('a', one).key === locate('a', other).key).toBe(one === other)
      expect(locate('a', one).key).not.toBe(locate('b', one).key)
    })
    fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
  })

  test('ids that look alike are different sessions', () => {
    const alike = ['\u00e9', 'e\u0301', 'É', 'e', 'é ', 'é\0']
    expect(new Set(alike.map((id) => locate('shop', id).key)).size).toBe(alike.length)
  })

  test('a key does not work as an id: neither whole nor its hash leads to the session', () => {
    const { key } = locate('shop', 'an id')
    const hash = key.slice('shop:'.length)
    for (const stolen of [key, hash, `:${hash}`, Buffer.from(hash, 'base64url').toString('hex')])
      expect(locate('shop', stolen).key).not.toBe(key)
  })

  test('a locator carries the birth month of our own ids, and none for others', () => {
    const id = sessionIdFrom(Date.UTC(2026, 10, 21), new Uint8Array(32))
    expect(locate('shop', id).bornMonth).toBe('2611')
    expect(locate('shop', 'a foreign id')).not.toHaveProperty('bornMonth')
    expect(locate('shop', locate('shop', id).key)).not.toHaveProperty('bornMonth')
  })
})

describe('A namespace', () => {
  for (const name of ['nonstick', 'a', 'A.b-c_9', 'x'.repeat(64)])
    test(`may be ${JSON.stringify(name.slice(0, 10))} (${name.length})`, () => expect(NAMESPACE.test(name)).toBe(true))
  for (const name of ['', 'a:b', 'a b', 'a\n', 'é', 'a/b', 'x'.repeat(65)])
    test(`may not be ${JSON.stringify(name.slice(0, 10))} (${name.length})`, () =>
      expect(NAMESPACE.test(name)).toBe(false))
})

describe('The key check', () => {
  test('it is the first eight bytes of the hash, whatever the namespace', () => {
    const digest = createHash('sha256').update('an id').digest()
    for (const namespace of ['a', 'b'])
      expect(Buffer.from(keyCheck(locate(namespace, 'an id').key)).equals(digest.subarray(0, 8))).toBe(true)
  })

  test('it has eight bytes also for a key that somebody made up', () => {
    for (const key of ['', 'a:', 'a:AAAA', 'no colon', 'a:!!!!', `a:${'A'.repeat(200)}`])
      expect(keyCheck(key)).toHaveLength(KEY_CHECK_BYTES)
  })
})
