import type { CasToken } from '../../contract/front-cache.js'
import type { Locator } from '../../contract/locator.js'
import { butMayBeApplied, isSessionStoreError, SessionStoreError, tierUnavailable } from '../../errors.js'
import { verdictOnRow } from '../../session/decisions.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import { sessionIdFrom } from '../../session/id.js'
import { born, persisted, storedSession, trusted } from '../../session/transitions.js'
import { sleep } from '../../tools/waiting.js'
import { type Context, destroyedMeanwhile, isUnavailable, randomName } from '../context.js'
import type { InCache, Live, Reading } from '../protocol/read.js'
import { type Wanted, wantedOf } from '../protocol/resolve.js'
import { asInBackend, inCache } from '../protocol/write.js'
import type { Call } from './call.js'
import { givenIdleTtl } from './call-options.js'
import { Handle } from './handle.js'
import { type CallParts, locatorOf } from './parts.js'

/** A session to be made, in the backend and the cache or, where that is deferred, in the cache alone. */
export interface Creation {
  readonly locator: Locator
  readonly wanted: Wanted
  readonly idleTtlMs: number
  /** The id is fresh from the CSPRNG: nothing can stand under it. */
  readonly fresh: boolean
  readonly call: Call
}

export interface Created {
  readonly now: Live
  /** Resolves to what the cache holds, once it does; `undefined` if it was not placed, and the first load will. */
  readonly placed: Promise<InCache | undefined> | undefined
}

export interface Creating {
  /** Rejects with `E_SESSION_CONFLICT` where a session stands, `E_SESSION_DESTROYED` where one was. */
  create(creation: Creation): Promise<Created>
}

/** How long a creation waits, after its insert, for a cache that is slower than the backend. */
const LEASE_GRACE_MS = 20

export const creating = (context: Context, reads: Reading): Creating => {
  const { runtime, cache, backend, options } = context

  const create: Creating['create'] = async ({ locator, wanted, idleTtlMs, fresh, call }) => {
    const envelope = born({
      now: runtime.now(),
      lineage: randomName(runtime),
      writeId: randomName(runtime),
      codecId: context.values.codecId,
      data: wanted.data,
      idleTtlMs,
      absoluteTtlMs: options.absoluteTtlMs,
      userEpoch: 0,
      timings: options.timings,
    })
    const deferred =
      options.policy.persistOn === 'due' || (options.policy.persistOn === 'identify' && wanted.userId === undefined)
    if (deferred) {
      const placed = await placeAlone(locator, envelope, fresh, call)
      if (placed !== undefined) return { now: placed, placed: undefined }
      // The cache cannot take it: a session must stand somewhere.
    }
    return await insertAndPlace(locator, envelope, wanted, { deferred, fresh, call })
  }

  /**
   * The lease is taken before the insert can be known to anyone: taken later, the copy it is replaced by could be
   * older than a destroy that came and was forgotten in between. For an id that nobody knows yet both are asked at
   * once; if the lease is not there soon after the insert, the first load fills the cache.
   */
  const insertAndPlace = async (
    locator: Locator,
    envelope: LiveEnvelope,
    wanted: Wanted,
    { deferred, fresh, call }: { readonly deferred: boolean; readonly fresh: boolean; readonly call: Call },
  ): Promise<Created> => {
    let lease: CasToken | undefined
    let inserted = false
    const leasing = takeLease(locator).then((token) => {
      if (!inserted) lease = token
      else if (token !== undefined) context.background.run('place', () => cache.drop(locator.key, token))
    })
    if (!fresh) await leasing
    try {
      call.refuseIfLate()
      const durable = await insert(locator, envelope, wanted, deferred)
      // Until this call has resolved nobody knows the id: a lease that comes a moment later is as good.
      await Promise.race([leasing, sleep(runtime, LEASE_GRACE_MS)])
      inserted = true
      const placed = lease === undefined ? undefined : put(locator, durable, lease)
      return { now: asInBackend(durable), placed }
    } catch (error) {
      inserted = true
      if (lease !== undefined) await cache.drop(locator.key, lease)
      throw error
    }
  }

  const insert = async (
    locator: Locator,
    envelope: LiveEnvelope,
    wanted: Wanted,
    deferred: boolean,
  ): Promise<LiveEnvelope> => {
    const session = storedSession(envelope, wanted.userId, options.timings)
    const insertOptions = deferred ? { notAfter: envelope.createdAt + options.absoluteTtlMs } : {}
    const send = (): ReturnType<typeof backend.insert> => backend.insert(locator, session, 'create', insertOptions)
    // Sent again after a lost answer: if the first one is in, the second finds its own lineage there.
    const outcome = await send().catch((error: unknown) => {
      if (!isSessionStoreError(error) || error.applied !== 'unknown') throw error
      return send().catch((second: unknown) => {
        throw butMayBeApplied(second)
      })
    })
    if (outcome.outcome === 'inserted') return persisted(envelope, runtime.now(), outcome.token)
    if (outcome.outcome === 'too-late')
      throw tierUnavailable(backend.name, 'insert', { because: 'it came too late', applied: 'no' })
    const { row } = outcome
    if (row.state === 'live' && verdictOnRow(envelope, row) === 'superseded')
      return persisted(envelope, runtime.now(), row.token)
    throw row.state === 'destroyed' ? destroyedMeanwhile() : taken()
  }

  /** In the cache only. `undefined` if it cannot be asked. Of a foreign id the backend is asked, under the lease. */
  const placeAlone = async (
    locator: Locator,
    envelope: LiveEnvelope,
    fresh: boolean,
    call: Call,
  ): Promise<InCache | undefined> => {
    if (!fresh) await refuseIfKnown(locator, call)
    const lease = await takeLease(locator)
    if (lease === undefined) {
      if (!fresh) await refuseIfKnown(locator, call)
      return undefined
    }
    if (fresh) return await put(locator, envelope, lease)
    try {
      const { state } = await backend.read(locator)
      if (state === 'absent') return await put(locator, envelope, lease)
      throw state === 'destroyed' ? destroyedMeanwhile() : taken()
    } catch (error) {
      await cache.drop(locator.key, lease)
      throw error
    }
  }

  const takeLease = async (locator: Locator): Promise<CasToken | undefined> => {
    const lease = await cache.lease(locator.key, randomName(runtime))
    return lease.outcome === 'stored' ? lease.token : undefined
  }

  const put = async (locator: Locator, envelope: LiveEnvelope, lease: CasToken): Promise<InCache | undefined> => {
    const stamped = trusted(envelope, Math.max(envelope.trustedAt, cache.trustFrom(locator.key)))
    const stored = await cache.cas(locator.key, stamped, lease)
    if (stored.outcome === 'stored') return inCache(stamped, stored.token)
    await cache.drop(locator.key, lease)
    return undefined
  }

  const refuseIfKnown = async (locator: Locator, call: Call): Promise<void> => {
    try {
      const found = await reads.observe(locator, 'reader', call)
      if (found.state === 'live') throw taken()
      if (found.because === 'destroyed') throw destroyedMeanwhile()
    } catch (error) {
      if (!isUnavailable(error) || call.isLate()) throw error // nobody can be asked: the insert will tell
    }
  }

  return { create }
}

const taken = (): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', 'A session with this id exists already', { applied: 'no' })

/** Makes a session under an id of its own, or under the id that is given. */
export type Create<Data> = (
  data: Data,
  given: { readonly id?: string | undefined; readonly idleTtlMs?: number | undefined },
  call: Call,
) => Promise<Handle<Data>>

/** The call `create`: the handle of a session that was made as above. */
export const creatingHandles = <Data>({ context, customs, reads, handles }: CallParts<Data>): Create<Data> => {
  const { runtime, options } = context
  const creations = creating(context, reads)

  return async (data, given, call) => {
    const id = given.id ?? sessionIdFrom(runtime.now(), runtime.randomBytes(32))
    const idleTtlMs = givenIdleTtl(given.idleTtlMs, options) ?? options.idleTtlMs
    const locator = locatorOf(context, id)
    const wanted = wantedOf(context, customs, data)
    const { now, placed } = await creations.create({ locator, wanted, idleTtlMs, fresh: given.id === undefined, call })
    const handle = handles.give(new Handle(id, locator, wanted.value as Data, now, wanted.userId))
    if (placed !== undefined) handles.beside(handle, 'place', () => placed)
    return handle
  }
}
