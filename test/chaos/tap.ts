import type { Backend } from '../../src/contract/backend.js'
import { type FrontCache, type Placed, serverOf } from '../../src/contract/front-cache.js'
import { isSessionStoreError } from '../../src/errors.js'
import { type LineWriter, monotonicMs } from './lines.js'

/*
 * Listens at the tiers of one store, changing nothing: when a tier failed this process and when it answered again,
 * and what the judge must know of a session to count what it may have cost.
 */

type Tier = 'backend' | string

/**
 * One line where a tier begins to fail, one where it answers again; calls that began before the failure prove nothing.
 *
 * @param timeoutMs after which the store has given a call up, whatever comes of it
 */
const troubles = (write: LineWriter['write'], timeoutMs: number) => {
  const since = new Map<Tier, number>()
  const failed = (tier: Tier, from: number, error: unknown): void => {
    if (isSessionStoreError(error) && error.code !== 'E_SESSION_UNAVAILABLE') return
    const at = monotonicMs()
    const why = error instanceof Error ? error.message : String(error)
    if (!since.has(tier)) write({ is: 'trouble', at, from, tier, why })
    since.set(tier, at)
  }
  const answered = (tier: Tier, from: number): void => {
    const failedAt = since.get(tier)
    if (failedAt === undefined || from < failedAt) return
    since.delete(tier)
    write({ is: 'well', at: monotonicMs(), tier })
  }
  const ask = async <T>(tier: Tier, call: () => Promise<T>): Promise<T> => {
    const from = monotonicMs()
    const late = setTimeout(() => failed(tier, from, new Error('late')), timeoutMs)
    try {
      const answer = await call()
      answered(tier, from)
      return answer
    } catch (error) {
      failed(tier, from, error)
      throw error
    } finally {
      clearTimeout(late)
    }
  }
  return { ask, failed }
}

export const tappedCache = (cache: FrontCache, write: LineWriter['write'], timeoutMs: number): FrontCache & Placed => {
  const watch = troubles(write, timeoutMs)
  const ask = <T>(key: string, call: () => Promise<T>): Promise<T> => watch.ask(serverOf(cache, key), call)
  return over(cache, {
    serverOf: (key: string) => serverOf(cache, key),
    get: (key) => ask(key, () => cache.get(key)),
    add: async (key, value, expiresAt) => {
      let exists = false
      try {
        const added = await ask(key, () => cache.add(key, value, expiresAt))
        exists = added.outcome === 'exists'
        return added
      } finally {
        // Also where the answer was lost: it may stand there.
        if (!exists) write({ is: 'lease', at: monotonicMs(), key })
      }
    },
    cas: async (key, value, token, expiresAt) => {
      const from = monotonicMs()
      const outcome = await ask(key, () => cache.cas(key, value, token, expiresAt))
      if (outcome.outcome === 'too-large') write({ is: 'too large', at: monotonicMs(), from, key })
      return outcome
    },
    set: (key, value, expiresAt) => ask(key, () => cache.set(key, value, expiresAt)),
    delete: async (key, token) => {
      const outcome = await ask(key, () => cache.delete(key, token))
      if (outcome === 'deleted') write({ is: 'dropped', at: monotonicMs(), key })
      return outcome
    },
  })
}

export const tappedBackend = (backend: Backend, write: LineWriter['write'], timeoutMs: number): Backend => {
  const { ask: watch, failed } = troubles(write, timeoutMs)
  const ask = <T>(call: () => Promise<T>): Promise<T> => watch('backend', call)
  return over(backend, {
    read: (locator) => ask(() => backend.read(locator)),
    insert: (locator, session, options) => ask(() => backend.insert(locator, session, options)),
    update: async (entries) => {
      for (const { locator, guard, session } of entries)
        if (guard.lineage !== session.lineage)
          write({ is: 'takeover', at: monotonicMs(), key: locator.key, lineage: session.lineage })
      const from = monotonicMs()
      const outcomes = await ask(() => backend.update(entries))
      for (const outcome of outcomes) if (outcome.outcome === 'failed') failed('backend', from, outcome.error)
      return outcomes
    },
    extend: async (extensions) => {
      const from = monotonicMs()
      const outcomes = await ask(() => backend.extend(extensions))
      for (const outcome of outcomes) if (outcome.outcome === 'failed') failed('backend', from, outcome.error)
      return outcomes
    },
    destroy: (locator, options) => ask(() => backend.destroy(locator, options)),
  })
}

/** A tier with some of its members in other words; whatever else it can do, it still can. */
const over = <Tier extends object, More extends object>(tier: Tier, members: Partial<Tier> & More): Tier & More =>
  new Proxy(tier, {
    get: (target, name) => {
      if (name in members) return Reflect.get(members, name)
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
    has: (target, name) => name in members || name in target,
  }) as Tier & More
