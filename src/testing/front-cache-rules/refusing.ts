import assert from 'node:assert/strict'
import type { Rule } from './rule.js'
import { bytes, freshKey, holds, holdsNothing, holdsNothingBut, inAMinute, stored } from './tools.js'

/** A size for which a server that is out of memory has no room left, while it may have for a few bytes. */
const VALUE = bytes('no room for this'.repeat(16))

/** What becomes of changes where the server answers and takes no new value. */
export const REFUSING: readonly Rule[] = [
  {
    title: 'a server that takes no new value says so: add and cas are refused, and nothing is stored',
    needs: 'refusals',
    check: async (stage) => {
      const { cache } = stage
      const [held, fresh] = [freshKey(), freshKey()]
      const token = await stored(cache, held, VALUE, inAMinute(stage))
      await stage.refuseValues()
      assert.deepEqual(await cache.add(fresh, VALUE, inAMinute(stage)), { outcome: 'refused' })
      await holdsNothing(cache, fresh)
      assert.deepEqual(await cache.cas(held, bytes('changed '.repeat(32)), token, inAMinute(stage)), {
        outcome: 'refused',
      })
      await holdsNothingBut(cache, held, VALUE)
    },
  },
  {
    title: 'a refused set rejects as an answer and as surely not applied, and leaves at most the old entry',
    needs: 'refusals',
    check: async (stage) => {
      const { cache } = stage
      const [held, fresh] = [freshKey(), freshKey()]
      await stored(cache, held, VALUE, inAMinute(stage))
      await stage.refuseValues()
      // The fresh one first: the old entry of the other may go, and leave its room.
      for (const key of [fresh, held])
        await assert.rejects(cache.set(key, bytes('tombstone'.repeat(28)), inAMinute(stage)), {
          code: 'E_SESSION_UNAVAILABLE',
          applied: 'no',
          answered: true,
        })
      await holdsNothingBut(cache, held, VALUE)
      await holdsNothing(cache, fresh)
    },
  },
  {
    title: 'a refused cas costs no entry that its token has not seen',
    needs: 'refusals',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const old = await stored(cache, key, bytes('old'), inAMinute(stage))
      assert.equal((await cache.cas(key, VALUE, old, inAMinute(stage))).outcome, 'stored')
      await stage.refuseValues()
      const refused = await cache.cas(key, bytes('changed '.repeat(32)), old, inAMinute(stage))
      assert.ok(['refused', 'conflict'].includes(refused.outcome), `it ended as ${refused.outcome}`)
      await holds(cache, key, VALUE)
    },
  },
  {
    title: 'what stands can be read and deleted where no new value is taken',
    needs: 'refusals',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, VALUE, inAMinute(stage))
      await stage.refuseValues()
      await holds(cache, key, VALUE)
      assert.equal(await cache.delete(key, {}), 'conflict')
      assert.equal(await cache.delete(key, token), 'deleted')
      await holdsNothing(cache, key)
      assert.equal(await cache.delete(key, token), 'missing')
    },
  },
]
