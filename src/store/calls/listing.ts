import type { KeyListOptions, Which } from '../../contract/backend.js'
import type { CacheKey, Locator } from '../../contract/locator.js'
import type {
  Activity,
  ActivityOptions,
  CountOptions,
  DestroyAllOptions,
  DestroyManyReport,
  EndedBy,
  Lag,
  ListSessionsOptions,
  SessionInfo,
  SessionPage,
} from '../../contract/session-store.js'
import { butMayBeApplied, butNotApplied, invalidOption, isSessionStoreError } from '../../errors.js'
import { handleOf, isHandle, locatorOfHandle } from '../../session/public-handle.js'
import { limiter } from '../../tools/limiter.js'
import type { Context } from '../context.js'
import { destroy } from '../protocol/destroy.js'
import type { Call } from './call.js'
import { LOOKS_AT_ONCE, type Newest } from './newest.js'
import type { Showing } from './shown.js'

/**
 * How many bytes of data one call of the backend may bring. A slow line must be able to carry them within the time of
 * one call.
 */
export const PART_BYTES = 1_048_576

/**
 * How many bytes of data one page may hold. They stand in memory at once, beside the values into which they are
 * decoded.
 */
const PAGE_BYTES = 8_388_608

/** How many keys one call of the backend may bring. */
const KEYS_AT_ONCE = 1_000

/** How many sessions are destroyed at once. */
const DESTROYS_AT_ONCE = 8

/** Runs one piece of a long call as a call of its own. It is refused once the store is closed, and has a deadline. */
export type Step = <T>(operation: 'list' | 'destroy', isChange: boolean, work: (call: Call) => Promise<T>) => Promise<T>

/** The calls about all sessions of this namespace, or of one application. The backend answers them, as the cache cannot. */
export interface Listing<Data> {
  list(options: ListSessionsOptions, call: Call): Promise<SessionPage<Data>>
  count(options: CountOptions): Promise<number>
  activity(options: ActivityOptions): Promise<Activity>
  /** Destroys sessions in both tiers, without reading any data. */
  destroyAll(options: DestroyAllOptions, step: Step): Promise<DestroyManyReport>
  /** Destroys those of the backend's sessions that are meant, but for one. */
  destroyEach(
    which: Omit<Which, 'now' | 'namespace'>,
    step: Step,
    options: {
      /** Who ends them, for the audit trail. */
      readonly by: EndedBy
      readonly except?: CacheKey | undefined
      /** Their user was logged out everywhere. */
      readonly isLoggedOut?: boolean
      readonly onProgress?: ((progress: { readonly destroyed: number }) => void) | undefined
    },
  ): Promise<DestroyManyReport>
}

export const listing = <Data>(context: Context, shown: Showing<Data>, newest: Newest<Data>): Listing<Data> => {
  const { runtime, backend, options } = context
  const { namespace, deadlineMs } = options
  const lag: Lag = Object.freeze({ changesMs: options.maxStaleMs, usesMs: options.timings.touchBackendMs })

  const which = ({
    app,
    seenWithinMs,
  }: {
    readonly app?: string | undefined
    readonly seenWithinMs?: number | undefined
  }): Which => {
    const now = runtime.now()
    return {
      namespace,
      now,
      ...(app === undefined ? {} : { app }),
      // Nothing was used before 1970, and not every backend has a form for the moments before.
      ...(seenWithinMs === undefined ? {} : { seenSince: Math.max(0, now - seenWithinMs) }),
    }
  }

  const cursorOf = (after: string | undefined): Pick<Locator, 'key'> | undefined => {
    if (after === undefined) return undefined
    if (!isHandle(after))
      throw invalidOption('after', 'the `next` of a page before, or a handle', after, { secret: true })
    return locatorOfHandle(namespace, after)
  }

  const destroyEach: Listing<Data>['destroyEach'] = async (
    meant,
    step,
    { by, except, isLoggedOut = false, onProgress },
  ) => {
    const atOnce = limiter(DESTROYS_AT_ONCE)
    let destroyed = 0
    let cache: DestroyManyReport['cache'] = 'tombstone'
    const end = async (locator: Locator): Promise<void> => {
      const report = await step('destroy', true, () =>
        destroy(context, locator, { isLoggedOut, by, userId: meant.userId }),
      )
      destroyed += 1
      if (report.cache === 'unreachable') cache = 'unreachable'
    }
    const goOn = async (): Promise<void> => {
      let after: Pick<KeyListOptions, 'after'> = {}
      for (;;) {
        const { entries, next } = await step('list', false, () =>
          backend.listKeys({ ...meant, namespace, now: runtime.now(), limit: KEYS_AT_ONCE, ...after }),
        )
        const ended = await Promise.allSettled(
          entries.filter(({ key }) => key !== except).map((locator) => atOnce.run(() => end(locator))),
        )
        if (entries.length > 0) onProgress?.({ destroyed })
        for (const result of ended) if (result.status === 'rejected') throw result.reason
        if (next === undefined) return
        after = { after: next }
      }
    }
    try {
      await goOn()
    } catch (error) {
      if (!isSessionStoreError(error, 'E_ABORTED')) throw error
      // The step that was given up may have done nothing, but those before it have.
      throw destroyed > 0 || error.applied === 'unknown' ? butMayBeApplied(error) : butNotApplied(error)
    }
    return { destroyed, cache }
  }

  return {
    list: async ({ limit = 100, after, app, seenWithinMs, data: withData = true, newest: isNewest = false }, call) => {
      const looks = limiter(LOOKS_AT_ONCE)
      const seenSince = seenWithinMs === undefined ? undefined : runtime.now() - seenWithinMs
      // The backend hears of a use later than the cache does, so that older rows may be of sessions in use.
      const lateMs = isNewest ? Math.max(lag.changesMs, lag.usesMs) : 0
      const meant = which({ app, seenWithinMs: seenWithinMs === undefined ? undefined : seenWithinMs + lateMs })
      const isMeant = (info: SessionInfo<Data> | undefined): info is SessionInfo<Data> =>
        info !== undefined && (seenSince === undefined || info.seenAt === undefined || info.seenAt >= seenSince)
      const sessions: SessionInfo<Data>[] = []
      let asked = 0
      let bytes = 0
      let from = cursorOf(after)
      do {
        call.refuseIfLate()
        const part = await backend.list({
          ...meant,
          ...{ limit: limit - sessions.length, withData, maxBytes: PART_BYTES },
          ...(from === undefined ? {} : { after: from.key }),
        })
        asked += part.entries.length
        for (const entry of part.entries) if ('session' in entry) bytes += entry.session.data.byteLength
        const infos = isNewest
          ? await Promise.all(part.entries.map((entry) => looks.run(() => newest(entry, withData))))
          : part.entries.map((entry) => shown.ofListed(entry, withData))
        sessions.push(...infos.filter(isMeant))
        from = part.next === undefined ? undefined : { key: part.next }
        // The page is given while there is still time to give it.
      } while (
        from !== undefined &&
        sessions.length < limit &&
        (asked === 0 || (bytes < PAGE_BYTES && call.leftMs() > deadlineMs / 2))
      )
      shown.tellOfUnreadable(sessions)
      const next = from === undefined ? undefined : handleOf(from)
      // Not enumerable, so that whoever copies or compares a page has its sessions alone.
      return Object.defineProperties(sessions, {
        next: { value: next },
        lag: { value: lag },
      }) as unknown as SessionPage<Data>
    },
    count: async (countOptions) => await backend.count(which(countOptions)),
    activity: async ({ app, withinMs }) => {
      if (withinMs === undefined) throw invalidOption('withinMs', 'a whole number of milliseconds, from 1 on', withinMs)
      const meant = which({ app, seenWithinMs: withinMs })
      const [sessions, users] = await Promise.all([backend.count(meant), backend.countUsers(meant)])
      return { sessions, users, lag }
    },
    destroyEach,
    destroyAll: ({ app, by = 'operator', onProgress }, step) =>
      destroyEach(app === undefined ? {} : { app }, step, { by, onProgress }),
  }
}
