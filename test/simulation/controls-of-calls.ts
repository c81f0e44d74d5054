import type { SaveReport, Session } from '../../src/contract/session-store.js'
import { isSessionStoreError, tierUnavailable } from '../../src/errors.js'
import { encodeEnvelope } from '../../src/session/envelope.js'
import { hasExpired } from '../../src/session/expiry.js'
import {
  applied,
  type Control,
  isTakeover,
  liveIn,
  ofBackend,
  ofCache,
  ofCalls,
  over,
  QUICK,
  where,
} from './control.js'
import { type Data, mergedInPlace } from './data.js'
import { EPOCH } from './world.js'

const bytesOf = ({ data }: Session<Data>): string => JSON.stringify(data)

const unchanged = (durability: SaveReport['durability']): SaveReport => ({ changed: false, merged: false, durability })

const isUnavailable = (error: unknown): boolean => isSessionStoreError(error, 'E_SESSION_UNAVAILABLE')

/** Creations take their time, and are given up; tombstones are not kept for long; ids are used again. */
const REUSING = where(['command very late', 'commit unanswered', 'purged'], {
  ...QUICK,
  reusesIds: true,
  idleTtlMs: 6_000,
  absoluteTtlMs: 20_000,
  tombstoneTtlMs: 20_600,
})

/** Weaker in what the handle, the caller and the tier's answer are taken for, and in what goes on when nobody waits. */
export const CONTROLS_OF_CALLS: readonly Control[] = [
  {
    ...ofCalls('S01 a save that was rejected is taken for stored when it is repeated', (store) => {
      const rejected = new WeakMap<Session<Data>, string>()
      return {
        save: async (session, options) => {
          if (rejected.get(session) === bytesOf(session)) return unchanged('cache')
          try {
            return await store.save(session, options)
          } catch (error) {
            rejected.set(session, bytesOf(session))
            throw error
          }
        },
      }
    }),
    config: where(['handle used again', 'backend down', 'cache unreachable']),
  },
  {
    ...ofCalls('S02 a durable save of what an earlier save stored asks nobody', (store) => {
      const saved = new WeakMap<Session<Data>, string>()
      return {
        save: async (session, options) => {
          if (options?.durable === true && saved.get(session) === bytesOf(session)) return unchanged('backend')
          const report = await store.save(session, options)
          saved.set(session, bytesOf(session))
          return report
        },
      }
    }),
    config: where(['handle used again'], { maxStaleCount: 6 }),
  },
  {
    ...ofCalls('S03 after a merge a handle holds what it held before', (store) => ({
      save: async (session, options) => {
        const { data } = session
        const report = await store.save(session, options)
        if (report.merged) session.data = data
        return report
      },
    })),
    config: where(['handle used again', 'calls overlap'], { ...QUICK, thinkMs: 3, shortSessions: false }),
  },
  {
    ...ofCalls('S04 the second of two saves of one handle at once is taken for the first', (store) => {
      const underWay = new WeakMap<Session<Data>, Promise<SaveReport>>()
      return {
        save: (session, options) => {
          const saving = underWay.get(session) ?? store.save(session, options)
          underWay.set(session, saving)
          const isOver = (): void => {
            underWay.delete(session)
          }
          saving.then(isOver, isOver)
          return saving
        },
      }
    }),
    config: where(['calls overlap']),
  },
  {
    ...ofCalls('S05 updates that come together are given one session object', (store) => {
      const groups = new Map<string, { open: number; given: Session<Data> | undefined }>()
      return {
        update: async (id, change, options) => {
          const group = groups.get(id) ?? { open: 0, given: undefined }
          groups.set(id, group)
          group.open += 1
          try {
            group.given = (await store.update(id, change, options)) ?? group.given
            return group.given
          } finally {
            group.open -= 1
            if (group.open === 0) groups.delete(id)
          }
        },
      }
    }),
    config: where(['calls overlap']),
  },
  {
    ...ofCalls('S06 an update waits for ever for one whose change never settles', (store, { clock, config }) => {
      const tails = new Map<string, Promise<unknown>>()
      return {
        update: (id, change, options) => {
          const before = tails.get(id) ?? Promise.resolve()
          let isDone = (): void => {}
          const done = new Promise<void>((resolve) => {
            isDone = resolve
          })
          tails.set(
            id,
            before.then(() => done),
          )
          const changing = async (data: Data): Promise<void> => {
            await change(data)
          }
          const updating = before.then(() => store.update(id, changing, options))
          updating.then(isDone, (error: unknown) => {
            if (!isUnavailable(error)) isDone()
          })
          const late = clock.sleep(config.deadlineMs).then(() => {
            throw tierUnavailable('the session store', 'update', { because: 'it is late', applied: 'unknown' })
          })
          return Promise.race([updating, late])
        },
      }
    }),
    config: where(['callback hung'], { ...QUICK, shortSessions: false }),
  },
  {
    name: 'S07 durations go by the wall clock',
    runtime: (runtime) => ({ ...runtime, monotonicMs: () => runtime.now() - EPOCH }),
    config: where(['clock stepped'], {
      idleTtlMs: 86_400_000,
      absoluteTtlMs: 30 * 86_400_000,
      tombstoneTtlMs: 31 * 86_400_000,
    }),
  },
  {
    name: 'S08 nothing is flushed by time',
    options: () => ({ maxStaleMs: 3_600_000 }),
    config: where(['message delayed'], { maxStaleCount: 6, shortSessions: false }),
  },
  {
    ...ofBackend('S09 a flush that the backend refuses for want of its table is taken for done', (backend) => ({
      update: async (entries) => {
        try {
          return await backend.update(entries)
        } catch (error) {
          if (isSessionStoreError(error, 'E_BACKEND_SCHEMA')) return entries.map(() => applied)
          throw error
        }
      },
    })),
    config: where(['table missing']),
  },
  {
    name: 'S10 a conflict function is given what it has altered before',
    options: () => {
      const altered = new Map<string, Data>()
      return {
        conflict: (copies) => {
          const key = JSON.stringify([copies.base, copies.mine])
          const mine = altered.get(key) ?? copies.mine
          altered.set(key, mine)
          return mergedInPlace({ ...copies, mine })
        },
      }
    },
    config: where(['calls overlap', 'message delayed'], { ...QUICK, thinkMs: 3, conflict: 'function' }),
  },
  {
    ...ofCalls('S11 a save goes on when its caller was told that it failed', (store, { clock }) => ({
      save: async (session, options) => {
        try {
          return await store.save(session, options)
        } catch (error) {
          if (isUnavailable(error)) clock.after(5, () => void store.save(session, options).catch(() => {}))
          throw error
        }
      },
    })),
    config: where(['cache unreachable', 'backend down'], { onBackendDown: 'reject' }),
  },
  {
    name: 'S12 the backend is purged of what its rows say has expired',
    alter: ({ cache, backend, world }) => {
      world.purgeGraceMs = 0
      return { cache, backend }
    },
    config: where(['backend away for long', 'purged'], { ...QUICK, idleTtlMs: 6_000, absoluteTtlMs: 20_000 }),
  },
  {
    ...ofCache('S13 whoever meets a frozen entry looks at it over and over', (cache, { clock }) => ({
      get: async (key) => {
        const entry = await cache.get(key)
        const isFrozen = entry !== undefined && liveIn(key, entry.value)?.frozen === true
        const look = (left: number): void => {
          void cache.get(key).catch(() => {})
          if (left > 0) clock.after(20, () => look(left - 1))
        }
        if (isFrozen) look(1_000)
        return entry
      },
    })),
    config: where(['process died', 'process paused'], { ...QUICK, thinkMs: 3 }),
  },
  {
    ...ofCache('S14 a value that the cache refuses is tried over and over', (cache) => ({
      add: async (key, value, expiresAt) => {
        const added = await cache.add(key, value, expiresAt)
        return added.outcome === 'refused' ? { outcome: 'exists' } : added
      },
      cas: async (key, value, token, expiresAt) => {
        const put = await cache.cas(key, value, token, expiresAt)
        return put.outcome === 'refused' ? { outcome: 'conflict' } : put
      },
    })),
    config: where(['cache full'], { ...QUICK, shortSessions: false }),
  },
  {
    ...ofCache('S15 one call that failed is taken for an outage', (cache, { clock, config }) => {
      let awayUntil = 0
      return {
        get: async (key) => {
          if (clock.now < awayUntil) throw tierUnavailable(cache.name, 'get', { because: 'it failed before' })
          try {
            return await cache.get(key)
          } catch (error) {
            if (isUnavailable(error)) awayUntil = clock.now + config.deadlineMs
            throw error
          }
        },
      }
    }),
    config: where(['call failed'], { ...QUICK, thinkMs: 3, maxStaleCount: 6, shortSessions: false }),
  },
  {
    ...ofCache('S16 another lineage is dropped unseen when a flush is marked', (cache) => {
      const marking = new Map<string, string>()
      return {
        cas: async (key, value, token, expiresAt) => {
          const put = await cache.cas(key, value, token, expiresAt)
          const envelope = liveIn(key, value)
          marking.delete(key)
          const isMark = envelope !== undefined && envelope.version === envelope.durableVersion
          if (isMark && envelope.durableLineage === envelope.lineage && put.outcome === 'conflict')
            marking.set(key, envelope.lineage)
          return put
        },
        get: async (key) => {
          const entry = await cache.get(key)
          const lineage = marking.get(key)
          marking.delete(key)
          const envelope = entry === undefined ? undefined : liveIn(key, entry.value)
          if (entry === undefined || lineage === undefined || envelope === undefined) return entry
          if (envelope.lineage === lineage) return entry
          await cache.delete(key, entry.token)
          return undefined
        },
      }
    }),
    config: where(['entry evicted', 'message delayed', 'troubles together'], {
      ...QUICK,
      thinkMs: 3,
      shortSessions: false,
    }),
  },
  {
    name: 'S17 nothing is repaired in the background',
    alter: ({ cache, backend, world }) => ({
      cache: over(cache, {
        delete: async (key, token) => (world.isWaitedFor(cache, key) ? await cache.delete(key, token) : 'deleted'),
      }),
      backend,
    }),
    config: where(['server cut off', 'cache unreachable'], { ...QUICK, maxStaleCount: 6, shortSessions: false }),
  },
  {
    ...ofCalls('S18 what a request changed before regenerate is stored under the old id first', (store) => ({
      regenerate: async (session) => {
        if (typeof session !== 'string') await store.save(session)
        return await store.regenerate(session)
      },
    })),
    config: where(['login before regenerate']),
  },
  {
    ...ofCalls('S19 a regenerate that may have ended the session says that nothing was done', (store) => ({
      regenerate: (session) =>
        store.regenerate(session).catch((error: unknown) => {
          throw isUnavailable(error) ? tierUnavailable('the backend', 'regenerate', { applied: 'no' }) : error
        }),
    })),
    config: where(['backend down', 'commit unanswered', 'call failed'], QUICK),
  },
  {
    ...ofBackend('S20 a deferred insert counts however late it comes', (backend) => ({
      insert: (locator, session) => backend.insert(locator, session),
    })),
    config: where(['command very late', 'purged'], {
      ...QUICK,
      persistOn: 'due',
      maxStaleCount: 2,
      idleTtlMs: 6_000,
      absoluteTtlMs: 20_000,
      tombstoneTtlMs: 20_600,
    }),
  },
  {
    ...ofCache(
      'S21 a value that is too large takes along whatever stands there',
      (cache, { config, cacheServers }) => ({
        cas: async (key, value, token, expiresAt) => {
          const put = await cache.cas(key, value, token, expiresAt)
          if (value.length <= config.maxValueBytes || put.outcome === 'stored') return put
          for (const server of cacheServers) server.entries.delete(key)
          return { outcome: 'too-large' }
        },
      }),
    ),
    config: where(['value too large', 'calls overlap'], { ...QUICK, maxValueBytes: 700, thinkMs: 3, maxStaleCount: 6 }),
  },
  {
    name: 'S22 a takeover that the backend refused is taken for what stands there',
    alter: ({ cache, backend }) => ({
      cache,
      backend: over(backend, {
        update: async (entries) => {
          const outcomes = await backend.update(entries)
          for (const [at, entry] of entries.entries()) {
            if (outcomes[at]?.outcome !== 'refused' || !isTakeover(entry)) continue
            const { key } = entry.locator
            const seen = await cache.get(key).catch(() => undefined)
            if (seen !== undefined) await cache.delete(key, seen.token).catch(() => {})
          }
          return outcomes
        },
      }),
    }),
    config: where(['call failed', 'troubles together', 'cache unreachable'], {
      ...QUICK,
      thinkMs: 3,
      maxStaleCount: 6,
    }),
  },
  {
    ...ofCache('S23 an entry from before an outage is judged by its own deadline', (cache, { clock }) => ({
      get: async (key) => {
        const entry = await cache.get(key)
        const envelope = entry === undefined ? undefined : liveIn(key, entry.value)
        const now = EPOCH + clock.now
        if (entry === undefined || envelope === undefined || !hasExpired(envelope, now)) return entry
        const tombstone = { kind: 'tombstone', destroyedAt: now, expiresAt: now + 1_000 } as const
        return { ...entry, value: encodeEnvelope(key, tombstone) }
      },
    })),
    config: where(['cache away for long'], {
      ...QUICK,
      idleTtlMs: 6_000,
      absoluteTtlMs: 20_000,
      tombstoneTtlMs: 20_600,
      shortSessions: false,
    }),
  },
  {
    ...ofBackend(
      'S24 a takeover that waited in line goes out though the cache is back',
      (backend, { clock, config }) => ({
        update: (entries) =>
          entries.some(isTakeover)
            ? new Promise((resolve) => clock.after(config.backendTimeoutMs / 2, () => resolve(backend.update(entries))))
            : backend.update(entries),
      }),
    ),
    config: where(['cache slow', 'call failed'], { ...QUICK, thinkMs: 3, maxStaleCount: 6, shortSessions: false }),
  },
  {
    ...ofCalls(
      'S26 a late save of a session that has expired goes into the one that was made under its id',
      (store) => ({
        save: async (session, options) => {
          try {
            return await store.save(session, options)
          } catch (error) {
            const later = isSessionStoreError(error, 'E_SESSION_DESTROYED') ? await store.load(session.id) : undefined
            if (later === undefined) throw error
            Object.assign(later.data, session.data)
            return await store.save(later, options)
          }
        },
      }),
    ),
    config: REUSING,
  },
  {
    ...ofBackend('S27 the insert of a creation counts however late it comes', (backend) => ({
      insert: (locator, session, { over: ended } = {}) =>
        backend.insert(locator, session, ended === undefined ? {} : { over: ended }),
    })),
    config: REUSING,
  },
  {
    ...ofBackend('S28 a destroy leaves nothing where nothing stood, though others may know the id', (backend) => ({
      destroy: (locator, options) => backend.destroy(locator, { ...options, keepUntilIfAbsent: options.at }),
    })),
    config: REUSING,
  },
]
