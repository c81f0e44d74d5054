import type { CasToken, FrontCache } from '../../src/contract/front-cache.js'
import { isSessionStoreError } from '../../src/errors.js'
import { encodeEnvelope, type LiveEnvelope, neverDurable } from '../../src/session/envelope.js'
import { CacheLink } from './cache-link.js'
import {
  applied,
  type Control,
  isTakeover,
  liveIn,
  markIn,
  ofBackend,
  ofCache,
  over,
  QUICK,
  rewriting,
  updating,
  where,
} from './control.js'
import { CONTROLS_OF_CALLS } from './controls-of-calls.js'
import { CONTROLS_OF_OLD_STORES } from './controls-of-old-stores.js'
import { CONTROLS_OF_USERS } from './controls-of-users.js'

/** Later than any outage. */
const FOR_EVER = 2 ** 46

const isConfirmation = ({ durableLineage, lineage, durableVersion, version }: LiveEnvelope): boolean =>
  durableLineage === lineage && durableVersion === version

/** What is put over a lease is put by `put` instead, whether or not the lease still stands. */
const withoutLease = (
  name: string,
  put: (
    cache: FrontCache,
    key: string,
    value: Uint8Array,
    expiresAt: number,
    token: CasToken,
  ) => Promise<CasToken | undefined>,
  isMeant: (envelope: LiveEnvelope) => boolean,
): Control =>
  ofCache(name, (cache) => {
    const leases = new WeakSet<CasToken>()
    return {
      add: async (key, value, expiresAt) => {
        const added = await cache.add(key, value, expiresAt)
        if (added.outcome === 'stored') leases.add(added.token)
        return added
      },
      cas: async (key, value, token, expiresAt) => {
        const envelope = leases.has(token) ? liveIn(key, value) : undefined
        if (envelope === undefined || !isMeant(envelope)) return await cache.cas(key, value, token, expiresAt)
        await cache.delete(key, token)
        const stored = await put(cache, key, value, expiresAt, token)
        return stored === undefined ? { outcome: 'conflict' } : { outcome: 'stored', token: stored }
      },
    }
  })

const addIt = async (
  cache: FrontCache,
  key: string,
  value: Uint8Array,
  expiresAt: number,
): Promise<CasToken | undefined> => {
  const added = await cache.add(key, value, expiresAt)
  return added.outcome === 'stored' ? added.token : undefined
}

/** A creation waits for its entry to stand in the place of the lease. One that does not may be overtaken by a destroy. */
const addLater = async (
  cache: FrontCache,
  key: string,
  value: Uint8Array,
  expiresAt: number,
  token: CasToken,
): Promise<CasToken> => {
  void cache.add(key, value, expiresAt).catch(() => {})
  return token // it fits nothing any more
}

/** A blind set answers with no token: the one of what now stands there is as good. */
const setBlindly = async (
  cache: FrontCache,
  key: string,
  value: Uint8Array,
  expiresAt: number,
): Promise<CasToken | undefined> => {
  await cache.set(key, value, expiresAt)
  return (await cache.get(key))?.token
}

/** As long as a creation may take that comes between. */
const LATE_MS = 30

export const CONTROLS: readonly Control[] = [
  ofCache('M01 blind set instead of compare-and-set', (cache) => ({
    cas: async (key, value, token, expiresAt) => {
      if (liveIn(key, value) === undefined) return await cache.cas(key, value, token, expiresAt)
      const stored = await setBlindly(cache, key, value, expiresAt)
      return stored === undefined ? { outcome: 'missing' } : { outcome: 'stored', token: stored }
    },
  })),
  {
    name: 'M03 flushed when more than maxStaleCount writes behind (off by one)',
    options: ({ maxStaleCount }) => ({ maxStaleCount: maxStaleCount + 1 }),
  },
  {
    ...ofCache('M05 acknowledged after the backend update, without confirming', (cache) => ({
      cas: async (key, value, token, expiresAt) => {
        const envelope = liveIn(key, value)
        if (envelope === undefined || !isConfirmation(envelope) || envelope.version === 1)
          return await cache.cas(key, value, token, expiresAt)
        return { outcome: 'stored', token }
      },
    })),
    config: where(['entry evicted', 'message delayed'], { ...QUICK, shortSessions: false, thinkMs: 3 }),
  },
  rewriting('M07 confirming writes the current version, not the flushed one', (envelope) =>
    envelope.durableLineage === envelope.lineage ? { ...envelope, durableVersion: envelope.version } : envelope,
  ),
  updating('M09 guarded by lineage without version', (entry) => ({
    ...entry,
    guard: { ...entry.guard, belowVersion: Number.MAX_SAFE_INTEGER },
  })),
  ofBackend('M13 the guard does not ask for the tombstone', (backend, { backendServer }) => ({
    update: async (entries) => {
      const outcomes = await backend.update(entries)
      return outcomes.map((outcome, at) => {
        const entry = entries[at]
        if (entry === undefined || outcome.outcome !== 'refused' || outcome.row.state !== 'destroyed') return outcome
        backendServer.force(entry.locator.key, entry.session)
        return applied
      })
    },
  })),
  {
    ...withoutLease('M15 filled without a lease', addIt, ({ durableLineage, lineage }) => durableLineage !== lineage),
    config: where(['entry evicted', 'message delayed']),
  },
  withoutLease('M16 filled by a set', setBlindly, ({ durableLineage, lineage }) => durableLineage !== lineage),
  ofBackend('M18 a refused flush is acknowledged', (backend) => ({
    update: async (entries) =>
      (await backend.update(entries)).map((outcome) =>
        outcome.outcome === 'refused' && outcome.row.state === 'live' ? applied : outcome,
      ),
  })),
  ofCache('M20 a dead entry is deleted whatever stands there', (cache) => ({
    delete: async (key) => {
      const entry = await cache.get(key)
      return entry === undefined ? 'missing' : await cache.delete(key, entry.token)
    },
  })),
  {
    name: 'M21 destroyed in the cache first',
    config: where(['entry evicted', 'message delayed']),
    alter: ({ cache, backend }) => {
      const told = new Set<string>()
      return {
        cache: over(cache, {
          set: async (key, value, expiresAt) => {
            if (!told.delete(key)) await cache.set(key, value, expiresAt)
          },
        }),
        backend: over(backend, {
          destroy: async (locator, options) => {
            const { key } = locator
            const tombstone = { kind: 'tombstone', destroyedAt: options.at, expiresAt: options.keepUntil } as const
            await cache.set(key, encodeEnvelope(key, tombstone), options.keepUntil)
            told.add(key)
            return await backend.destroy(locator, options)
          },
        }),
      }
    },
  },
  ofBackend('M27 acknowledged after an unknown backend update', (backend) => ({
    update: async (entries) => {
      try {
        return await backend.update(entries)
      } catch (error) {
        if (isSessionStoreError(error) && error.applied === 'unknown') return entries.map(() => applied)
        throw error
      }
    },
  })),
  ofCache('M28 an unknown compare-and-set is taken as applied', (cache) => ({
    cas: async (key, value, token, expiresAt) => {
      try {
        return await cache.cas(key, value, token, expiresAt)
      } catch (error) {
        if (isSessionStoreError(error) && error.applied === 'unknown') return { outcome: 'stored', token }
        throw error
      }
    },
  })),
  rewriting('M31 no write ids', (envelope) => ({ ...envelope, writeIds: [] })),
  {
    ...ofCache('M33 confirming puts its own copy where nothing stands', (cache) => ({
      cas: async (key, value, token, expiresAt) => {
        const outcome = await cache.cas(key, value, token, expiresAt)
        const envelope = liveIn(key, value)
        if (outcome.outcome !== 'missing' || envelope === undefined || !isConfirmation(envelope)) return outcome
        const added = await cache.add(key, value, expiresAt)
        return added.outcome === 'stored' ? added : { outcome: 'conflict' }
      },
    })),
    config: where(['entry evicted', 'message delayed']),
  },
  ofCache('M35 touched by a set', (cache) => ({
    cas: async (key, value, token, expiresAt) => {
      const envelope = liveIn(key, value)
      if (envelope === undefined || envelope.touchedAt === envelope.writtenAt)
        return await cache.cas(key, value, token, expiresAt)
      const stored = await setBlindly(cache, key, value, expiresAt)
      return stored === undefined ? { outcome: 'missing' } : { outcome: 'stored', token: stored }
    },
  })),
  updating('M39 a write round the cache keeps the lineage', (entry) =>
    isTakeover(entry) ? { ...entry, session: { ...entry.session, lineage: entry.guard.lineage } } : entry,
  ),
  ofCache('M46 destroyed without a tombstone in the cache', () => ({ set: async () => {} })),
  {
    ...withoutLease('M49 created by adding a live envelope, which nobody waits for', addLater, isConfirmation),
    config: where(['entry evicted', 'message delayed', 'message re-ordered']),
  },
  ofBackend("M64 another's tombstone is taken for one's own", (backend) => ({
    destroy: async (locator, options) => {
      const outcome = await backend.destroy(locator, options)
      return outcome === 'already-destroyed' ? 'destroyed' : outcome
    },
  })),
  rewriting('M51 regenerated without freezing', (envelope) => ({ ...envelope, frozen: false })),

  // Where there is no one view of the cache.
  {
    ...ofBackend('M08 guarded by version only', (backend, { backendServer }) => ({
      update: (entries) =>
        backend.update(
          entries.map((entry) => {
            const row = backendServer.rows.get(entry.locator.key)
            if (row?.state !== 'live') return entry
            return { ...entry, guard: { ...entry.guard, lineage: row.session.lineage } }
          }),
        ),
    })),
    config: where(['server list changed']),
  },
  {
    ...ofBackend('M24 the end of a session that never was in the backend is not written down there', (backend) => ({
      destroy: async (locator, options) => {
        const { state } = await backend.read(locator)
        return state === 'absent' ? 'destroyed' : await backend.destroy(locator, options)
      },
    })),
    config: where(['entry evicted', 'message delayed'], { persistOn: 'due', maxStaleCount: 2 }),
  },
  {
    ...rewriting(
      'M98 a session is brought to the backend for the first time without a mark that says so',
      (envelope) => ({
        ...envelope,
        seenDurableAt: neverDurable(envelope) ? 0 : envelope.seenDurableAt,
      }),
    ),
    config: where(['message delayed', 'entry evicted', 'call failed'], { persistOn: 'due', maxStaleCount: 2 }),
  },
  {
    ...rewriting('M43 a write renews the trust stamp', (envelope) => ({
      ...envelope,
      trustedAt: Math.max(envelope.trustedAt, envelope.writtenAt),
    })),
    config: where(['server cut off'], {
      ...QUICK,
      ...{ maxStaleCount: 6, sessions: 3, shortSessions: false, thinkMs: 10, operations: 90 },
    }),
  },
  {
    ...ofCache('M46b a destroy of which the cache could not be told is acknowledged as if it had been', (cache) => ({
      set: (key, value, expiresAt) => cache.set(key, value, expiresAt).catch(() => {}),
    })),
    config: where(['server cut off']),
  },
  {
    ...ofCache('M70 nothing is compared after an outage', (cache) => ({
      get: async (key) => {
        const entry = await cache.get(key)
        const envelope = entry === undefined ? undefined : liveIn(key, entry.value)
        if (entry === undefined || envelope === undefined) return entry
        return { ...entry, value: encodeEnvelope(key, { ...envelope, trustedAt: FOR_EVER }) }
      },
    })),
    config: where(['server cut off', 'cache unreachable']),
  },
  {
    ...ofCache('M71 an outage counts for the session alone that met it, not for its server', () => {
      const serverOf = (key: string): string => key
      return { serverOf } as Partial<FrontCache>
    }),
    config: where(['server cut off', 'cache unreachable'], { sessions: 3 }),
  },
  {
    ...ofCache('M72 what belongs on a server that cannot be reached is put on another', (cache) => {
      if (cache instanceof CacheLink) cache.place = (key) => cache.placedAmongReached(key)
      return {}
    }),
    config: where(['server cut off', 'cache unreachable'], { lists: [[0, 1], [0]] }),
  },
  {
    ...ofCache(
      'M99 the mark that nothing stands there is put late, over whatever stands there',
      (cache, { clock }) => ({
        cas: async (key, value, token, expiresAt) => {
          if (markIn(key, value) === undefined) return await cache.cas(key, value, token, expiresAt)
          await cache.delete(key, token)
          void clock.sleep(LATE_MS).then(() => setBlindly(cache, key, value, expiresAt).catch(() => {}))
          return { outcome: 'missing' }
        },
      }),
    ),
    config: where(['id asked for before'], QUICK),
  },
  {
    ...ofCache('M101 the mark that nothing stands there is believed after an outage', (cache) => ({
      get: async (key) => {
        const entry = await cache.get(key)
        const mark = entry === undefined ? undefined : markIn(key, entry.value)
        if (entry === undefined || mark === undefined) return entry
        return { ...entry, value: encodeEnvelope(key, { ...mark, trustedAt: FOR_EVER }) }
      },
    })),
    config: where(['id asked for before', 'cache unreachable'], QUICK),
  },
  ...CONTROLS_OF_CALLS,
  ...CONTROLS_OF_USERS,
  ...CONTROLS_OF_OLD_STORES,
]
