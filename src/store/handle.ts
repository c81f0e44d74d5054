import type { Locator } from '../contract/locator.js'
import type { Session } from '../contract/session-store.js'
import type { EpochMs } from '../contract/time.js'
import type { LiveEnvelope } from '../session/envelope.js'
import type { Live } from './read.js'

/** The bytes of a session's data, and who wrote them. */
export interface View {
  readonly codecId: number
  readonly data: Uint8Array
}

/**
 * A session as one request holds it.
 *
 * `seen` is what is known to stand in the tiers; `view` is the data as the request saw it last. They part when
 * a write of another is known of but not shown to the request; the difference to `view` is what the request
 * changed.
 */
export class Handle<Data> implements Session<Data> {
  readonly id: string
  readonly locator: Locator
  data: Data
  seen: Live
  view: View
  /** The user when the data was seen last. */
  userId: string | undefined
  /** A touch or a placing in the cache that is under way beside the answer; what it stored is in `seen` after. */
  beside: Promise<void> | undefined

  constructor(id: string, locator: Locator, data: Data, seen: Live, userId: string | undefined) {
    this.id = id
    this.locator = locator
    this.data = data
    this.seen = seen
    this.view = seen.envelope
    this.userId = userId
    // What the store needs of a handle is nobody else's: it must not show in a log or be copied along.
    for (const hidden of ['locator', 'seen', 'view', 'userId', 'beside'] as const)
      Object.defineProperty(this, hidden, { value: this[hidden], enumerable: false, writable: true })
  }

  get createdAt(): EpochMs {
    return this.#envelope.createdAt
  }
  get expiresAt(): EpochMs {
    return this.#envelope.expiresAt
  }
  get absoluteExpiresAt(): EpochMs {
    return this.#envelope.absoluteExpiresAt
  }
  get idleTtlMs(): number {
    return this.#envelope.idleTtlMs
  }
  get #envelope(): LiveEnvelope {
    return this.seen.envelope
  }
}
