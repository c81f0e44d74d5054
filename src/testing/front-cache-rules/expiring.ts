import assert from 'node:assert/strict'
import type { Rule } from './rule.js'
import { bytes, freshKey, holds, holdsNothing, inAMinute, stored } from './tools.js'

const DAY_MS = 24 * 60 * 60 * 1000

/** How long an entry lives: at least until its moment, and never for ever. */
export const EXPIRING: readonly Rule[] = [
  {
    title: 'an entry lives until its moment wherever in a second it was stored, and not much longer',
    check: async (stage) => {
      const { cache, now, pass, expiryResolutionMs } = stage
      const entries: { key: string; expiresAt: number }[] = []
      for (let phase = 0; phase < 4; phase += 1) {
        const entry = { key: freshKey(), expiresAt: now() + 1000 }
        await stored(cache, entry.key, bytes('brief'), entry.expiresAt)
        entries.push(entry)
        await pass(240)
      }
      for (const { key, expiresAt } of entries) {
        if (now() < expiresAt - 60) await pass(expiresAt - 60 - now())
        const entry = await cache.get(key)
        if (now() < expiresAt) assert.ok(entry !== undefined, 'the entry was gone before its time')
      }
      await pass(60 + expiryResolutionMs)
      for (const { key } of entries) await holdsNothing(cache, key)
    },
  },
  {
    title: 'an expired entry is no entry: add stores, and its old token is spent',
    check: async (stage) => {
      const { cache, now, pass, expiryResolutionMs } = stage
      const [changed, added] = [freshKey(), freshKey()]
      const token = await stored(cache, changed, bytes('old'), now() + 500)
      const oldToken = await stored(cache, added, bytes('old'), now() + 500)
      await pass(500 + expiryResolutionMs)
      assert.deepEqual(await cache.cas(changed, bytes('late'), token, inAMinute(stage)), { outcome: 'missing' })
      assert.equal(await cache.delete(changed, token), 'missing')
      await stored(cache, added, bytes('new'), inAMinute(stage))
      assert.deepEqual(await cache.cas(added, bytes('late'), oldToken, inAMinute(stage)), { outcome: 'conflict' })
      await holds(cache, added, bytes('new'))
    },
  },
  {
    title: 'a change moves the expiry, forward and back',
    check: async (stage) => {
      const { cache, now, pass, expiryResolutionMs } = stage
      const [longer, shorter, overwritten] = [freshKey(), freshKey(), freshKey()]
      const soon = now() + 500
      const first = await stored(cache, longer, bytes('short'), soon)
      const second = await stored(cache, shorter, bytes('long'), inAMinute(stage))
      await cache.set(overwritten, bytes('short'), soon)
      assert.equal((await cache.cas(longer, bytes('long'), first, inAMinute(stage))).outcome, 'stored')
      assert.equal((await cache.cas(shorter, bytes('short'), second, soon)).outcome, 'stored')
      await cache.set(overwritten, bytes('long'), inAMinute(stage))
      await pass(500 + expiryResolutionMs)
      await holds(cache, longer, bytes('long'))
      await holdsNothing(cache, shorter)
      await holds(cache, overwritten, bytes('long'))
    },
  },
  {
    title: 'a moment that is past, now or no number never means for ever',
    check: async (stage) => {
      const { cache, now, pass, expiryResolutionMs } = stage
      const moments = [now(), now() - 1, now() - 400 * DAY_MS, 0, -1, Number.NaN, Number.NEGATIVE_INFINITY]
      const added = moments.map(freshKey)
      const changed = moments.map(freshKey)
      const set = moments.map(freshKey)
      await Promise.all(
        moments.map(async (moment, index) => {
          await stored(cache, added[index] ?? '', bytes('add'), moment)
          await cache.set(set[index] ?? '', bytes('set'), moment)
          const token = await stored(cache, changed[index] ?? '', bytes('cas'), inAMinute(stage))
          assert.equal((await cache.cas(changed[index] ?? '', bytes('cas'), token, moment)).outcome, 'stored')
        }),
      )
      await pass(expiryResolutionMs)
      for (const key of [...added, ...changed, ...set]) await holdsNothing(cache, key)
    },
  },
  {
    title: 'an entry may live for more than thirty days, and for years',
    check: async (stage) => {
      const { cache, now, pass } = stage
      const lifetimes = [29 * DAY_MS, 30 * DAY_MS, 30 * DAY_MS + 1, 31 * DAY_MS, 400 * DAY_MS, 36_500 * DAY_MS]
      const keys = [...lifetimes, Number.POSITIVE_INFINITY].map(freshKey)
      for (const [index, key] of keys.entries())
        await stored(cache, key, bytes(key), now() + (lifetimes[index] ?? Number.POSITIVE_INFINITY))
      await pass(1500)
      for (const key of keys) await holds(cache, key, bytes(key))
    },
  },
  {
    title: 'a clock moved by weeks finds entries where they should be',
    check: async (stage) => {
      const { cache, now, pass, expiryResolutionMs } = stage
      const [early, late] = [freshKey(), freshKey()]
      await stored(cache, early, bytes('31 days'), now() + 31 * DAY_MS)
      await stored(cache, late, bytes('62 days'), now() + 62 * DAY_MS)
      await pass(31 * DAY_MS - 1)
      await holds(cache, early, bytes('31 days'))
      await pass(1 + expiryResolutionMs)
      await holdsNothing(cache, early)
      await holds(cache, late, bytes('62 days'))
      await pass(31 * DAY_MS)
      await holdsNothing(cache, late)
    },
  },
]
