import assert from 'node:assert/strict'
import type { FrontCache } from '../../contract/front-cache.js'
import type { Rule } from './rule.js'
import { bytes, freshKey, holds, inAMinute, stored } from './tools.js'

/** What a front cache says of itself, and how it ends. */
export const CLOSING: readonly Rule[] = [
  {
    title: 'health names the tier, its state and how long it took to answer',
    check: async ({ cache }) => {
      const health = await cache.health()
      assert.equal(health.tier, cache.name)
      assert.equal(health.state, 'up', health.reason)
      assert.ok(Number.isFinite(health.latencyMs) && health.latencyMs >= 0)
      for (const server of health.servers ?? []) assert.equal(server.state, 'up', server.reason)
    },
  },
  {
    title: 'close may be called twice and at once, also on a cache that was never used',
    check: async ({ cache }) => {
      await Promise.all([cache.close(), cache.close()])
      await cache.close()
    },
  },
  {
    title: 'every call after close rejects with E_CLOSED',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      const token = await stored(cache, key, bytes('before'), inAMinute(stage))
      await cache.close()
      const calls: ((cache: FrontCache) => Promise<unknown>)[] = [
        (closed) => closed.get(key),
        (closed) => closed.add(key, bytes('after'), inAMinute(stage)),
        (closed) => closed.cas(key, bytes('after'), token, inAMinute(stage)),
        (closed) => closed.set(key, bytes('after'), inAMinute(stage)),
        (closed) => closed.delete(key, token),
        (closed) => closed.health(),
      ]
      for (const call of calls) await assert.rejects(call(cache), { code: 'E_CLOSED' })
    },
  },
  {
    title: 'calls in flight when it is closed settle, and none as "no entry" where there is one',
    check: async (stage) => {
      const { cache } = stage
      const key = freshKey()
      await stored(cache, key, bytes('here'), inAMinute(stage))
      const reads = Array.from({ length: 20 }, () => holds(cache, key, bytes('here')))
      const settled = Promise.allSettled(reads)
      await cache.close()
      for (const result of await settled)
        if (result.status === 'rejected')
          assert.match(String((result.reason as { code?: unknown }).code), /^E_(CLOSED|SESSION_UNAVAILABLE)$/)
    },
  },
]
