import type { Locator } from '../../contract/locator.js'
import type { Session } from '../../contract/session-store.js'
import type { Context } from '../context.js'
import type { LiveCopy } from '../protocol/read.js'
import { Handle } from './handle.js'

/** The handles that one store gives out to its users, and takes back. */
export interface Handles<Data> {
  /** A handle that the store's user is given, and may pass to other calls of this store. */
  give(handle: Handle<Data>): Handle<Data>
  /** A handle of what was read of a session. */
  open(id: string, locator: Locator, newest: LiveCopy): Handle<Data>
  /**
   * The handle behind a session that the user passes to a call.
   *
   * @throws TypeError where it is not one that this store gave out
   */
  mine(session: Session<Data>): Handle<Data>
  /**
   * Runs work beside the answer. A save of the same handle waits for it, and uses what it found to stand; `undefined`:
   * it found nothing new.
   */
  beside(handle: Handle<Data>, operation: string, work: () => Promise<LiveCopy | undefined>): void
}

/** Whether a call was given a session; if not, it was given an id, or what is neither. */
export const isSession = <Data>(given: Session<Data> | string): given is Session<Data> =>
  typeof given === 'object' && given !== null && 'id' in given

export const handlesOf = <Data>({ values, background }: Context): Handles<Data> => {
  const given = new WeakSet<object>()

  const give = (handle: Handle<Data>): Handle<Data> => {
    given.add(handle)
    return handle
  }
  return {
    give,
    open: (id, locator, newest) => {
      const data = values.decode(newest.envelope) as Data
      return give(new Handle(id, locator, data, newest, values.userOf(data)))
    },
    mine: (session) => {
      if (session instanceof Handle && given.has(session)) return session as Handle<Data>
      throw new TypeError('Expected a session that this store gave out, by create, load, update, put or regenerate')
    },
    beside: (handle, operation, work) => {
      const running = (async () => {
        const now = await work()
        if (now !== undefined) handle.newest = now
      })()
      handle.beside = running.catch(() => {})
      background.run(operation, () => running)
    },
  }
}
