import type { LoadOptions, SaveOptions, Session, SessionStore } from '../contract/index.js'
import { isSessionStoreError, SessionStoreError } from '../errors.js'
import { isPlainObject } from '../tools/is-plain-object.js'

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
  #last: Promise<unknown> = Promise.resolve()

  constructor(id: string, session?: Session<Data>) {
    this.id = id
    this.session = session
  }

  /** Does what a request asks for one after the other, as it need not wait for the first before it asks for the next. */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const run = this.#last.then(work)
    this.#last = run.catch(() => undefined)
    return run
  }
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
  new SessionStoreError('E_SESSION_DATA', `Expected a session to be an object with fields, got ${named(got)}`, {
    path: 'data',
    applied: 'no',
  })

const named = (got: unknown): string => {
  if (got === undefined || got === null) return 'nothing'
  if (Array.isArray(got)) return 'a list'
  return typeof got === 'object' ? `a ${got.constructor.name}` : `a ${typeof got}`
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
