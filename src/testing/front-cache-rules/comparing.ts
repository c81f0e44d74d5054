import assert from 'node:assert/strict'
import type { Rule } from './rule.js'
import { bytes, freshKey, holds, holdsNothing, inAMinute, stored, tokenOf } from './tools.js'

const AT_ONCE = 50

/** Compare-and-set and compare-and-delete: what a token allows, and what it no longer does. */
export const COMPARING: readonly Rule[] = [
  {
    title: 'each change hands out the token for the next: a chain of changes needs no read',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      let token = await stored(cache, key, bytes('0'), inAMinute(stage))
      for (let step = 1; step <= 20; step += 1) {
        const changed = await cache.cas(key, bytes(String(step)), token, inAMinute(stage))
        assert.ok(changed.outcome === 'stored', `step ${step} ended as ${changed.outcome}`)
        token = changed.token
      }
      await holds(cache, key, bytes('20'))
      assert.equal(await cache.delete(key, token), 'deleted')
    },
  },
  {
    title: 'reading changes nothing: a token stays good however often the entry is read',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('read me'), inAMinute(stage))
      const read = await tokenOf(cache, key)
      await holds(cache, key, bytes('read me'))
      assert.equal((await cache.cas(key, bytes('changed'), token, inAMinute(stage))).outcome, 'stored')
      assert.deepEqual(await cache.cas(key, bytes('again'), read, inAMinute(stage)), { outcome: 'conflict' })
    },
  },
  {
    title: 'a spent token is a conflict for cas and delete, and leaves the entry as it is',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('one'), inAMinute(stage))
      assert.equal((await cache.cas(key, bytes('two'), token, inAMinute(stage))).outcome, 'stored')
      assert.deepEqual(await cache.cas(key, bytes('three'), token, inAMinute(stage)), { outcome: 'conflict' })
      assert.equal(await cache.delete(key, token), 'conflict')
      await holds(cache, key, bytes('two'))
    },
  },
  {
    title: 'cas where nothing stands is missing, and stores nothing',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('gone'), inAMinute(stage))
      assert.equal(await cache.delete(key, token), 'deleted')
      assert.deepEqual(await cache.cas(key, bytes('back'), token, inAMinute(stage)), { outcome: 'missing' })
      await holdsNothing(cache, key)
    },
  },
  {
    title: 'a set, the tombstone, makes every earlier token a conflict',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('alive'), inAMinute(stage))
      await cache.set(key, bytes('tombstone'), inAMinute(stage))
      assert.deepEqual(await cache.cas(key, bytes('alive'), token, inAMinute(stage)), { outcome: 'conflict' })
      assert.equal(await cache.delete(key, token), 'conflict')
      await holds(cache, key, bytes('tombstone'))
    },
  },
  {
    title: 'an entry deleted and added again with the same bytes is another entry',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('same'), inAMinute(stage))
      assert.equal(await cache.delete(key, token), 'deleted')
      await stored(cache, key, bytes('same'), inAMinute(stage))
      assert.deepEqual(await cache.cas(key, bytes('other'), token, inAMinute(stage)), { outcome: 'conflict' })
      assert.equal(await cache.delete(key, token), 'conflict')
      await holds(cache, key, bytes('same'))
    },
  },
  {
    title: "a token of one key fits no other key's entry",
    check: async (stage) => {
      const { cache } = stage
      const [mine, other] = [freshKey(), freshKey()]
      const token = await stored(cache, mine, bytes('mine'), inAMinute(stage))
      await stored(cache, other, bytes('other'), inAMinute(stage))
      assert.deepEqual(await cache.cas(other, bytes('mine'), token, inAMinute(stage)), { outcome: 'conflict' })
      assert.equal(await cache.delete(other, token), 'conflict')
      await holds(cache, other, bytes('other'))
    },
  },
  {
    title: 'a token that this cache never gave is a conflict',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      await stored(cache, key, bytes('safe'), inAMinute(stage))
      const forged = Object.freeze({ cas: new Uint8Array(8) })
      assert.deepEqual(await cache.cas(key, bytes('forged'), forged, inAMinute(stage)), { outcome: 'conflict' })
      assert.equal(await cache.delete(key, forged), 'conflict')
      await holds(cache, key, bytes('safe'))
    },
  },
  {
    title: `of ${AT_ONCE} changes at once with one token exactly one is stored`,
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('start'), inAMinute(stage))
      const outcomes = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, writer) =>
          cache.cas(key, bytes(`writer ${writer}`), token, inAMinute(stage)),
        ),
      )
      const winners = outcomes.flatMap(({ outcome }, writer) => (outcome === 'stored' ? [writer] : []))
      assert.equal(winners.length, 1)
      assert.equal(outcomes.filter(({ outcome }) => outcome === 'conflict').length, AT_ONCE - 1)
      await holds(cache, key, bytes(`writer ${winners[0]}`))
    },
  },
  {
    title: `of ${AT_ONCE} adds at once to one key exactly one is stored`,
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const outcomes = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, writer) => cache.add(key, bytes(`writer ${writer}`), inAMinute(stage))),
      )
      const winners = outcomes.flatMap(({ outcome }, writer) => (outcome === 'stored' ? [writer] : []))
      assert.equal(winners.length, 1)
      await holds(cache, key, bytes(`writer ${winners[0]}`))
    },
  },
  {
    title: 'of a change and a delete at once with one token exactly one happens',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('start'), inAMinute(stage))
      const [deleted, changed] = await Promise.all([
        cache.delete(key, token),
        cache.cas(key, bytes('changed'), token, inAMinute(stage)),
      ])
      if (deleted === 'deleted') {
        assert.equal(changed.outcome, 'missing')
        await holdsNothing(cache, key)
      } else {
        assert.deepEqual([deleted, changed.outcome], ['conflict', 'stored'])
        await holds(cache, key, bytes('changed'))
      }
    },
  },
  {
    title: 'many questions in flight get each its own answer',
    check: async (stage) => {
      const { cache } = stage
      const keys = Array.from({ length: 100 }, freshKey)
      const value = (index: number): Uint8Array => bytes(`${index}:`.repeat(1 + (index % 40) * 20))
      await Promise.all(keys.map((key, index) => stored(cache, key, value(index), inAMinute(stage))))
      await Promise.all(
        keys.flatMap((key, index) => [holds(cache, key, value(index)), holdsNothing(cache, freshKey())]),
      )
    },
  },
  {
    title: 'what one process stores another one reads, and of both with the newest token one is stored',
    check: async (stage) => {
      const { cache } = stage
      const other = await stage.another()
      const key = freshKey()
      await stored(cache, key, bytes('shared'), inAMinute(stage))
      await holds(other, key, bytes('shared'))
      const [here, there] = [await tokenOf(cache, key), await tokenOf(other, key)]
      const outcomes = await Promise.all([
        cache.cas(key, bytes('here'), here, inAMinute(stage)),
        other.cas(key, bytes('there'), there, inAMinute(stage)),
      ])
      assert.deepEqual(outcomes.map(({ outcome }) => outcome).sort(), ['conflict', 'stored'])
      const winner = outcomes[0].outcome === 'stored' ? 'here' : 'there'
      await holds(cache, key, bytes(winner))
      await holds(other, key, bytes(winner))
    },
  },
]
