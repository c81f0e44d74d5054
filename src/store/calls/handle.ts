import type { WriteId } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { Session } from '../../contract/session-store.js'
import type { EpochMs } from '../../contract/time.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import type { Encoded } from '../../session/sameness.js'
import type { Client } from '../../session/transitions.js'
import type { LiveCopy } from '../protocol/read.js'
import type { DoubtfulSave } from '../protocol/write.js'
import { type Edition, firstEdition, type SaveInLine } from './editions.js'

/**
 * A session as one request holds it.
 *
 * The changes of the request are the difference between `data` and the data of `base`, the copy that the request knows.
 * So `data`, `base` and `userId` change together, and only when something was acknowledged or is known to stand.
 * `newest` is what was found last in the tiers, which may be newer; the next compare-and-set is tried on it.
 *
 * What only the store needs of a handle are accessors of its class, which neither show in a log nor are copied along. The
 * facts that it shows are properties of its own, so that a copy of it (`{ ...session }`) has them as they stood.
 */
export class Handle<Data> implements Session<Data> {
  readonly id: string
  data: Data
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
  readonly #locator: Locator
  /** The handles of the store that made it. */
  readonly #givenBy: object
  #newest: LiveCopy
  accessor base: LiveEnvelope
  /** The user of `base`. */
  accessor userId: string | undefined
  /**
   * The data that the request held when it saved last, where that save merged in changes of others from which `data`
   * was to be kept free (`isolated`). Then the changes of the request are the difference between `data` and this.
   */
  accessor held: Encoded | undefined
  /**
   * The data without those changes of this request that were acknowledged and are not known to be in the backend. These
   * changes are found by comparing with it, where the cache has lost them.
   */
  accessor anchor: Encoded
  /** The id of the write that made the last of these changes; `undefined` where there are none. */
  accessor unflushedWriteId: WriteId | undefined
  /** The saves of this request that rejected and may be in all the same, the oldest first. */
  accessor doubtful: readonly DoubtfulSave[] = NONE
  /** What calls of this handle were told of the client, for its next write. */
  accessor client: Client | undefined
  /** Which edition `data` is. */
  accessor edition: Edition = firstEdition()
  /** The save of this handle that was called last, as long as it has not ended. */
  accessor lastSave: SaveInLine | undefined
  /**
   * A touch, or a put of the new session into the cache, that is under way in the background. When it has ended, what
   * it stored is in `newest`.
   */
  accessor beside: Promise<void> | undefined
  /** Resolves when all calls of this handle that were made so far have ended. */
  #ended: Promise<unknown> | undefined

  constructor(givenBy: object, id: string, locator: Locator, data: Data, newest: LiveCopy, userId: string | undefined) {
    this.id = id
    this.data = data
    this.#givenBy = givenBy
    this.#locator = locator
    this.#newest = newest
    this.base = newest.envelope
    this.userId = userId
    this.anchor = newest.envelope
    show(this, newest.envelope)
  }

  /** Whether it is a handle that was made for `givenBy`. */
  static isGivenBy(givenBy: object, session: object): boolean {
    return #givenBy in session && session.#givenBy === givenBy
  }

  get locator(): Locator {
    return this.#locator
  }

  get newest(): LiveCopy {
    return this.#newest
  }

  set newest(newest: LiveCopy) {
    this.#newest = newest
    show(this, newest.envelope)
  }

  /** The copy from which the changes of the request are found. */
  get known(): Encoded {
    return this.held ?? this.base
  }

  /** Runs the calls of one handle one after another, in the order in which they were made. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#ended === undefined ? work() : this.#ended.then(work)
    this.#ended = turn.catch(() => {})
    return turn
  }
}

const NONE: readonly DoubtfulSave[] = []

/** Puts the facts of an envelope into what a handle shows of the session beside its data. */
const show = (
  handle: { -readonly [Fact in Exclude<keyof Session, 'data'>]: Session[Fact] },
  envelope: LiveEnvelope,
): void => {
  handle.createdAt = envelope.createdAt
  handle.seenAt = envelope.touchedAt
  handle.expiresAt = envelope.expiresAt
  handle.absoluteExpiresAt = envelope.absoluteExpiresAt
  handle.idleTtlMs = envelope.idleTtlMs
  handle.reads = envelope.reads
  handle.writes = envelope.writes
  handle.app = envelope.app
  handle.address = envelope.address
  handle.userAgent = envelope.userAgent
}
