import type { ReadyOptions, StoreHealth } from '../../contract/session-store.js'
import { aborted, isSessionStoreError, SessionStoreError } from '../../errors.js'
import { sessionIdFrom } from '../../session/id.js'
import { unlessAborted } from '../../tools/signals.js'
import { sleep, within } from '../../tools/waiting.js'
import { type Context, isUnavailable } from '../context.js'
import { checkCallOptions, NO_OPTIONS } from './call-options.js'
import type { Entrance } from './entrance.js'
import { health } from './health.js'
import { locatorOf } from './parts.js'

/** How long the pause is before the tiers are asked again. */
const PAUSE_MS = 250

/**
 * Waits until both tiers answer and the backend can be read. A missing schema, or one of another release, shows in that
 * read.
 */
export const readiness = (
  context: Context,
  { refuseIfShut }: Pick<Entrance, 'refuseIfShut'>,
): ((options?: ReadyOptions) => Promise<StoreHealth>) => {
  const { runtime, backend, options } = context

  /**
   * Looks once.
   *
   * @throws SessionStoreError that says why the store cannot serve sessions now
   */
  const look = async (): Promise<StoreHealth> => {
    refuseIfShut()
    // Nobody has this id. All that counts is whether the backend can look for it.
    const locator = locatorOf(context, sessionIdFrom(runtime.now(), runtime.randomBytes(32)))
    const reading = backend.read(locator).then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const [found, failed] = await Promise.all([health(context), reading])
    if (failed !== undefined && !isUnavailable(failed.error)) throw failed.error
    const reasons = [found.cache, found.backend]
      .filter(({ state }) => state === 'down')
      .map(({ tier, reason }) => `${tier} is down${reason === undefined ? '' : ` (${reason})`}`)
    if (reasons.length === 0 && failed !== undefined && isSessionStoreError(failed.error))
      reasons.push(failed.error.message)
    if (reasons.length > 0) throw notReady(reasons.join('; '), failed?.error)
    return found
  }

  return async (readyOptions = NO_OPTIONS) => {
    checkCallOptions('ready', readyOptions)
    const { deadlineMs = options.deadlineMs, signal } = readyOptions
    if (signal?.aborted === true) throw aborted('ready', signal)
    const endsAt = runtime.monotonicMs() + deadlineMs
    let last = notReady(`its tiers did not answer within ${deadlineMs} ms`, undefined)
    let isOver = false
    const lookUntilReady = async (): Promise<StoreHealth> => {
      for (;;) {
        try {
          return await look()
        } catch (error) {
          if (!isSessionStoreError(error, 'E_SESSION_UNAVAILABLE')) throw error
          last = error
        }
        if (isOver || runtime.monotonicMs() + PAUSE_MS >= endsAt) throw last
        await sleep(runtime, PAUSE_MS)
      }
    }
    // A program may await this call before anything else keeps the process alive.
    const letDie = runtime.keepAlive?.()
    try {
      const ready = within(runtime, deadlineMs, lookUntilReady(), () => last)
      return await (signal === undefined ? ready : unlessAborted(signal, ready, () => aborted('ready', signal)))
    } finally {
      isOver = true
      letDie?.()
    }
  }
}

const notReady = (reasons: string, cause: unknown): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_UNAVAILABLE',
    `The session store is not ready: ${reasons}. Check whether the servers run, their addresses and the credentials`,
    { operation: 'ready', ...(cause === undefined ? {} : { cause }) },
  )
