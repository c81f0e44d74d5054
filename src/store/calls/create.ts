import type { StoredSession } from '../../contract/backend.js'
import type { CasToken } from '../../contract/front-cache.js'
import type { Locator } from '../../contract/locator.js'
import type { CreateOptions, GivenIdleTtl } from '../../contract/session-store.js'
import { clientOf } from '../../session/client.js'
import { sessionIdFrom } from '../../session/id.js'
import { type Birth, born, type Client, NO_CLIENT } from '../../session/transitions.js'
import { isLarge, ownTurn } from '../../tools/turns.js'
import { settledWithin } from '../../tools/waiting.js'
import { type Context, destroyedMeanwhile, isUnavailable, randomName } from '../context.js'
import { idleTimeFor } from '../idle-ttl.js'
import type { Flushing } from '../protocol/flush.js'
import { inserting, NOWHERE, type Place, taken } from '../protocol/insert.js'
import { lookAt } from '../protocol/look.js'
import type { InCache, LiveCopy, None, Reading } from '../protocol/read.js'
import { ownCopyOf, type Wanted, wantedOf } from '../protocol/resolve.js'
import { becoming } from '../protocol/users.js'
import { asInBackend, inCache } from '../protocol/write.js'
import type { Call } from './call.js'
import { givenIdleTtl } from './call-options.js'
import type { Handle } from './handle.js'
import { type CallParts, locatorOf } from './parts.js'

/** A session that is to be made: in the backend and the cache or, where its insert is put off, in the cache alone. */
export interface Creation {
  readonly locator: Locator
  readonly wanted: Wanted
  /** The idle time-out that the call gives to the session; `undefined` where it gives none. */
  readonly idleTtlMs: GivenIdleTtl | undefined
  readonly app: string
  readonly client: Client | undefined
  /** Whether the id is new from the source of randomness, so that nothing can stand under it. */
  readonly fresh: boolean
  /** The mark that nothing stands in the backend, where the caller has met it in the cache. */
  readonly mark?: None['mark'] | undefined
  /** In the backend when it has been made, also where that would be deferred. */
  readonly durable: boolean
  readonly call: Call
}

export interface Created {
  readonly now: LiveCopy
  /**
   * Resolves to the entry once the cache holds it, and to `undefined` if the cache did not take it; then the first load
   * fills the cache. It is `undefined` itself where nothing more is put into the cache.
   */
  readonly cachedLater: Promise<InCache | undefined> | undefined
}

export interface Creating {
  /**
   * Rejects with `E_SESSION_CONFLICT` where a session stands, and with `E_SESSION_DESTROYED` where one was destroyed.
   */
  create(creation: Creation): Promise<Created>
}

/** How long a creation waits after its insert for the lease of a cache that is slower than the backend. */
const LEASE_GRACE_MS = 20

/** How often a lease is tried where something stands. */
const ATTEMPTS = 3

const NOBODYS = { by: 'request' } as const

export const creating = (context: Context, reads: Reading, flushes: Flushing): Creating => {
  const { runtime, cache, backend, audit, options } = context
  const { insert, insertUnder, endedIn, put } = inserting(context, flushes)

  const create: Creating['create'] = async (creation) => {
    const { locator, wanted, app, client = NO_CLIENT } = creation
    const told = wanted.userId === undefined ? NOBODYS : { by: 'request' as const, user: wanted.userId }
    try {
      const created = await make(creation)
      const { envelope } = created.now
      audit.done(locator.key, envelope, { action: 'created', ...told })
      if (wanted.userId !== undefined) audit.done(locator.key, envelope, { action: 'identified', ...told })
      return created
    } catch (error) {
      audit.failed(locator.key, { app, ...client }, { action: 'created', ...told }, error)
      throw error
    }
  }

  const make = async (creation: Creation): Promise<Created> => {
    const { locator, wanted, fresh, durable, call } = creation
    const birth: Birth = {
      now: runtime.now(),
      lineage: randomName(runtime),
      writeId: randomName(runtime),
      codecId: context.values.codecId,
      data: wanted.data,
      ...idleTimeFor(context, creation.idleTtlMs, undefined, wanted.value),
      absoluteTtlMs: options.absoluteTtlMs,
      app: creation.app,
      client: creation.client ?? NO_CLIENT,
      becomes: wanted.userId === undefined ? undefined : await becoming(context, locator, wanted.userId, call),
      timings: options.timings,
    }
    const { persistOn } = options.policy
    if (!durable && persistOn !== 'create' && wanted.userId === undefined) {
      const created = await placeAlone(creation, birth)
      if (created !== undefined) return created
      // The cache cannot take the session, so it goes into the backend: it must stand somewhere.
    }
    if (fresh) return await insertFresh(creation, birth)
    return { now: await insertUnder(creation, birth, await placeOf(creation)), cachedLater: undefined }
  }

  /**
   * Makes a session under a new id. Nobody knows the id yet, so the cache and the backend are asked at the same time.
   * If the lease has not come soon after the insert, the first load fills the cache.
   */
  const insertFresh = async (creation: Creation, birth: Birth): Promise<Created> => {
    const { locator } = creation
    let lease: CasToken | undefined
    let inserted = false
    const leasing = takeLease(locator).then(({ token }) => {
      if (!inserted) lease = token
      else if (token !== undefined) context.background.run('place', () => cache.remove(locator.key, token))
    })
    try {
      const durable = await insert(creation, birth, NOWHERE)
      // Nobody knows the id until this call has resolved, so a lease that comes a moment after the insert is as good.
      await settledWithin(runtime, LEASE_GRACE_MS, leasing)
      inserted = true
      return { now: asInBackend(durable), cachedLater: lease === undefined ? undefined : put(locator, durable, lease) }
    } catch (error) {
      inserted = true
      if (lease !== undefined) await cache.remove(locator.key, lease)
      throw error
    }
  }

  /**
   * Makes a session in the cache only. Resolves to `undefined` if the cache cannot take it. Where others may know the
   * id, the backend is asked under the lease whether something stands there.
   */
  const placeAlone = async (creation: Creation, birth: Birth): Promise<Created | undefined> => {
    const { locator, fresh, call } = creation
    const place = fresh
      ? { lease: (await takeLease(locator)).token, isFree: true, ended: undefined }
      : await placeOf(creation)
    const { lease } = place
    // What stands in the way may be a session that is in the cache alone.
    if (!place.isFree) throw taken()
    if (lease === undefined) return undefined
    // A late flush of the session that has ended would take the place of this one, if this one had no row in the
    // backend.
    if (place.ended !== undefined) return { now: await insertUnder(creation, birth, place), cachedLater: undefined }
    let standing: StoredSession | undefined
    try {
      if (!fresh) standing = endedIn(await backend.read(locator), undefined)
      call.refuseIfLate()
    } catch (error) {
      await cache.remove(locator.key, lease)
      throw error
    }
    // A row stands in the backend anyway, so that putting off the insert would spare nothing.
    if (standing !== undefined) return { now: await insertUnder(creation, birth, place), cachedLater: undefined }
    const now = (await put(locator, born(birth), lease)) ?? (fresh ? undefined : await placedAfterAll(creation, birth))
    return now === undefined ? undefined : { now, cachedLater: undefined }
  }

  /**
   * The entry where the answer to its placing was lost, and it stands there all the same. It must not be brought to the
   * backend besides, without the mark that says so.
   */
  const placedAfterAll = async ({ locator, call }: Creation, { lineage }: Birth): Promise<InCache | undefined> => {
    const stands = await lookAt(context, locator.key, 'writer', call)
    const isMine = stands !== 'away' && stands.state === 'live' && stands.envelope.lineage === lineage
    return isMine ? inCache(stands.envelope, stands.token) : undefined
  }

  const takeLease = async (
    locator: Locator,
    over?: CasToken,
  ): Promise<{ readonly token: CasToken | undefined; readonly isInTheWay: boolean }> => {
    const lease = await cache.lease(locator.key, randomName(runtime), over)
    if (lease.outcome === 'stored') return { token: lease.token, isInTheWay: false }
    return { token: undefined, isInTheWay: lease.outcome === 'conflict' || lease.outcome === 'missing' }
  }

  /**
   * Takes the lease of an id that others may know, where nothing stands or over the entry of a session that has ended.
   *
   * @throws SessionStoreError `E_SESSION_CONFLICT` where a session lives, `E_SESSION_DESTROYED` where one was destroyed
   */
  const placeOf = async ({ locator, mark, call }: Creation): Promise<Place> => {
    let known: Pick<None, 'entry' | 'mark'> = mark === undefined ? {} : { mark }
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const { entry: ended } = known
      const { token, isInTheWay } = await takeLease(locator, ended?.token ?? (await known.mark))
      if (!isInTheWay) return { lease: token, isFree: true, ended: token === undefined ? undefined : ended?.envelope }
      known = await nothingInCache(locator, call)
    }
    return NOWHERE
  }

  /**
   * Gives the entry of a session that has ended, or the mark that nothing stands in the backend, in whose place the lease can
   * be taken; neither where none stands any more, or where nobody can be asked.
   */
  const nothingInCache = async (locator: Locator, call: Call): Promise<Pick<None, 'entry' | 'mark'>> => {
    try {
      const found = await reads.observe(locator, 'reader', call)
      if (found.state === 'live') throw taken()
      if (found.because === 'destroyed') throw destroyedMeanwhile()
      return found
    } catch (error) {
      if (!isUnavailable(error) || call.isLate()) throw error
      return {} // the insert will tell whether a session stands there
    }
  }

  return { create }
}

/** Makes a session under a new id, or under the id that is given. */
export type Create<Data> = (data: Data, given: CreateOptions, call: Call) => Promise<Handle<Data>>

/** Makes a session of what is wanted, under an id that others may know. */
export type CreateUnder<Data> = (
  id: string,
  wanted: Wanted,
  given: Pick<Creation, 'durable' | 'idleTtlMs' | 'client' | 'mark'>,
  call: Call,
) => Promise<Handle<Data>>

/** The call `create`, and the part of it that `put` has in common with it: the handle of a session that was made. */
export const creatingHandles = <Data>({
  context,
  customs,
  reads,
  flushes,
  handles,
}: CallParts<Data>): { readonly create: Create<Data>; readonly createUnder: CreateUnder<Data> } => {
  const { runtime, options } = context
  const creations = creating(context, reads, flushes)

  const make = async (id: string, creation: Creation): Promise<Handle<Data>> => {
    const { locator, wanted } = creation
    if (isLarge(wanted)) await ownTurn()
    const data = await ownCopyOf<Data>(context, wanted)
    const { now, cachedLater } = await creations.create(creation)
    const handle = handles.make(id, locator, data, now, wanted.userId)
    if (cachedLater !== undefined) handles.beside(handle, 'place', () => cachedLater)
    return handle
  }

  return {
    create: async (data, given, call) => {
      const id = given.id ?? sessionIdFrom(runtime.now(), runtime.randomBytes(32))
      const idleTtlMs = givenIdleTtl(given.idleTtlMs, options)
      const recorded = { app: given.app ?? options.app, client: given.client && clientOf(given.client) }
      const locator = locatorOf(context, id)
      const wanted = wantedOf(context, customs, data)
      return await make(id, {
        locator,
        wanted,
        ...recorded,
        idleTtlMs,
        fresh: given.id === undefined,
        durable: false,
        call,
      })
    },
    createUnder: async (id, wanted, given, call) =>
      await make(id, { locator: locatorOf(context, id), wanted, app: options.app, ...given, fresh: false, call }),
  }
}
