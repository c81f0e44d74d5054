import type { Locator } from '../../contract/locator.js'
import { checkedId } from '../../session/id.js'
import { locate } from '../../session/key.js'
import type { KeyedQueue } from '../../tools/keyed-queue.js'
import type { Context } from '../context.js'
import type { DueFlushes } from '../owed/due-flushes.js'
import type { Flushing } from '../protocol/flush.js'
import type { Reading } from '../protocol/read.js'
import type { Customs } from '../protocol/resolve.js'
import type { Writing } from '../protocol/write.js'
import type { Handles } from './handles.js'

/** What the calls of a store are made of: the steps of the protocol, and what these calls have in common. */
export interface CallParts<Data> {
  readonly context: Context
  readonly customs: Customs<Data>
  readonly reads: Reading
  readonly writes: Writing
  readonly flushes: Flushing
  readonly due: DueFlushes
  readonly handles: Handles<Data>
  /** The changes of one session follow each other here, also where they come from several handles. */
  readonly queue: KeyedQueue
}

/**
 * Where the tiers keep the session of an id.
 *
 * @throws SessionStoreError `E_INVALID_ID`
 */
export const locatorOf = ({ options }: Context, id: unknown): Locator => locate(options.namespace, checkedId(id))
