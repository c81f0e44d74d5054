import type { Backend } from '../../src/contract/backend.js'
import type { FrontCache } from '../../src/contract/front-cache.js'
import type { Runtime } from '../../src/contract/time.js'
import { isSessionStoreError } from '../../src/errors.js'
import { createSessionStore } from '../../src/index.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'

/*
 * A flood of unknown ids: somebody asks for sessions that do not exist, far faster than the backend can answer, while the
 * visitors of the application come with sessions that the cache has just lost. `scripts/flood` runs it for long against a
 * real Memcached, and the suite for a moment by a clock of its own.
 */

/** What the store can be told of who asks. */
export type Known =
  /** The signature of each real visitor's cookie was checked; the ids of the flood have none. */
  | 'verified'
  /** The address of each is known, and the flood comes from a few. */
  | 'caller'
  /** Nothing: the control, which shows that the flood is one. */
  | 'nothing'

export interface FloodOptions {
  readonly runtime: Runtime
  /** Lets a little time pass, and with it all that is due by then. */
  pause(): Promise<void>
  readonly cache: FrontCache
  /** How many entries the cache has; asked for now and then. */
  entries(): Promise<number>
  /** How long each read of the backend takes, in ms. */
  readonly backendMs: number
  readonly durationMs: number
  /** How many unknown ids are asked for in a second. */
  readonly unknownPerSecond: number
  /** How many different ones there are. @default each is asked for once */
  readonly differentIds?: number
  /** After how many ms the visitors begin to come. @default 0 */
  readonly visitorsFromMs?: number
  /** How many visitors come in a second, each with a session that is in the backend alone. */
  readonly visitorsPerSecond: number
  /** A visitor is served in time who is served within this, in ms. */
  readonly inTimeMs: number
  readonly known: Known
  readonly seed: number
}

export interface FloodReport {
  /** Unknown ids that were asked for, and how many a second that were. */
  readonly asked: number
  readonly askedPerSecond: number
  /** Of them, how many were refused as too many waited, and how many met another error. */
  readonly refused: number
  readonly failed: number
  readonly visitors: number
  readonly servedInTime: number
  /** The share of the visitors who were served in time. */
  readonly share: number
  /** How long 99 of 100 visitors waited at most, whether they were served or not, in ms. */
  readonly p99Ms: number
  readonly backendReads: number
  readonly unknownIds: number
  /** Sessions and tombstones that were written to the backend meanwhile. */
  readonly rowsWritten: number
  /** The most entries that the cache had. */
  readonly mostEntries: number
  /** As many as it could have: a session for each visitor, a mark for each read that found nothing, and the leases. */
  readonly entriesAllowed: number
}

const MAX_BACKEND_READS = 16
/** From how many addresses the flood comes. */
const ADDRESSES = 4
/** How often the entries of the cache are counted, in ms. */
const COUNT_EVERY_MS = 250

/** A backend whose reads take long, and that counts what is written to it. */
const slowed = (backend: Backend, runtime: Runtime, readMs: number) => {
  let written = 0
  const counted = new Set<string | symbol>(['insert', 'update', 'destroy'])
  const slow = new Proxy(backend, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      if (name === 'read')
        return async (...given: Parameters<Backend['read']>) => {
          await new Promise<void>((resolve) => runtime.after(readMs, resolve))
          return await target.read(...given)
        }
      if (!counted.has(name)) return member.bind(target) as unknown
      return (...given: unknown[]) => {
        written += 1
        return Reflect.apply(member, target, given) as unknown
      }
    },
  })
  return { slow, written: () => written }
}

/** Sessions that the backend has, and that the cache of the flood has never seen. */
const sessionsIn = async (backend: Backend, runtime: Runtime, count: number): Promise<readonly string[]> => {
  const store = createSessionStore({ cache: memoryCache({ runtime }), backend, runtime, purgeEveryMs: 0 })
  const ids: string[] = []
  for (let n = 0; n < count; n += 1) ids.push((await store.create({ n })).id)
  return ids
}

export const flood = async (options: FloodOptions): Promise<FloodReport> => {
  const { runtime, cache, known, durationMs, unknownPerSecond, visitorsPerSecond, visitorsFromMs = 0, seed } = options
  const backend = memoryBackend({ runtime })
  const ids = await sessionsIn(
    backend,
    runtime,
    Math.floor(((durationMs - visitorsFromMs) * visitorsPerSecond) / 1_000),
  )
  const { slow, written } = slowed(backend, runtime, options.backendMs)
  const store = createSessionStore({
    ...{ cache, backend: slow, runtime },
    purgeEveryMs: 0,
    maxBackendReads: MAX_BACKEND_READS,
  })
  store.on('fault', () => {}) // They are counted.
  let refused = 0
  let failed = 0
  let servedInTime = 0
  const waits: number[] = []
  const underWay = new Set<Promise<void>>()
  const track = (work: Promise<void>): void => {
    underWay.add(work)
    void work.finally(() => underWay.delete(work))
  }

  const askForUnknown = async (n: number): Promise<void> => {
    const id = `unknown ${seed} ${n % (options.differentIds ?? Number.POSITIVE_INFINITY)}`
    const asker = known === 'caller' ? { caller: `192.0.2.${n % ADDRESSES}` } : {}
    try {
      await store.load(id, { touch: false, ...asker })
    } catch (error) {
      if (isSessionStoreError(error, 'E_OVERLOADED')) refused += 1
      else failed += 1
    }
  }
  const visit = async (n: number): Promise<void> => {
    const asker = { nothing: {}, verified: { verified: true }, caller: { caller: `visitor ${n}` } }[known]
    const beganMs = runtime.monotonicMs()
    // Whoever is given an error was not served, whatever it says.
    const found = await store.load(ids[n] ?? '', { touch: false, ...asker }).catch(() => undefined)
    const waitedMs = runtime.monotonicMs() - beganMs
    waits.push(waitedMs)
    if (found !== undefined && waitedMs <= options.inTimeMs) servedInTime += 1
  }

  const beganMs = runtime.monotonicMs()
  let asked = 0
  let visitors = 0
  let mostEntries = 0
  let countedAtMs = 0
  for (;;) {
    const passedMs = Math.min(runtime.monotonicMs() - beganMs, durationMs)
    for (; asked < (passedMs * unknownPerSecond) / 1_000; asked += 1) track(askForUnknown(asked))
    const comingMs = passedMs - visitorsFromMs
    for (; visitors < ids.length && visitors < (comingMs * visitorsPerSecond) / 1_000; visitors += 1)
      track(visit(visitors))
    if (passedMs - countedAtMs >= COUNT_EVERY_MS) {
      countedAtMs = passedMs
      mostEntries = Math.max(mostEntries, await options.entries())
    }
    if (passedMs >= durationMs) break
    await options.pause()
  }
  const tookMs = runtime.monotonicMs() - beganMs
  while (underWay.size > 0) await options.pause()
  mostEntries = Math.max(mostEntries, await options.entries())
  const { backendReads, unknownIds } = store.stats()
  await store.close()
  const sorted = [...waits].sort((one, other) => one - other)
  return {
    asked,
    askedPerSecond: Math.round((asked * 1_000) / tookMs),
    refused,
    failed,
    visitors,
    servedInTime,
    share: servedInTime / visitors,
    p99Ms: Math.round(sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN),
    backendReads,
    unknownIds,
    rowsWritten: written(),
    mostEntries,
    entriesAllowed: visitors + MAX_BACKEND_READS + backendReads,
  }
}

/** What of the promise a flood broke, in words; nothing where it held. */
export const brokenBy = ({ share, rowsWritten, mostEntries, entriesAllowed }: FloodReport): readonly string[] => [
  ...(share >= LEAST_SHARE ? [] : [`${(100 * share).toFixed(1)} % of the visitors were served in time`]),
  ...(rowsWritten === 0 ? [] : [`${rowsWritten} rows were written`]),
  ...(mostEntries <= entriesAllowed ? [] : [`the cache had ${mostEntries} entries`]),
]

/** The share of the visitors who have to be served in time. */
const LEAST_SHARE = 0.99
