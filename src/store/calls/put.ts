import type { Locator } from '../../contract/locator.js'
import type { WriteOptions } from '../../contract/session-store.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { clientOf } from '../../session/client.js'
import { inTurns } from '../../tools/turns.js'
import { destroyedMeanwhile } from '../context.js'
import type { Standing } from '../protocol/read.js'
import { overwriting, ownCopyOf, wantedOf } from '../protocol/resolve.js'
import { noTries } from '../protocol/write.js'
import type { Call } from './call.js'
import { givenIdleTtl } from './call-options.js'
import type { CreateUnder } from './create.js'
import type { Handle } from './handle.js'
import { type CallParts, locatorOf } from './parts.js'
import type { Saving } from './save.js'

export type Put<Data> = (id: string, data: Data, options: WriteOptions, call: Call) => Promise<Handle<Data>>

/** Stores data under an id, whether a session stands there or not. */
export const putting = <Data>(
  { context, customs, reads, writes, handles, queue }: CallParts<Data>,
  createUnder: CreateUnder<Data>,
  { adopting }: Pick<Saving<Data>, 'adopting'>,
): Put<Data> => {
  const { runtime, options } = context

  /**
   * Gives what stands there. A put has to know that only to write over it. So where nobody can be asked, it tries to
   * create the session.
   */
  const standing = (id: string, locator: Locator, call: Call): Promise<Standing> =>
    reads.observe(locator, 'reader', call, id).catch((error: unknown) => {
      if (
        !isSessionStoreError(error, 'E_SESSION_UNAVAILABLE') ||
        call.isLate() ||
        options.policy.persistOn === 'create'
      )
        throw error
      return { state: 'none', because: 'absent' }
    })

  return async (id, data, saveOptions, call) => {
    const locator = locatorOf(context, id)
    const idleTtlMs = givenIdleTtl(saveOptions.idleTtlMs, options)
    const { durable = false } = saveOptions
    const client = saveOptions.client && clientOf(saveOptions.client)
    const wanted = wantedOf(context, customs, data)
    const tries = noTries(runtime)
    for (let attempt = 0; attempt < options.maxAttempts; attempt += 1) {
      const found = await standing(id, locator, call)
      if (found.state === 'none' && found.because === 'destroyed') throw destroyedMeanwhile()
      try {
        if (found.state === 'none') {
          const { mark } = found
          return await createUnder(id, wanted, { durable, idleTtlMs, client, mark }, call)
        }
        const own = await ownCopyOf<Data>(context, wanted)
        const resolve = overwriting(context, wanted)
        const written = await queue.run(locator.key, async () => {
          call.refuseIfLate()
          return await writes.write({ locator, base: found, resolve, idleTtlMs, client, durable, tries, call })
        })
        const handle = handles.make(id, locator, own, written.now, wanted.userId)
        const adopted = inTurns(adopting(handle, wanted, written))
        if (adopted instanceof Promise) await adopted
        return handle
      } catch (error) {
        // Somebody else created the session in between, so the next attempt writes over it.
        if (!(found.state === 'none' && isSessionStoreError(error, 'E_SESSION_CONFLICT'))) throw error
      }
    }
    throw new SessionStoreError('E_SESSION_CONFLICT', 'The session could not be put', { applied: 'no' })
  }
}
