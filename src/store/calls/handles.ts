import type { Locator } from '../../contract/locator.js'
import type { Session } from '../../contract/session-store.js'
import type { Context } from '../context.js'
import type { LiveCopy } from '../protocol/read.js'
import { Handle } from './handle.js'

/** The handles that one store gives to its users, and that they pass back to it. */
export interface Handles<Data> {
  /** Makes a handle for the user of this store, who may pass it to other calls of it. */
  make(id: string, locator: Locator, data: Data, newest: LiveCopy, userId: string | undefined): Handle<Data>
  /** Makes a handle of a session that was read. */
  open(id: string, locator: Locator, newest: LiveCopy): Handle<Data>
  /**
   * Gives the handle of a session that the user passes to a call.
   *
   * @throws TypeError where it is not one that this store gave out
   */
  mine(session: Session<Data>): Handle<Data>
  /**
   * Runs work in the background. A save of the same handle waits for it, and goes on from what it resolves to. It
   * resolves to `undefined` where it found nothing new.
   */
  beside(handle: Handle<Data>, operation: string, work: () => Promise<LiveCopy | undefined>): void
}

/** Whether a call was given a session. If not, it was given an id, or something that is neither. */
export const isSession = <Data>(given: Session<Data> | string): given is Session<Data> =>
  typeof given === 'object' && given !== null && 'id' in given

export const handlesOf = <Data>({ values, background }: Context): Handles<Data> => {
  const handles: Handles<Data> = {
    make: (id, locator, data, newest, userId) => new Handle(handles, id, locator, data, newest, userId),
    open: (id, locator, newest) => {
      const data = values.decode(newest.envelope) as Data
      return handles.make(id, locator, data, newest, values.userOf(data))
    },
    mine: (session) => {
      if (session instanceof Handle && Handle.isGivenBy(handles, session)) return session as Handle<Data>
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
  return handles
}
