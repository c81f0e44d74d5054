import type { Codec } from '../../contract/codec.js'
import type { LegacySession } from '../../contract/legacy.js'
import type { Session } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { LEAST_IDLE_TTL_MS } from '../../session/expiry.js'
import type { StoreOptions } from '../../store/options.js'
import type { CarriedStore } from '../../store/tiers/legacy-tier.js'
import { limiter } from '../../tools/limiter.js'
import { sleep } from '../../tools/waiting.js'
import type { Sessions } from '../configuration.js'
import { isUnknown } from './compare.js'
import type { Reasons } from './reasons.js'
import type { Item, Source } from './source.js'

/** What became of the sessions of a source. */
export interface Counts {
  /** How many the source was found to have. */
  readonly found: number
  /** Sessions that were not here, and are now. */
  readonly carried: number
  /** Sessions that were here as they were copied before, and that the source had changed since. */
  readonly updated: number
  /** Sessions that are here already, and were left as they are. */
  readonly here: number
  /** Sessions that have ended: in the source, here, or by what is known here of their user. */
  readonly ended: number
  /** What could not be carried. */
  readonly refused: number
}

export const NO_COUNTS: Counts = { found: 0, carried: 0, updated: 0, here: 0, ended: 0, refused: 0 }

type Outcome = Exclude<keyof Counts, 'found'>

/** How many sessions are carried at once. */
const AT_ONCE = 16

/** The codes of what is wrong with one session alone. Whatever else fails ends the import, which can be gone on with. */
const OF_ONE_SESSION: ReadonlySet<string> = new Set([
  'E_SESSION_DATA',
  'E_SESSION_TOO_LARGE',
  'E_INVALID_ID',
  'E_SESSION_LIMIT',
  'E_SESSION_CONFLICT',
])

/** A session to be carried, and whether the store has asked for it: it does so if neither tier knows the id. */
interface Pending {
  readonly session: LegacySession
  isAsked: boolean
}

/**
 * The old store that an import gives to the session store: it has the sessions that are just being carried. So each of them
 * is taken over as in a change-over: durably, once, and never over what stands here or was ended here.
 */
export class Carrier implements CarriedStore {
  readonly isCarried = true
  readonly #pending = new Map<string, Pending>()

  /**
   * The options of the store to which it carries. No session of this store gives way to one that is brought, and no change
   * that somebody makes here at the same moment.
   */
  optionsOf<Data>(said: StoreOptions<Data>): StoreOptions<Data> {
    return { ...said, onTooManySessions: 'refuse', conflict: 'reject', legacy: this }
  }

  async get(id: string): Promise<LegacySession | undefined> {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    pending.isAsked = true
    return pending.session
  }

  /** What the source has it keeps. */
  async destroy(): Promise<void> {}

  /** Carries one session. Rejects where it cannot be stored, and where the tiers could not be asked. */
  async carry(sessions: Sessions, id: string, given: LegacySession): Promise<Exclude<Outcome, 'refused'>> {
    const session = wellFormed(given)
    const pending: Pending = { session, isAsked: false }
    this.#pending.set(id, pending)
    try {
      const stands = await sessions.load(id, { touch: false, verified: true })
      if (pending.isAsked) return stands === undefined ? 'ended' : 'carried'
      if (stands === undefined) {
        if (isUnknown(await sessions.inspect(sessions.handleOf(id)))) throw notAsked()
        return 'ended'
      }
      return isOutdated(stands, session) ? await updated(sessions, stands, session) : 'here'
    } finally {
      this.#pending.delete(id)
    }
  }
}

/** Nothing was taken over, although nothing that is known here of the session says why. */
const notAsked = (): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', 'others were at work on it; run the import again', { applied: 'no' })

/** Brings a copy up to date. Whoever changes or ends the session here at the same moment goes first. */
const updated = async (
  sessions: Sessions,
  stands: Session,
  { data }: LegacySession,
): Promise<Outcome & ('updated' | 'here' | 'ended')> => {
  stands.data = data as Record<string, unknown>
  try {
    await sessions.save(stands, { durable: true })
    return 'updated'
  } catch (error) {
    if (isSessionStoreError(error, 'E_SESSION_CONFLICT')) return 'here'
    if (isSessionStoreError(error, 'E_SESSION_DESTROYED')) return 'ended'
    throw error
  }
}

const wellFormed = ({ idleTtlMs, ...session }: LegacySession): LegacySession =>
  idleTtlMs === undefined ? session : { ...session, idleTtlMs: Math.max(LEAST_IDLE_TTL_MS, Math.ceil(idleTtlMs)) }

/** Sources write down a use to the second. */
const EXACT_TO_MS = 1_000

/**
 * Whether what stands here is an older copy of the session in the source, which nobody has changed here since. What an import
 * wrote does not count among the writes.
 */
const isOutdated = (stands: Session, { seenAt }: LegacySession): boolean =>
  stands.writes === 1 && seenAt !== undefined && seenAt > stands.seenAt + EXACT_TO_MS

export interface CopyOptions {
  readonly sessions: Sessions
  readonly carrier: Carrier
  readonly source: Source
  readonly reasons: Reasons
  readonly runtime: Runtime
  /** Nothing is stored: only what would be is counted. */
  readonly isDry: boolean
  /** By which the data of a dry run is tried. */
  readonly codec: Codec
  readonly maxSessionBytes: number
  /** At most so many a second; `undefined`: as many as there is room for. */
  readonly rate: number | undefined
  readonly from: string | undefined
  readonly counts: Counts
  readonly signal: AbortSignal
  /** Called after each part with what was done by then, and where the next one begins. */
  readonly onPart: (counts: Counts, resumeAt: string | undefined) => Promise<void>
  readonly onItem: (counts: Counts) => void
}

/** Copies what a source has, part by part. An interruption ends it within the part, which is then begun again. */
export const copy = async (options: CopyOptions): Promise<{ readonly counts: Counts; readonly isDone: boolean }> => {
  const { source, runtime, rate, signal } = options
  const pace = paceOf(runtime, rate)
  const { run } = limiter(AT_ONCE)
  let counts = options.counts
  let after = options.from
  for (;;) {
    const { items, next, resumeAt } = await source.page(after)
    let reached = counts
    const work = items.map((item) =>
      run(async () => {
        if (signal.aborted) return
        await pace()
        const outcome = await outcomeOf(options, item)
        reached = { ...reached, found: reached.found + 1, [outcome]: reached[outcome] + 1 }
        options.onItem(reached)
      }),
    )
    // All of a part have ended before its failure is told: nothing goes on behind it.
    const failed = (await Promise.allSettled(work)).find((settled) => settled.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    if (signal.aborted) return { counts: reached, isDone: false }
    counts = reached
    await options.onPart(counts, resumeAt)
    if (next === undefined) return { counts, isDone: true }
    after = next
  }
}

const outcomeOf = async (options: CopyOptions, item: Item): Promise<Outcome> => {
  const { sessions, carrier, reasons, isDry } = options
  if ('ended' in item) return 'ended'
  if ('unreadable' in item) {
    reasons.add({ because: item.unreadable })
    return 'refused'
  }
  try {
    return isDry ? await foreseen(options, item) : await carrier.carry(sessions, item.id, item.session)
  } catch (error) {
    if (!isSessionStoreError(error) || !OF_ONE_SESSION.has(error.code)) throw error
    reasons.add({ because: error.message, path: error.path, handle: handleOf(sessions, item.id) })
    return 'refused'
  }
}

/** The handle of a session; `undefined` for what can be no id. */
const handleOf = (sessions: Sessions, id: string): string | undefined => {
  try {
    return sessions.handleOf(id)
  } catch {
    return undefined
  }
}

const foreseen = async (
  { sessions, codec, maxSessionBytes }: CopyOptions,
  { id, session }: Extract<Item, { readonly id: string }>,
): Promise<Outcome> => {
  const found = await sessions.inspect(sessions.handleOf(id))
  if (!isUnknown(found)) return found?.session === undefined ? 'ended' : 'here'
  codec.encode(session.data, { maxBytes: maxSessionBytes })
  return 'carried'
}

/** Waits until the next session may be begun. */
const paceOf = (runtime: Runtime, rate: number | undefined): (() => Promise<void>) => {
  if (rate === undefined) return async () => {}
  let nextAtMs = runtime.monotonicMs()
  return async () => {
    const now = runtime.monotonicMs()
    const atMs = Math.max(now, nextAtMs)
    nextAtMs = atMs + 1_000 / rate
    if (atMs > now) await sleep(runtime, atMs - now)
  }
}
