import { isSessionStoreError } from '../../errors.js'
import { clientOf } from '../../session/client.js'
import { sameBytes } from '../../session/sameness.js'
import { inTurns, isLarge, ownTurn } from '../../tools/turns.js'
import { changesIdleTime } from '../idle-ttl.js'
import { resolving, wantedOf } from '../protocol/resolve.js'
import { givenIdleTtl } from './call-options.js'
import type { Load } from './load.js'
import type { CallParts } from './parts.js'
import type { Saving } from './save.js'
import type { UpdateSteps } from './update.js'

/**
 * How long a change that was given to `update` may take at most, before other changes of the same session no longer
 * wait for it.
 */
const LONGEST_CHANGE_MS = 1_000

/** How `update` loads a session, stores what its changes have made of it, and starts anew. */
export const updateSteps = <Data>(
  { context, customs, writes, handles }: CallParts<Data>,
  load: Load<Data>,
  { adopting, newestOf, viewOf }: Pick<Saving<Data>, 'adopting' | 'newestOf' | 'viewOf'>,
): UpdateSteps<Data> => {
  const { runtime, options, values } = context
  return {
    runtime,
    load: (id, call) => load(id, { touch: false }, call),
    write: async (handle, { durable = false, idleTtlMs: asked, client: info }, tries, call, isOfSeveral) => {
      const idleTtlMs = givenIdleTtl(asked, options)
      const client = info && clientOf(info)
      if (isLarge(handle.base)) await ownTurn()
      const wanted = wantedOf(context, customs, handle.data)
      const newest = await newestOf(handle)
      const { locator, base, userId } = handle
      if (tries.doubt === undefined) {
        if (isOfSeveral && wanted.userId !== userId) return 'apart'
        const changes = durable || changesIdleTime(idleTtlMs, newest.envelope) || !sameBytes(viewOf(wanted), base)
        if (!changes) return 'stored'
      }
      const change = { basis: base, basisUser: userId, wanted, unmergedKeys: [] }
      const resolve = resolving(context, { ...customs, conflict: 'reject' }, change)
      try {
        const intent = { locator, base: newest, resolve, idleTtlMs, client, durable, tries, call }
        const adopted = inTurns(adopting(handle, wanted, await writes.write(intent)))
        if (adopted instanceof Promise) await adopted
        return 'stored'
      } catch (error) {
        if (isSessionStoreError(error, 'E_SESSION_CONFLICT')) return 'conflict'
        throw error
      }
    },
    fresh: (handle) => values.decode(handle.base) as Data,
    copierOf:
      ({ id, locator, newest, base, anchor, unflushedWriteId, userId }) =>
      () => {
        const copy = handles.make(id, locator, values.decode(base) as Data, newest, userId)
        copy.base = base
        copy.anchor = anchor
        copy.unflushedWriteId = unflushedWriteId
        return copy
      },
    maxAttempts: options.maxAttempts,
    patienceMs: Math.min(LONGEST_CHANGE_MS, options.deadlineMs / 4),
  }
}
