import type { CloseOptions, CloseReport, SessionStore } from '../contract/index.js'
import { areOptions, SessionStoreError } from '../errors.js'
import { systemRuntime as clock } from '../runtime.js'
import { checkedOption, kindOf } from '../tools/options.js'
import { type GivenStore, type OwnStore, resolveStore } from './given-store.js'
import { untilExpiry } from './idle-ttl-until.js'
import { loadCopy, RequestCopy, storeCopy } from './request-copy.js'

export type { GivenStore, OwnStore } from './given-store.js'

/** A session of React Router's, as far as it matters here. */
export interface AnySession {
  /** Empty for a session that is new. */
  readonly id: string
  readonly data: object
}

/** What React Router's `createSessionStorage` gives. */
export interface AnySessionStorage {
  readonly getSession: (cookieHeader?: string | null, options?: never) => Promise<AnySession>
  readonly commitSession: (session: never, options?: never) => Promise<string>
  readonly destroySession: (session: never, options?: never) => Promise<string>
}

/** What is stored of a session: the data, and each flash value under `__flash_<name>__`, as React Router has it. */
export type StoredData<Storage extends AnySessionStorage> = Awaited<ReturnType<Storage['getSession']>>['data']

/** As for React Router's own storages: a cookie that `createCookie` made, or the options of one, with `secrets`. */
export type CookieOption<Strategy> = Strategy extends { readonly cookie?: infer Cookie }
  ? { readonly cookie?: Cookie }
  : never

export type SessionStorageOptions<Strategy, Storage extends AnySessionStorage> = CookieOption<Strategy> &
  (GivenStore<StoredData<Storage>> | OwnStore<StoredData<Storage>>)

/** What the storage has beside React Router's three functions. */
export interface NonstickSessions<Data> {
  /** The store underneath: for `health()`, `stats()`, `on()`, and sessions outside of requests. */
  readonly sessions: SessionStore<Data>
  /**
   * Closes the store that was made here, as `sessions.close()` does, with its report. A store that was given is
   * left open, and the report is `undefined`.
   */
  close(options?: CloseOptions): Promise<CloseReport | undefined>
}

/**
 * A session storage of React Router, or of Remix, on a nonstick session store.
 *
 * Each session object is saved against the copy that `getSession` loaded for it, so that changes of concurrent requests are
 * merged by top-level key. A cookie whose session is unknown, expired or destroyed gives a new session without an id:
 * what it is committed with is stored under a new one. A session that was destroyed or expired meanwhile is not brought back:
 * `commitSession` rejects with `E_SESSION_DESTROYED`.
 *
 * Every error has a `code` (`docs/errors.md`), and means that the store could not know, or would not.
 *
 * @param createSessionStorage the framework's own, with the types of the data: `createSessionStorage<Data, FlashData>`
 * @param options the `cookie`, and `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`
 * @throws SessionStoreError `E_CONFIG`
 */
export const nonstickSessionStorage = <Strategy, Storage extends AnySessionStorage>(
  createSessionStorage: (strategy: Strategy) => Storage,
  options: SessionStorageOptions<Strategy, Storage>,
): Storage & NonstickSessions<StoredData<Storage>> => {
  type Data = StoredData<Storage>
  const cookie = cookieOf(options)
  const { sessions, owned, idleTtlMs } = resolveStore<Data>(options, ['cookie'])
  const verified = isSigned(cookie)
  const copies = new WeakMap<object, RequestCopy<Data>>()

  const load = async (id: string): Promise<RequestCopy<Data> | undefined> =>
    await loadCopy(sessions, id, { verified, touch: true })

  const save = async (copy: RequestCopy<Data>, data: Data, expires: Date | undefined): Promise<void> => {
    const life = untilExpiry(expires, clock.now())
    await copy.storeInTurn(data, async (held) => {
      if (life === 'over') await sessions.destroy(copy.id)
      else await storeCopy(sessions, copy, held, life === undefined ? {} : { idleTtlMs: life })
    })
  }

  /** Nothing is stored for nobody, nor for a cookie that ends at once; their cookie then names no session. */
  const create = async (call: Call<Data>, data: Data, expires: Date | undefined): Promise<string> => {
    const life = untilExpiry(expires, clock.now()) ?? idleTtlMs
    if (life === 'over' || Object.keys(data).length === 0) return ''
    const session = await sessions.create(data, life === undefined ? {} : { idleTtlMs: life })
    call.copy = new RequestCopy(session.id, session)
    return session.id
  }

  /** The framework's storage for one call, which says by the way which session the call is about. */
  const storageFor = (call: Call<Data>): AnySessionStorage =>
    createSessionStorage({
      cookie,
      readData: async (id: string) => {
        call.copy = await load(id)
        return call.copy?.session?.data ?? null
      },
      createData: async (data: Data, expires?: Date) => {
        // A session that was new when the request came keeps no id, however often it is committed.
        if (call.copy === undefined) return await create(call, data, expires)
        await save(call.copy, data, expires)
        return call.copy.id
      },
      updateData: async (id: string, data: Data, expires?: Date) => {
        const copy = call.copy ?? (await load(id))
        if (copy === undefined) throw noSuchSession()
        await save(copy, data, expires)
      },
      deleteData: async (id: string) => {
        const known = call.copy?.id ?? id
        if (known !== '') await sessions.destroy(known)
      },
    } as unknown as Strategy)

  const getSession = async (cookieHeader?: string | null, parseOptions?: never): Promise<AnySession> => {
    const call: Call<Data> = { copy: undefined }
    const session = await storageFor(call).getSession(cookieHeader, parseOptions)
    if (call.copy !== undefined) copies.set(session, call.copy)
    // The framework would keep an id that nobody has, and store under it what is committed.
    else if (session.id !== '') return await getSession()
    return session
  }

  const storage: AnySessionStorage = {
    getSession,
    commitSession: async (session: object, serializeOptions?: never) => {
      const call = { copy: copies.get(session) }
      const setCookie = await storageFor(call).commitSession(session as never, serializeOptions)
      if (call.copy !== undefined) copies.set(session, call.copy)
      return setCookie
    },
    destroySession: async (session: object, serializeOptions?: never) =>
      await storageFor({ copy: copies.get(session) }).destroySession(session as never, serializeOptions),
  }
  const close = async (closeOptions?: CloseOptions): Promise<CloseReport | undefined> =>
    owned ? await sessions.close(closeOptions) : undefined
  return { ...(storage as Storage), sessions, close }
}

/** One call of the framework's storage. */
interface Call<Data> {
  /** The copy that its session came from, or was stored as; `undefined` as long as there is none. */
  copy: RequestCopy<Data> | undefined
}

const A_COOKIE = kindOf<object>(
  'a cookie of createCookie, or the options of one',
  (value) => typeof value === 'object' && value !== null,
)

/** @throws SessionStoreError `E_CONFIG` */
const cookieOf = (options: { readonly cookie?: unknown }): object | undefined => {
  if (!areOptions(options) || options.cookie === undefined) return undefined
  return checkedOption('cookie', options.cookie, A_COOKIE)
}

/** Whether React Router checks a signature before it asks for the session. */
const isSigned = (cookie: object | undefined): boolean => {
  const { isSigned, secrets } = (cookie ?? {}) as { readonly isSigned?: boolean; readonly secrets?: readonly string[] }
  return isSigned === true || (secrets?.length ?? 0) > 0
}

const noSuchSession = (): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_DESTROYED',
    'There is no session of this id, and an id that nobody has is not taken over; get the session by getSession',
    { applied: 'no' },
  )
