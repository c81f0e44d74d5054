import assert from 'node:assert/strict'
import type { Rule } from './rule.js'
import { bytes, freshKey, holds, holdsNothing, holdsNothingBut, inAMinute, stored, tokenOf } from './tools.js'

const allBytes = Uint8Array.from({ length: 256 }, (_, index) => index)

/** Looks like an answer of a Memcached that carries another value. */
const disguised = Buffer.concat([
  Buffer.from([0x81, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
  Buffer.from('FORGED\r\nEND\r\n'),
])

/** Storing, adding and reading back: every byte, and one entry for each key. */
export const STORING: readonly Rule[] = [
  {
    title: 'its name is lower-case',
    check: async ({ cache }) => assert.match(cache.name, /^[a-z][a-z0-9-]*$/),
  },
  {
    title: 'what was never stored is undefined, not an error',
    check: ({ cache }) => holdsNothing(cache, freshKey()),
  },
  {
    title: 'add stores where nothing stands, with a token that fits',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('one'), inAMinute(stage))
      await holds(cache, key, bytes('one'))
      const changed = await cache.cas(key, bytes('two'), token, inAMinute(stage))
      assert.equal(changed.outcome, 'stored')
      await holds(cache, key, bytes('two'))
    },
  },
  {
    title: 'add leaves what stands there as it is',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('first'), inAMinute(stage))
      assert.deepEqual(await cache.add(key, bytes('second'), inAMinute(stage)), { outcome: 'exists' })
      await holds(cache, key, bytes('first'))
      assert.equal((await cache.cas(key, bytes('third'), token, inAMinute(stage))).outcome, 'stored')
    },
  },
  {
    title: 'set stores on nothing and over anything',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      await cache.set(key, bytes('on nothing'), inAMinute(stage))
      await holds(cache, key, bytes('on nothing'))
      await cache.set(key, bytes('over it'), inAMinute(stage))
      await holds(cache, key, bytes('over it'))
    },
  },
  {
    title: 'delete removes the entry that its token saw, and then there is nothing to delete',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('gone soon'), inAMinute(stage))
      assert.equal(await cache.delete(key, token), 'deleted')
      await holdsNothing(cache, key)
      assert.equal(await cache.delete(key, token), 'missing')
    },
  },
  {
    title: 'any bytes come back as they are: none at all, all 256, and what looks like the protocol',
    check: async (stage) => {
      const { cache } = stage
      for (const value of [new Uint8Array(0), allBytes, disguised, new Uint8Array(1)]) {
        const key = freshKey()
        const token = await stored(cache, key, value, inAMinute(stage))
        await holds(cache, key, value)
        assert.equal((await cache.cas(key, Buffer.concat([value, value]), token, inAMinute(stage))).outcome, 'stored')
        await holds(cache, key, Buffer.concat([value, value]))
        await cache.set(key, value, inAMinute(stage))
        await holds(cache, key, value)
      }
    },
  },
  {
    title: 'a large value comes back as it is',
    check: async (stage) => {
      const { cache, largeBytes } = stage
      const key = freshKey()
      const value = Uint8Array.from({ length: largeBytes }, (_, index) => (index * 31 + (index >> 8)) & 0xff)
      const token = await stored(cache, key, value, inAMinute(stage))
      await holds(cache, key, value)
      value.reverse()
      assert.equal((await cache.cas(key, value, token, inAMinute(stage))).outcome, 'stored')
      await holds(cache, key, value)
    },
  },
  {
    title: 'a value that is too large is refused: the new one is not there, the old one may be gone',
    check: async (stage) => {
      const { cache, tooLargeBytes } = stage
      const key = freshKey()
      const large = new Uint8Array(tooLargeBytes)
      const token = await stored(cache, key, bytes('old'), inAMinute(stage))
      assert.deepEqual(await cache.cas(key, large, token, inAMinute(stage)), { outcome: 'too-large' })
      await holdsNothingBut(cache, key, bytes('old'))

      const other = freshKey()
      await assert.rejects(cache.set(other, large, inAMinute(stage)), { code: 'E_SESSION_TOO_LARGE' })
      await assert.rejects(cache.add(other, large, inAMinute(stage)), { code: 'E_SESSION_TOO_LARGE' })
      await holdsNothing(cache, other)
      await cache.set(other, bytes('small'), inAMinute(stage))
      await holds(cache, other, bytes('small'))
    },
  },
  {
    title: 'a value that is too large costs no entry that its token has not seen',
    check: async (stage) => {
      const { cache, tooLargeBytes } = stage
      const key = freshKey()
      const old = await stored(cache, key, bytes('old'), inAMinute(stage))
      const changed = await cache.cas(key, bytes("another's"), old, inAMinute(stage))
      assert.equal(changed.outcome, 'stored')
      const refused = await cache.cas(key, new Uint8Array(tooLargeBytes), old, inAMinute(stage))
      assert.ok(['too-large', 'conflict'].includes(refused.outcome), `it ended as ${refused.outcome}`)
      await holds(cache, key, bytes("another's"))
    },
  },
  {
    title: 'keys of 108 characters that differ in one of them, or in case, have an entry each',
    check: async (stage) => {
      const { cache } = stage
      const base = freshKey().padEnd(107, 'x')
      const keys = [`${base}a`, `${base}A`, `${base}b`, base, `${base.slice(0, -1)}y`, `a${base}`]
      await Promise.all(keys.map((key, index) => stored(cache, key, bytes(`value ${index}`), inAMinute(stage))))
      for (const [index, key] of keys.entries()) await holds(cache, key, bytes(`value ${index}`))
    },
  },
  {
    title: 'a value handed in or out belongs to the caller: writing into it changes no entry',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const mine = bytes('original')
      const adding = stored(cache, key, mine, inAMinute(stage))
      mine.fill(0)
      await adding
      await holds(cache, key, bytes('original'))

      const read = await cache.get(key)
      read?.value.fill(0)
      await holds(cache, key, bytes('original'))

      const next = bytes('the next')
      const changing = cache.cas(key, next, await tokenOf(cache, key), inAMinute(stage))
      assert.equal((await changing).outcome, 'stored')
      next.fill(0)
      await holds(cache, key, bytes('the next'))
    },
  },
]
