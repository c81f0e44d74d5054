import { purgeGraceOf } from '../../contract/backend.js'
import { type CacheKey, splitKey } from '../../contract/locator.js'
import type { PurgeReport, PurgeSessionsOptions } from '../../contract/session-store.js'
import { aborted } from '../../errors.js'
import { hasExpired } from '../../session/expiry.js'
import { limiter } from '../../tools/limiter.js'
import { unlessAborted } from '../../tools/signals.js'
import { jittered, sleep } from '../../tools/waiting.js'
import type { Context } from '../context.js'
import { checkCallOptions, NO_OPTIONS } from './call-options.js'
import type { Entrance } from './entrance.js'

/** How many are removed one by one in one step: what a database does in a few milliseconds. */
const BATCH = 500

/** A step settles within this. The tier gives up before, and says why. */
const STEP_MS = 90_000

/** How many sessions the cache is asked about at once. Requests have to come through beside them. */
const ASKED_AT_ONCE = 32

/** A purge that would leave more sessions than this because nobody knows whether they live ends for now. */
const MOST_UNSURE = 1_000

/** A purge that has removed nothing in so many steps, as others hold the rows locked, ends for now. */
const MOST_IN_VAIN = 10

/**
 * After each step there is a pause as long as the step took, so that the tiers are free for half of the time, and not
 * shorter or longer than this, in ms.
 */
const SHORTEST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 500

/** How long a purge waits for another process whose turn it is, give or take a half, in ms. */
const TURN_MS = 100

/** How a store removes from the backend what nobody needs any longer. */
export interface Purging {
  /** Removes what has ended, as the user asks for it. */
  purge(options?: PurgeSessionsOptions): Promise<PurgeReport>
  /** The same by itself, with all defaults. Leaves it to another process where that is purging already. */
  purgeBySelf(): Promise<PurgeReport>
}

/** The call `purge`. */
export const purging = (context: Context, { timely }: Pick<Entrance, 'timely'>): Purging => {
  const { runtime, cache, backend, audit, options } = context
  const usualGraceMs = purgeGraceOf()

  /** Tells the backend that a session is in use, if it lives in the cache. Rejects where nobody can tell. */
  const isInUse = async (key: CacheKey): Promise<boolean> => {
    const entry = await cache.get(key)
    if (entry.state !== 'live' || hasExpired(entry.envelope, runtime.now())) return false
    const { touchedAt, expiresAt } = entry.envelope
    await backend.extend({ locator: { key }, seenAt: touchedAt, expiresAt })
    return true
  }

  const run = async (purgeOptions: PurgeSessionsOptions, isBySelf: boolean): Promise<PurgeReport> => {
    const { limit = Number.POSITIVE_INFINITY, graceMs = usualGraceMs, onProgress, signal } = purgeOptions
    const own = signal === undefined ? NO_OPTIONS : { signal }
    const unsure = new Set<CacheKey>()
    let removed = 0
    let inUse = 0

    const mustStay = async (key: CacheKey): Promise<boolean> => {
      if (unsure.has(key)) return true
      // The sessions of another application in the same table may be in a cache that this store does not know. Only the
      // usual grace stands for asking it.
      const isOurs = splitKey(key).namespace === options.namespace
      if (!isOurs && graceMs >= usualGraceMs) return false
      if (isOurs)
        try {
          if (!(await isInUse(key))) return false
          inUse += 1
          return true
        } catch {
          // The tier has told of its fault. What cannot be asked about is left.
        }
      unsure.add(key)
      return true
    }
    const livesOn = async (keys: readonly CacheKey[]): Promise<ReadonlySet<CacheKey>> => {
      const { run: inTurn } = limiter(ASKED_AT_ONCE)
      const staying = new Set<CacheKey>()
      await Promise.all(
        keys.map((key) =>
          inTurn(async () => {
            if (await mustStay(key)) staying.add(key)
          }),
        ),
      )
      return staying
    }

    let inVain = 0
    for (;;) {
      const startedMs = runtime.monotonicMs()
      const before = removed + inUse + unsure.size
      const batch = { now: runtime.now(), limit: Math.min(BATCH, limit - removed), graceMs, livesOn }
      const step = await timely(
        'purge',
        true,
        own,
        () => backend.purge({ ...batch, knownToStay: unsure.size }),
        STEP_MS,
      )
      removed += step.removed
      if (step.removed > 0)
        audit.ofMany({
          ...{ action: 'purged', outcome: 'done', by: 'purge', count: step.removed },
          expiredBy: batch.now - graceMs,
        })
      const report: PurgeReport = { removed, inUse, unsure: unsure.size, more: step.more }
      onProgress?.(report)
      if (!step.more || removed >= limit || unsure.size > MOST_UNSURE) return report
      if (step.isBusy === true) {
        if (isBySelf) return report
        await sleep(runtime, jittered(runtime, TURN_MS))
        continue
      }
      inVain = removed + inUse + unsure.size > before ? 0 : inVain + 1
      if (inVain >= MOST_IN_VAIN) return report
      const tookMs = runtime.monotonicMs() - startedMs
      await sleep(runtime, Math.min(Math.max(tookMs, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS))
    }
  }

  return {
    purge: async (purgeOptions = NO_OPTIONS) => {
      checkCallOptions('purge', purgeOptions)
      const { signal } = purgeOptions
      // A program may await this call and nothing else; what it waits for in a pause is a timer.
      const letDie = runtime.keepAlive?.()
      try {
        const isTooLate = signal === undefined || signal.aborted
        const purged = run(purgeOptions, false)
        return await (isTooLate ? purged : unlessAborted(signal, purged, () => aborted('purge', signal, 'unknown')))
      } finally {
        letDie?.()
      }
    },
    purgeBySelf: () => run(NO_OPTIONS, true),
  }
}
