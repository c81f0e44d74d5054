import type { WriteId } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { Session } from '../../contract/session-store.js'
import type { EpochMs } from '../../contract/time.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import type { Encoded } from '../../session/sameness.js'
import type { Client } from '../../session/transitions.js'
import type { LiveCopy } from '../protocol/read.js'
import type { DoubtfulSave } from '../protocol/write.js'

/** A save that has not ended, and what the request held when it was called. */
export interface SaveInLine {
  readonly wanted: Encoded
  /** The copy from which its changes are found. It is known once the saves before it have ended. */
  basis: Encoded | undefined
  /** What `replaced` of the handle was when the save was called. */
  readonly replaced: number
  /** Whether the save was acknowledged. */
  isStored: boolean
}

/**
 * Gives the copy from which the changes of a call are found, once its turn has come.
 *
 * @param before the save that the call had to wait for. If that save was acknowledged, the copy is what the request held
 *   when it was called; otherwise it is the copy from which the changes of that save were found.
 */
export const basisOf = <Data>({ known }: Handle<Data>, before: SaveInLine | undefined): Encoded =>
  (before?.isStored === true ? before.wanted : before?.basis) ?? known

/**
 * A session as one request holds it.
 *
 * The changes of the request are the difference between `data` and the data of `base`, the copy that the request knows.
 * So `data`, `base` and `userId` change together, and only when something was acknowledged or is known to stand.
 * `newest` is what was found last in the tiers, which may be newer; the next compare-and-set is tried on it.
 */
export class Handle<Data> implements Session<Data> {
  readonly id: string
  declare readonly createdAt: EpochMs
  declare readonly seenAt: EpochMs
  declare readonly expiresAt: EpochMs
  declare readonly absoluteExpiresAt: EpochMs
  declare readonly idleTtlMs: number
  declare readonly reads: number
  declare readonly writes: number
  declare readonly app: string
  declare readonly address: string | undefined
  declare readonly userAgent: string | undefined
  readonly locator: Locator
  data: Data
  base: LiveEnvelope
  /** The user of `base`. */
  userId: string | undefined
  newest: LiveCopy
  /**
   * The data that the request held when it saved last, where that save merged in changes of others from which `data`
   * was to be kept free (`isolated`). Then the changes of the request are the difference between `data` and this.
   */
  held: Encoded | undefined
  /**
   * The data without those changes of this request that were acknowledged and are not known to be in the backend. These
   * changes are found by comparing with it, where the cache has lost them.
   */
  anchor: Encoded
  /** The id of the write that made the last of these changes; `undefined` where there are none. */
  unflushedWriteId: WriteId | undefined
  /** The saves of this request that rejected and may be in all the same, the oldest first. */
  doubtful: readonly DoubtfulSave[] = []
  /** What calls of this handle were told of the client, for its next write. */
  client: Client | undefined
  /** How often `data` has been replaced by what a save of this request stored. */
  replaced = 0
  /** The save of this handle that was called last, as long as it has not ended. */
  lastSave: SaveInLine | undefined
  /**
   * A touch, or a put of the new session into the cache, that is under way in the background. When it has ended, what
   * it stored is in `newest`.
   */
  beside: Promise<void> | undefined
  /** Resolves when all calls of this handle that were made so far have ended. */
  #ended: Promise<unknown> = Promise.resolve()

  constructor(id: string, locator: Locator, data: Data, newest: LiveCopy, userId: string | undefined) {
    this.id = id
    this.locator = locator
    this.data = data
    this.base = newest.envelope
    this.userId = userId
    this.newest = newest
    this.anchor = newest.envelope
    // What only the store needs of a handle must not show in a log, nor be copied along.
    for (const hidden of HIDDEN)
      Object.defineProperty(this, hidden, { value: this[hidden], enumerable: false, writable: true })
    Object.defineProperties(this, SHOWN)
  }

  /** The copy from which the changes of the request are found. */
  get known(): Encoded {
    return this.held ?? this.base
  }

  /** Runs the calls of one handle one after another, in the order in which they were made. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#ended.then(work)
    this.#ended = turn.catch(() => {})
    return turn
  }
}

/** What a handle shows of the session beside its data, and where that stands in an envelope. */
const FACTS = {
  ...{ createdAt: 'createdAt', seenAt: 'touchedAt', expiresAt: 'expiresAt', absoluteExpiresAt: 'absoluteExpiresAt' },
  ...{ idleTtlMs: 'idleTtlMs', reads: 'reads', writes: 'writes' },
  ...{ app: 'app', address: 'address', userAgent: 'userAgent' },
} as const satisfies Readonly<Record<Exclude<keyof Session, 'id' | 'data'>, keyof LiveEnvelope>>

/**
 * These facts, as in what was found last. They are properties of the handle itself, so that a copy of it (`{ ...session }`)
 * has them, as they stood when the copy was made.
 */
const SHOWN: PropertyDescriptorMap = Object.fromEntries(
  Object.entries(FACTS).map(([name, field]) => [
    name,
    {
      enumerable: true,
      get(this: Handle<unknown>): number | string | undefined {
        return this.newest.envelope[field]
      },
    },
  ]),
)

const HIDDEN = [
  'locator',
  'base',
  'userId',
  'newest',
  'held',
  'anchor',
  'unflushedWriteId',
  'doubtful',
  'replaced',
  'lastSave',
  'client',
  'beside',
] as const
