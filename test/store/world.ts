import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import type { BackendCopy } from '../../src/contract/backend.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { tierUnavailable } from '../../src/errors.js'
import { decodeEnvelope, type Envelope, encodeEnvelope } from '../../src/session/envelope.js'
import type { StoreOptions } from '../../src/store/options.js'
import type { SealingOptions } from '../../src/store/sealing.js'
import { sealedBackend } from '../../src/store/tiers/sealed-backend.js'
import { type FaultControls, faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { sealingWith } from '../support/sealing.js'

export type Data = Record<string, unknown>

/** A tier that outlives the processes that use it: closing one of them does not close it. */
const shared = <Tier extends object>(tier: Tier): Tier =>
  new Proxy(tier, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (name === 'close') return async () => {}
      return typeof member === 'function' ? member.bind(target) : member
    },
  })

let sealingOfAll: SealingOptions | undefined

/** From now on every store of a world seals what it keeps, unless its test says otherwise. */
export const sealEveryWorld = (sealing: SealingOptions): void => {
  sealingOfAll = sealing
}

/** One cache, one backend, one clock, and as many processes as a test makes stores. */
export const world = () => {
  const common = sealingOfAll === undefined ? {} : { sealing: sealingOfAll }
  const sealing = sealingOfAll === undefined ? undefined : sealingWith(sealingOfAll)
  const runtime = movableRuntime()
  const rawCache = shared(memoryCache({ runtime }))
  const rawBackend = shared(memoryBackend({ runtime }))
  const cache = faultyCache(rawCache)
  const backend = faultyBackend(rawBackend)
  const keyOf = (id: string): string => `nonstick:${createHash('sha256').update(id).digest('base64url')}`

  return {
    runtime,
    cache,
    backend,
    keyOf,
    /** A process of the cluster. It does not purge by itself, unless it is told to. */
    process: (options: StoreOptions<Data> = {}): SessionStore<Data> =>
      createSessionStore<Data>({ cache, backend, runtime, purgeEveryMs: 0, ...common, ...options }),
    /** A process whose own connections a test can break without breaking the others'. */
    processWithTiers: (options: StoreOptions<Data> = {}) => {
      const own = { cache: faultyCache(rawCache), backend: faultyBackend(rawBackend) }
      return { ...own, store: createSessionStore<Data>({ ...own, runtime, purgeEveryMs: 0, ...common, ...options }) }
    },
    /** All of the cache is gone, as after a restart. */
    loseCache: () => rawCache.flush(),
    /** What stands in the cache, seen past any fault. */
    cached: async (id: string): Promise<Envelope | undefined> => {
      const entry = await rawCache.get(keyOf(id))
      if (entry === undefined) return undefined
      const envelope = decodeEnvelope(keyOf(id), entry.value, sealing)
      if (envelope.kind === 'damaged') throw new Error('what is cached is damaged')
      return envelope
    },
    /** Puts bytes of the test's own making into the cache. */
    plant: async (id: string, bytes: Uint8Array): Promise<void> =>
      await rawCache.set(keyOf(id), bytes, runtime.now() + 86_400_000),
    plantEnvelope: async (id: string, envelope: Envelope): Promise<void> =>
      await rawCache.set(keyOf(id), encodeEnvelope(keyOf(id), envelope, 0, sealing), runtime.now() + 86_400_000),
    stored: async (id: string): Promise<BackendCopy> =>
      await sealedBackend(rawBackend, sealing).read({ key: keyOf(id) }),
    rawBytes: async (id: string): Promise<Uint8Array> => {
      const entry = await rawCache.get(keyOf(id))
      if (entry === undefined) throw new Error('nothing is cached')
      return entry.value
    },
  }
}

/** Work beside the answers has had its turns. */
export const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** A point that work waits at until the test opens it. */
export const held = (): { readonly opened: Promise<void>; readonly open: () => void } => {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/** The first answer to `call` is lost on its way back; what was asked for has happened. Tells how many were lost. */
export const loseOneAnswer = (tier: FaultControls, call: string): (() => number) => {
  let lost = 0
  tier.intercept = async (made, proceed) => {
    const answer = await proceed()
    if (made !== call || lost > 0) return answer
    lost += 1
    throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
  }
  return () => lost
}

export const calls = (tier: FaultControls, during: () => Promise<unknown>): Promise<string[]> => {
  const before = tier.calls.length
  return during().then(() => tier.calls.slice(before))
}

/** The session as `store` sees it; fails the test where there is none. */
export const loaded = async (store: SessionStore<Data>, id: string) => {
  const session = await store.load(id)
  if (session === undefined) throw new Error('the session is not there')
  return session
}

export const change = async (store: SessionStore<Data>, id: string, by: (data: Data) => void) => {
  const session = await loaded(store, id)
  by(session.data)
  return await store.save(session)
}

export const increment = (store: SessionStore<Data>, id: string) =>
  change(store, id, (data) => {
    data['count'] = Number(data['count'] ?? 0) + 1
  })

export const expectCode = async (work: Promise<unknown>, code: string): Promise<void> =>
  await expect(work).rejects.toMatchObject({ code })
