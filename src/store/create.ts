import type { Locator } from '../contract/locator.js'
import { isSessionStoreError, SessionStoreError, tierUnavailable } from '../errors.js'
import type { LiveEnvelope } from '../session/envelope.js'
import { born, persisted, storedSession, trusted } from '../session/transitions.js'
import { type Context, destroyedMeanwhile, isUnavailable, randomName } from './context.js'
import type { InCache, Live, Reading } from './read.js'
import type { Wanted } from './resolve.js'
import { asInBackend, inCache } from './write.js'

/** A session to be made, in the backend and the cache or, where that is deferred, in the cache alone. */
export interface Creation {
  readonly locator: Locator
  readonly wanted: Wanted
  readonly idleTtlMs: number
  /** The id is fresh from the CSPRNG: nothing can stand under it. */
  readonly fresh: boolean
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

export const creating = (context: Context, reads: Reading): Creating => {
  const { runtime, cache, backend, options } = context

  const create: Creating['create'] = async ({ locator, wanted, idleTtlMs, fresh }) => {
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
      if (!fresh) await refuseIfKnown(locator)
      const placed = await place(locator, envelope)
      if (placed !== undefined) return { now: placed, placed: undefined }
      // The cache cannot take it: a session must stand somewhere.
    }
    return await insert(locator, envelope, wanted, deferred)
  }

  const insert = async (
    locator: Locator,
    envelope: LiveEnvelope,
    wanted: Wanted,
    deferred: boolean,
  ): Promise<Created> => {
    const session = storedSession(envelope, wanted.userId, options.timings)
    const insertOptions = deferred ? { notAfter: envelope.createdAt + options.absoluteTtlMs } : {}
    const send = (): ReturnType<typeof backend.insert> => backend.insert(locator, session, 'create', insertOptions)
    // Sent again after a lost answer: if the first one is in, the second finds its own lineage there.
    const outcome = await send().catch((error: unknown) => {
      if (isSessionStoreError(error) && error.applied === 'unknown') return send()
      throw error
    })
    if (outcome.outcome === 'too-late')
      throw tierUnavailable(backend.name, 'insert', { because: 'it came too late', applied: 'no' })
    const row = outcome.outcome === 'exists' ? outcome.row : undefined
    if (row !== undefined && !(row.state === 'live' && row.lineage === envelope.lineage)) {
      if (row.state === 'destroyed') throw destroyedMeanwhile()
      throw taken()
    }
    const token =
      outcome.outcome === 'inserted' ? outcome.token : row?.state === 'live' ? row.token : envelope.backendToken
    const durable = persisted(envelope, runtime.now(), token)
    return { now: asInBackend(durable), placed: place(locator, durable) }
  }

  /** Through a lease like any other filling, so that a late command can bring nothing back. */
  const place = async (locator: Locator, envelope: LiveEnvelope): Promise<InCache | undefined> => {
    const lease = await cache.lease(locator.key, randomName(runtime))
    if (lease.outcome !== 'stored') return undefined
    const stamped = trusted(envelope, Math.max(envelope.trustedAt, cache.trustFrom(locator.key)))
    const put = await cache.cas(locator.key, stamped, lease.token)
    if (put.outcome === 'stored') return inCache(stamped, put.token)
    await cache.drop(locator.key, lease.token)
    return undefined
  }

  const refuseIfKnown = async (locator: Locator): Promise<void> => {
    try {
      const found = await reads.observe(locator, 'reader')
      if (found.state === 'live') throw taken()
      if (found.because === 'destroyed') throw destroyedMeanwhile()
    } catch (error) {
      if (!isUnavailable(error)) throw error // nobody can be asked: the insert will tell
    }
  }

  return { create }
}

const taken = (): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', 'A session with this id exists already', { applied: 'no' })
