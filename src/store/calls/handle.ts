import type { WriteId } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { Session } from '../../contract/session-store.js'
import type { EpochMs } from '../../contract/time.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import type { LiveCopy } from '../protocol/read.js'
import type { DoubtfulSave, View } from '../protocol/write.js'

/** A save that has not ended, and what the request held when it was called. */
export interface SaveInLine {
  readonly wanted: View
  /** What its changes are told from: known once the saves before it have ended. */
  basis: View | undefined
  /** Whether it was acknowledged. */
  isStored: boolean
}

/**
 * A session as one request holds it.
 *
 * The request's changes are the difference between `data` and the data of `base`, the copy that the request knows of.
 * `data`, `base` and `userId` therefore change together, and only when something was acknowledged, or is known to
 * stand. `newest` may be newer: it is what was met last in the tiers, for the next compare-and-set to be tried on.
 */
export class Handle<Data> implements Session<Data> {
  readonly id: string
  declare readonly createdAt: EpochMs
  declare readonly expiresAt: EpochMs
  declare readonly absoluteExpiresAt: EpochMs
  declare readonly idleTtlMs: number
  readonly locator: Locator
  data: Data
  base: LiveEnvelope
  /** The user of `base`. */
  userId: string | undefined
  newest: LiveCopy
  /**
   * What the request held when it saved last, where that save merged in others' changes that `data` was to be kept free
   * of (`isolated`): then the request's changes are the difference between `data` and this.
   */
  held: View | undefined
  /**
   * The data without those changes of this request that were acknowledged and are not known to be in the backend: what
   * they are told from where the cache has lost them.
   */
  anchor: View
  /** The write id of the last of these changes; `undefined` where there is none. */
  unflushedWriteId: WriteId | undefined
  /** The saves of this request that rejected, and of which nobody can tell yet whether they are in; oldest first. */
  doubtful: readonly DoubtfulSave[] = []
  /** The save of this handle that was called last, while it has not ended. */
  lastSave: SaveInLine | undefined
  /** A touch or a placing in the cache that is under way beside the answer; what it stored is in `newest` after. */
  beside: Promise<void> | undefined
  /** Resolves when the calls of this handle that were made so far have ended. */
  #ended: Promise<unknown> = Promise.resolve()

  constructor(id: string, locator: Locator, data: Data, newest: LiveCopy, userId: string | undefined) {
    this.id = id
    this.locator = locator
    this.data = data
    this.base = newest.envelope
    this.userId = userId
    this.newest = newest
    this.anchor = newest.envelope
    // What the store needs of a handle is nobody else's: it must not show in a log or be copied along.
    for (const hidden of HIDDEN)
      Object.defineProperty(this, hidden, { value: this[hidden], enumerable: false, writable: true })
    Object.defineProperties(this, LIFE)
  }

  /** The copy that the request's changes are told from. */
  get known(): View {
    return this.held ?? this.base
  }

  /** Runs the calls of one handle one after another, in the order in which they were made. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#ended.then(work)
    this.#ended = turn.catch(() => {})
    return turn
  }
}

/**
 * The moments of a session's life are those of what was met last. They are properties of the handle itself, so that a
 * copy of it (`{ ...session }`) has them, as they stood when the copy was made.
 */
const LIFE: PropertyDescriptorMap = Object.fromEntries(
  (['createdAt', 'expiresAt', 'absoluteExpiresAt', 'idleTtlMs'] as const).map((name) => [
    name,
    {
      enumerable: true,
      get(this: Handle<unknown>): number {
        return this.newest.envelope[name]
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
  'lastSave',
  'beside',
] as const
