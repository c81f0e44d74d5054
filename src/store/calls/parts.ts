import type { Locator } from '../../contract/locator.js'
import { SessionStoreError } from '../../errors.js'
import { checkedId } from '../../session/id.js'
import { isKeyOf, locate } from '../../session/key.js'
import { isHandle } from '../../session/public-handle.js'
import type { KeyedQueue } from '../../tools/keyed-queue.js'
import type { Context } from '../context.js'
import type { DueFlushes } from '../owed/due-flushes.js'
import type { Flushing } from '../protocol/flush.js'
import type { Reading } from '../protocol/read.js'
import type { Customs } from '../protocol/resolve.js'
import type { Writing } from '../protocol/write.js'
import type { Handles } from './handles.js'

/** What the calls of a store work with: the steps of the protocol, and what these calls share. */
export interface CallParts<Data> {
  readonly context: Context
  readonly customs: Customs<Data>
  readonly reads: Reading
  readonly writes: Writing
  readonly flushes: Flushing
  readonly due: DueFlushes
  readonly handles: Handles<Data>
  /** The queue in which the changes of one session follow each other, even where they come from several handles. */
  readonly queue: KeyedQueue
}

/**
 * Where the tiers keep the session of an id. A handle is refused, and so is what looks like a key of this store's
 * sessions: who took one for an id would be told that there is no such session, or that it is destroyed.
 *
 * @throws SessionStoreError `E_INVALID_ID`
 */
export const locatorOf = ({ options: { namespace } }: Context, given: unknown): Locator => {
  const id = checkedId(given)
  if (isHandle(id) || isKeyOf(namespace, id)) throw handleForId()
  return locate(namespace, id)
}

const handleForId = (): SessionStoreError =>
  new SessionStoreError(
    'E_INVALID_ID',
    'Expected a session id, got a handle such as `list` gives, or a key: use `inspect` or `destroyByHandle`',
  )
