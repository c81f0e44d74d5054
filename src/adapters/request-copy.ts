import type { LoadOptions, SaveOptions, Session, SessionStore } from '../contract/index.js'
import { isSessionStoreError, SessionStoreError } from '../errors.js'
import { isPlainObject } from '../tools/is-plain-object.js'
import { snapshotOf } from '../tools/snapshot.js'

/**
 * The copy of a session that one request works on. What the request stores is compared with what it loaded, so that the
 * changes of requests that run at the same time are merged, each with its own.
 *
 * A framework gives an adapter the data alone, and takes data back. So each adapter keeps the copy of a request where its
 * framework lets it: beside the request, or beside the object that it gave out.
 */
export class RequestCopy<Data> {
  readonly id: string
  /** Absent until a session that is new has been stored. */
  session: Session<Data> | undefined
  /** Settles when all is done that was asked for; `undefined` where nothing is under way. */
  #last: Promise<unknown> | undefined

  constructor(id: string, session?: Session<Data>) {
    this.id = id
    this.session = session
  }

  /**
   * Does what a request asks for one after the other, as it need not wait for the first before it asks for the next. What
   * has nothing to wait for begins at once.
   */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const run = this.#last === undefined ? work() : this.#last.then(work)
    const last: Promise<unknown> = run
      .catch(() => undefined)
      .then(() => {
        if (this.#last === last) this.#last = undefined
      })
    this.#last = last
    return run
  }

  /**
   * Stores in turn what the session holds as this is called: the request may go on changing it. The store reads at once what
   * it is given at once; only what has to wait is copied.
   */
  storeInTurn<Held, Result>(held: Held, work: (held: Held) => Promise<Result>): Promise<Result> {
    const asCalled = this.#last === undefined ? held : snapshotOf(held)
    return this.inTurn(() => work(asCalled))
  }
}

/**
 * Sessions that are about to get a new id. Frameworks destroy the old id, and then store the data under the new one. Were the
 * session destroyed at once, what other requests have stored since this one loaded it would be lost. So its destruction waits
 * until the data comes, and then the store moves the session with all that it holds by then.
 */
export class Departures<Data> {
  readonly #sessions: SessionStore<Data>
  readonly #copies = new WeakMap<object, RequestCopy<Data>>()

  constructor(sessions: SessionStore<Data>) {
    this.#sessions = sessions
  }

  /**
   * For an adapter that knows that its framework stores the data next, before anything else happens. Should the framework not
   * come to it, as some function of the application threw, the session is destroyed all the same.
   *
   * @param request what the data will be told by
   */
  putOff(request: object, copy: RequestCopy<Data>): void {
    this.#copies.set(request, copy)
    setImmediate(() => {
      // Where the backend cannot be told, the store goes on trying by itself.
      if (this.take(request) !== undefined) this.#sessions.destroy(copy.id).catch(() => undefined)
    })
  }

  /** The copy whose session this request takes along under its new id. */
  take(request: object): RequestCopy<Data> | undefined {
    const copy = this.#copies.get(request)
    this.#copies.delete(request)
    return copy
  }
}

/**
 * Whether a request has kept nothing of what its session held: then it has begun a session of its own, such as after a
 * logout, and nothing of the old one goes with it.
 *
 * @param counts whether a name is one of the application's, and stays until the application takes it out
 */
export const keepsNothing = <Data extends object>(
  { session }: RequestCopy<Data>,
  mine: object,
  counts: (name: string) => boolean,
): boolean => {
  const names = Object.keys(session?.data ?? {}).filter(counts)
  return names.length > 0 && !names.some((name) => Object.hasOwn(mine, name))
}

/**
 * The copy that a request loads; `undefined` where there is no session. Loading is no use unless `touch` says so, since most
 * frameworks end a request by a call of its own. An id that cannot be one is some visitor's mistake, and has no session.
 * What another part of the program stored without an object as its data is no session of a framework's.
 */
export const loadCopy = async <Data>(
  sessions: SessionStore<Data>,
  id: string,
  options: LoadOptions,
): Promise<RequestCopy<Data> | undefined> => {
  const session = await unlessInvalidId(async () => await sessions.load(id, { touch: false, ...options }))
  return session !== undefined && isPlainObject(session.data) ? new RequestCopy(id, session) : undefined
}

/** At a framework's edge an id that cannot be one is some visitor's mistake, and simply has no session. */
export const unlessInvalidId = async <Value>(work: () => Promise<Value>): Promise<Value | undefined> => {
  try {
    return await work()
  } catch (error) {
    if (isSessionStoreError(error, 'E_INVALID_ID')) return undefined
    throw error
  }
}

/** What can be said with what a request stores. */
export type StoreCopyOptions = Pick<SaveOptions, 'idleTtlMs' | 'client' | 'signal' | 'unmergedKeys'>

/** @throws SessionStoreError `E_SESSION_DATA` for what `loadCopy` gives to nobody: nothing, a text, a list, a `Map` */
export const refuseUnlessFields = (data: unknown): void => {
  if (!isPlainObject(data)) throw noFields(data)
}

/** The error of what has no fields that a framework could give to its requests. */
export const noFields = (got: unknown): SessionStoreError =>
  new SessionStoreError('E_SESSION_DATA', `Expected a session to be an object with fields, got ${classShown(got)}`, {
    path: 'data',
    applied: 'no',
  })

const classShown = (got: unknown): string => {
  if (got === undefined || got === null) return 'nothing'
  if (Array.isArray(got)) return 'a list'
  if (typeof got !== 'object') return `a ${typeof got}`
  // Of an object without a class nobody can tell more.
  const { constructor: made } = got as { readonly constructor?: unknown }
  return typeof made === 'function' ? `a ${made.name}` : 'an object'
}

/**
 * Stores what a request has made of its session: what it changed since it loaded or stored it, or all of it where it
 * loaded none. Data that is equal to what was loaded is a touch, and no write. Others' changes that come in are stored,
 * while the request goes on without them: hence `isolated`.
 *
 * @throws SessionStoreError as `save`, `create` and `put` do; the copy is then as it was before
 */
export const storeCopy = async <Data>(
  sessions: SessionStore<Data>,
  copy: RequestCopy<Data>,
  data: Data,
  options: StoreCopyOptions = {},
): Promise<void> => {
  refuseUnlessFields(data)
  const { session } = copy
  if (session === undefined) {
    copy.session = await storeWhole(sessions, copy.id, data, options)
    return
  }
  const before = session.data
  session.data = data
  try {
    await sessions.save(session, { ...options, isolated: true })
  } catch (error) {
    session.data = before
    throw error
  }
}

/**
 * Moves the session of one copy to the id of another, with what the request has made of it and with what others have stored.
 *
 * @param to a copy whose id is new
 * @throws SessionStoreError as `regenerate` does: `E_SESSION_DESTROYED` where the session has ended meanwhile. The session
 *   then stays where it was
 */
export const moveCopy = async <Data>(
  sessions: SessionStore<Data>,
  from: RequestCopy<Data>,
  to: RequestCopy<Data>,
  data: Data,
  options: Pick<SaveOptions, 'idleTtlMs'> = {},
): Promise<void> => {
  const { session } = from
  if (session === undefined) return await storeCopy(sessions, to, data, options)
  const moving = { id: to.id, isolated: true }
  const before = session.data
  session.data = data
  try {
    to.session = await sessions.regenerate(session, { ...moving, ...options })
    return
  } catch (error) {
    session.data = before
    if (!isSessionStoreError(error, 'E_SESSION_CONFLICT') || error.applied !== 'no') throw error
  }
  // Others have changed the session while this request made it a user's, which the store does not merge in one write. So it is
  // moved with their changes first; under the new id, of which nobody knows, it becomes the user's.
  to.session = await sessions.regenerate(session, moving)
  await storeCopy(sessions, to, data, options)
}

/** What was not loaded is nearly always new, and creating asks the backend once where `put` must look first. */
const storeWhole = async <Data>(
  sessions: SessionStore<Data>,
  id: string,
  data: Data,
  { unmergedKeys: _, ...options }: StoreCopyOptions,
): Promise<Session<Data>> => {
  // In place of an id that is missing, `create` would make one up; `put` refuses it.
  if (typeof id !== 'string') return await sessions.put(id, data, options)
  try {
    return await sessions.create(data, { id, ...options })
  } catch (error) {
    if (!isSessionStoreError(error, 'E_SESSION_CONFLICT')) throw error
    return await sessions.put(id, data, options)
  }
}
