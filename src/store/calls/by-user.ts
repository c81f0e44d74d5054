import type { ListOptions } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type {
  DestroyManyReport,
  EndedBy,
  ListByUserOptions,
  SessionInfo,
  UserExport,
} from '../../contract/session-store.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { limiter } from '../../tools/limiter.js'
import { type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import { destroyedMeanwhile } from '../context.js'
import { keeping } from '../protocol/resolve.js'
import { noTries } from '../protocol/write.js'
import type { Call } from './call.js'
import { type Listing, PART_BYTES, type Step } from './listing.js'
import { LOOKS_AT_ONCE, type Newest } from './newest.js'
import type { CallParts } from './parts.js'
import type { Showing } from './shown.js'

/** How many sessions are asked for at once. */
const SESSIONS_AT_ONCE = 100
const PAUSES: Pauses = { firstMs: 2, longestMs: 100 }

/** The calls about the sessions of one user. */
export interface ByUser<Data> {
  list(userId: string, options: ListByUserOptions, step: Step): AsyncGenerator<SessionInfo<Data>, void, undefined>
  count(userId: string): Promise<number>
  destroy(userId: string, except: Locator | undefined, by: EndedBy, step: Step): Promise<DestroyManyReport>
  export(userId: string, step: Step): Promise<UserExport<Data>>
}

/**
 * The name of a user, as `identify` may give it.
 *
 * @throws SessionStoreError `E_CONFIG`, without the text
 */
export const checkedUserId = (userId: unknown): string => {
  if (typeof userId === 'string' && userId !== '') return userId
  if (typeof userId === 'number' && Number.isFinite(userId)) return String(userId)
  throw new SessionStoreError('E_CONFIG', 'Expected the id of a user, as `identify` gives it: a text or a number', {
    applied: 'no',
  })
}

export const byUser = <Data>(
  { context, writes, queue }: Pick<CallParts<Data>, 'context' | 'writes' | 'queue'>,
  listed: Listing<Data>,
  shown: Showing<Data>,
  newest: Newest<Data>,
): ByUser<Data> => {
  const { runtime, backend, audit, options } = context
  const { namespace } = options

  /** A session that has become another's is none of this user's. One that cannot be read does not tell whose it is. */
  const isHis = (info: SessionInfo<Data> | undefined, userId: string): info is SessionInfo<Data> =>
    info !== undefined && (info.error !== undefined || info.userId === userId)

  const list: ByUser<Data>['list'] = async function* (userId, { data: withData = false }, step) {
    const atOnce = limiter(LOOKS_AT_ONCE)
    let after: Pick<ListOptions, 'after'> = {}
    const { record } = await step('list', false, () => backend.readUser({ namespace, userId }))
    for (;;) {
      const { page, next } = await step('list', false, async () => {
        const part = await backend.list({
          ...{ namespace, userId, now: runtime.now(), limit: SESSIONS_AT_ONCE, withData, maxBytes: PART_BYTES },
          ...after,
        })
        // A row from before the user was logged out everywhere may still stand there, and is no session any more.
        const entries = part.entries.filter((entry) => 'unreadable' in entry || entry.session.userEpoch >= record.epoch)
        const looks = entries.map((entry) => atOnce.run(() => newest(entry, withData)))
        return { page: (await Promise.all(looks)).filter((info) => isHis(info, userId)), next: part.next }
      })
      shown.tellOfUnreadable(page)
      yield* page
      if (next === undefined) return
      after = { after: next }
    }
  }

  /**
   * Raises the epoch of a user, so that every session of his that is written later under the one before has ended. The
   * session that is to stay is written first, under the epoch that is to come.
   */
  const raise = async (userId: string, except: Locator | undefined, step: Step): Promise<void> => {
    const user = { namespace, userId }
    for (let attempt = 0; ; attempt += 1) {
      const written = await step('destroy', true, async (call) => {
        if (attempt > 0) await sleep(runtime, pauseAfter(runtime, PAUSES, attempt))
        call.refuseIfLate()
        const { record, token } = await backend.readUser(user)
        const epoch = record.epoch + 1
        if (except !== undefined) await restamp(except, userId, epoch, call)
        call.refuseIfLate()
        // Who has a seat now is looked up by the next login: another call may have written sessions that are to stay under
        // this epoch.
        return await backend.writeUser(user, { epoch, seats: undefined }, token)
      })
      if (written === 'written') return
    }
  }

  /** Writes the session that is to stay under another epoch. Nothing is done where it is not this user's, or is gone. */
  const restamp = async (locator: Locator, userId: string, userEpoch: number, call: Call): Promise<void> => {
    const keep = keeping(context)
    const resolve: typeof keep = function* (current, basis) {
      const resolved = yield* keep(current, basis)
      if (resolved.userId !== userId) throw destroyedMeanwhile() // for this user it is not there
      return resolved
    }
    const intent = { locator, base: undefined, resolve, idleTtlMs: undefined, durable: true, userEpoch, call }
    try {
      await queue.run(locator.key, () => writes.write({ ...intent, tries: noTries(runtime) }))
    } catch (error) {
      if (!isSessionStoreError(error, 'E_SESSION_DESTROYED')) throw error
    }
  }

  return {
    list,
    count: async (userId) => await backend.count({ namespace, userId, now: runtime.now() }),
    destroy: async (userId, except, by, step) => {
      const happened = { action: 'logged-out-everywhere', by, user: userId } as const
      try {
        await raise(userId, except, step)
      } catch (error) {
        if (isSessionStoreError(error) && error.applied === 'unknown')
          audit.ofMany({ ...happened, outcome: 'unknown', code: error.code })
        throw error
      }
      audit.ofMany({ ...happened, outcome: 'done' })
      return await listed.destroyEach({ userId }, step, { by, except: except?.key, isLoggedOut: true })
    },
    export: async (userId, step) => {
      const exportedAt = runtime.now()
      const sessions: SessionInfo<Data>[] = []
      for await (const session of list(userId, { data: true }, step)) sessions.push(session)
      return { userId, exportedAt, sessions }
    },
  }
}
