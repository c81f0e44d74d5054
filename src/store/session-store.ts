import type { Locator } from '../contract/locator.js'
import type {
  CloseOptions,
  CloseReport,
  CreateOptions,
  DestroyReport,
  LoadOptions,
  SaveOptions,
  Session,
  SessionStore,
  StoreHealth,
  TouchOptions,
} from '../contract/session-store.js'
import { invalidOption, isSessionStoreError, refuseUnknownOptions, SessionStoreError } from '../errors.js'
import { readerShouldFlush } from '../session/decisions.js'
import { checkedId, sessionIdFrom } from '../session/id.js'
import { locate } from '../session/key.js'
import { keyedQueue } from '../tools/keyed-queue.js'
import { settledOrOver, within } from '../tools/waiting.js'
import { type Call, callOf } from './calls/call.js'
import { creating } from './calls/create.js'
import { destroy } from './calls/destroy.js'
import { Handle } from './calls/handle.js'
import { listing } from './calls/listing.js'
import { regenerate } from './calls/regenerate.js'
import { saving } from './calls/save.js'
import { isWorthTouching, touch } from './calls/touch.js'
import { updating } from './calls/update.js'
import { type Context, destroyedMeanwhile, isUnavailable } from './context.js'
import { drain } from './owed/drain.js'
import { dueFlushes } from './owed/due-flushes.js'
import { ledger as unflushedLedger } from './owed/ledger.js'
import { flushing } from './protocol/flush.js'
import { type Found, type Live, reading } from './protocol/read.js'
import { type Customs, overwriting, resolving, sameBytes, type Wanted, wantedOf } from './protocol/resolve.js'
import { noTries, writing } from './protocol/write.js'

const DEFAULT_DRAIN_MS = 5_000
/** A longer timer of Node's would fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/** How long a change given to `update` may take before others of the same session no longer wait for it, at most. */
const LONGEST_CHANGE_MS = 1_000

const NONE: ReadonlySet<string> = new Set()
const OF_A_SAVE: ReadonlySet<string> = new Set(['durable', 'idleTtlMs', 'unmergedKeys'] satisfies (keyof SaveOptions)[])

/** What each call can be told; a misspelt `durable` must not pass for a durable save. */
const CALL_OPTIONS = {
  create: new Set(['id', 'idleTtlMs'] satisfies (keyof CreateOptions)[]) as ReadonlySet<string>,
  load: new Set(['touch'] satisfies (keyof LoadOptions)[]) as ReadonlySet<string>,
  save: OF_A_SAVE,
  update: OF_A_SAVE,
  put: OF_A_SAVE,
  touch: new Set(['idleTtlMs'] satisfies (keyof TouchOptions)[]) as ReadonlySet<string>,
  list: new Set(['limit', 'after']) as ReadonlySet<string>,
  close: new Set(['deadlineMs'] satisfies (keyof CloseOptions)[]) as ReadonlySet<string>,
  regenerate: NONE,
  destroy: NONE,
  count: NONE,
} as const

/** The protocol's steps as the store that programs and adapters use. */
export const sessionStore = <Data>(parts: Omit<Context, 'ledger'>, customs: Customs<Data>): SessionStore<Data> => {
  const { options, runtime, cache, backend, telemetry, background } = parts
  const { maxStaleMs, maxUnflushed } = options
  const ledger = unflushedLedger({
    runtime,
    maxStaleMs,
    maxEntries: maxUnflushed,
    flush: (noted) => due.flush(noted),
    abandon: () => telemetry.emit('abandoned', { operation: 'flush', error: noRoom(options.maxUnflushed) }),
  })
  const context: Context = { ...parts, ledger }
  const reads = reading(context)
  const flushes = flushing(context)
  const due = dueFlushes(context, flushes)
  const writes = writing(context, reads, flushes)
  const creations = creating(context, reads)
  const queue = keyedQueue()
  const { save, touchInTurn, adopt, settled, viewOf } = saving(context, customs, writes, queue)
  /**
   * What was begun and has not ended: a call that changes something also where its caller was told that it is late, as
   * long as its last step may take; one that does not, until then.
   */
  const inFlight = new Set<Promise<void>>()
  let closing: Promise<CloseReport> | undefined

  /** Every call: refused after `close`, and settled within the deadline. */
  const timely = <T>(
    operation: keyof typeof CALL_OPTIONS,
    isChange: boolean,
    callOptions: object,
    work: (call: Call) => Promise<T>,
  ): Promise<T> => {
    if (closing !== undefined) return Promise.reject(closed())
    const call = callOf(runtime, { operation, isChange, deadlineMs: options.deadlineMs })
    const working = (async () => {
      refuseUnknownOptions(callOptions, CALL_OPTIONS[operation])
      return await work(call)
    })()
    const ended = settledOrOver(runtime, isChange ? options.thawMs : options.deadlineMs, working)
    inFlight.add(ended)
    void ended.then(() => inFlight.delete(ended))
    return within(runtime, options.deadlineMs, working, call.lateError)
  }
  const locatorOf = (id: unknown): Locator => locate(options.namespace, checkedId(id))

  const open = (id: string, locator: Locator, seen: Live): Handle<Data> => {
    const data = context.values.decode(seen.envelope) as Data
    return give(new Handle(id, locator, data, seen, context.values.userOf(data)))
  }

  const given = new WeakSet<object>()
  const give = (handle: Handle<Data>): Handle<Data> => {
    given.add(handle)
    return handle
  }
  const mine = (session: Session<Data>): Handle<Data> => {
    if (session instanceof Handle && given.has(session)) return session as Handle<Data>
    throw new TypeError('Expected a session that this store gave out, by create, load, update or regenerate')
  }

  /** Runs beside the answer; a save of the same handle waits for it, and uses what it found. */
  const beside = (handle: Handle<Data>, operation: string, work: () => Promise<Live | undefined>): void => {
    const running = (async () => {
      const now = await work()
      if (now !== undefined) handle.seen = now
    })()
    handle.beside = running.catch(() => {})
    background.run(operation, () => running)
  }

  const afterRead = (handle: Handle<Data>, { touch: mayTouch = true }: LoadOptions): void => {
    const { envelope } = handle.seen
    const identified = (): boolean => handle.userId !== undefined
    const { maxStaleMs, policy } = options
    if (handle.seen.where === 'cache' && readerShouldFlush(envelope, runtime.now(), { maxStaleMs, policy, identified }))
      due.flushOverdue(handle.locator, envelope.version)
    if (mayTouch && isWorthTouching(context, handle.seen))
      beside(handle, 'touch', () => touch(context, handle.locator, handle.seen))
  }

  const load = async (id: string, loadOptions: LoadOptions, call: Call): Promise<Handle<Data> | undefined> => {
    const locator = locatorOf(id)
    const found = await reads.observe(locator, 'reader', call)
    if (found.state === 'none') return undefined
    const handle = open(id, locator, found)
    afterRead(handle, loadOptions)
    return handle
  }

  const create = async (
    data: Data,
    id: string,
    fresh: boolean,
    idleTtlMs: number,
    call: Call,
  ): Promise<Handle<Data>> => {
    const locator = locatorOf(id)
    const wanted = wantedOf(context, customs, data)
    const created = await creations.create({ locator, wanted, idleTtlMs, fresh, call })
    const handle = give(new Handle(id, locator, wanted.value as Data, created.now, wanted.userId))
    const { placed } = created
    if (placed !== undefined) beside(handle, 'place', () => placed)
    return handle
  }

  /** For a put, which needs to know what it writes over only to take its place. */
  const standing = (locator: Locator, call: Call): Promise<Found> =>
    reads.observe(locator, 'reader', call).catch((error: unknown) => {
      if (!isUnavailable(error) || call.isLate() || options.policy.persistOn === 'create') throw error
      return { state: 'none', because: 'absent' }
    })

  const put = async (id: string, data: Data, saveOptions: SaveOptions, call: Call): Promise<Handle<Data>> => {
    const locator = locatorOf(id)
    const idleTtlMs = checkedTtl(saveOptions.idleTtlMs)
    const { durable = false } = saveOptions
    const wanted = wantedOf(context, customs, data)
    const tries = noTries(runtime)
    for (let attempt = 0; attempt < options.maxAttempts; attempt += 1) {
      const found = await standing(locator, call)
      if (found.state === 'none' && found.because !== 'absent') throw destroyedMeanwhile()
      try {
        if (found.state === 'none') return await create(data, id, false, idleTtlMs ?? options.idleTtlMs, call)
        const resolve = overwriting(context, wanted)
        const written = await queue.run(locator.key, async () => {
          call.refuseIfLate()
          return await writes.write({ locator, base: found, resolve, idleTtlMs, durable, tries, call })
        })
        const handle = give(new Handle(id, locator, data, written.now, wanted.userId))
        adopt(handle, wanted, written)
        return handle
      } catch (error) {
        // Someone else created it in between: then it is there to be overwritten.
        if (!(found.state === 'none' && isSessionStoreError(error, 'E_SESSION_CONFLICT'))) throw error
      }
    }
    throw new SessionStoreError('E_SESSION_CONFLICT', 'The session could not be put', { applied: 'no' })
  }

  const update = updating<Data>({
    runtime,
    load: (id, call) => load(id, { touch: false }, call),
    write: async (handle, { durable = false, idleTtlMs: asked }, tries, call) => {
      const idleTtlMs = checkedTtl(asked)
      const wanted = wantedOf(context, customs, handle.data)
      const seen = await settled(handle)
      const { locator, base, userId } = handle
      if (sameBytes(viewOf(wanted), base) && !durable && tries.doubt === undefined) return true
      const change = { basis: base, basisUser: userId, wanted, unmergedKeys: [] }
      const resolve = resolving(context, { ...customs, conflict: 'reject' }, change)
      try {
        adopt(handle, wanted, await writes.write({ locator, base: seen, resolve, idleTtlMs, durable, tries, call }))
        return true
      } catch (error) {
        if (isSessionStoreError(error, 'E_SESSION_CONFLICT')) return false
        throw error
      }
    },
    fresh: (handle) => context.values.decode(handle.base) as Data,
    copyOf: (handle) => {
      const { id, locator, seen, base } = handle
      const copy = give(new Handle(id, locator, context.values.decode(base) as Data, seen, handle.userId))
      copy.base = base
      copy.anchor = handle.anchor
      copy.unflushedWriteId = handle.unflushedWriteId
      return copy
    },
    maxAttempts: options.maxAttempts,
    patienceMs: Math.min(LONGEST_CHANGE_MS, options.deadlineMs / 4),
  })

  const checkedTtl = (idleTtlMs: number | undefined): number | undefined => {
    if (idleTtlMs !== undefined && (!Number.isInteger(idleTtlMs) || idleTtlMs < 1))
      throw invalidOption('idleTtlMs', 'a positive whole number of milliseconds', idleTtlMs)
    return idleTtlMs === undefined ? undefined : Math.min(idleTtlMs, options.absoluteTtlMs)
  }

  const withTtl = (saveOptions: SaveOptions): SaveOptions => {
    const idleTtlMs = checkedTtl(saveOptions.idleTtlMs)
    return idleTtlMs === undefined ? saveOptions : { ...saveOptions, idleTtlMs }
  }

  const regenerateInTurn = async (handle: Handle<Data>, wanted: Wanted, call: Call): Promise<Handle<Data>> => {
    await settled(handle)
    const id = sessionIdFrom(runtime.now(), runtime.randomBytes(32))
    const { locator: from, base: basis, userId: basisUser } = handle
    const to = locatorOf(id)
    const resolve = resolving(context, customs, { basis, basisUser, wanted, unmergedKeys: [] })
    const { now, resolved } = await queue.run(from.key, () =>
      regenerate(context, reads, flushes, { from, to, resolve, call }),
    )
    return give(new Handle(id, to, resolved.value as Data, now, resolved.userId))
  }

  const listed = listing<Data>(context)

  const close = async (closeOptions: CloseOptions = {}): Promise<CloseReport> => {
    refuseUnknownOptions(closeOptions, CALL_OPTIONS.close)
    const { deadlineMs = DEFAULT_DRAIN_MS } = closeOptions
    if (!Number.isInteger(deadlineMs) || deadlineMs < 0 || deadlineMs > LONGEST_TIMER_MS)
      throw invalidOption('deadlineMs', `a whole number of milliseconds, 0 to ${LONGEST_TIMER_MS}`, deadlineMs)
    closing ??= drain(context, flushes, { inFlight, beingFlushed: due.underWay }, deadlineMs)
    return await closing
  }

  return {
    create: (data, createOptions: CreateOptions = {}) =>
      timely('create', true, createOptions, (call) => {
        const id = createOptions.id ?? sessionIdFrom(runtime.now(), runtime.randomBytes(32))
        const idleTtlMs = checkedTtl(createOptions.idleTtlMs) ?? options.idleTtlMs
        return create(data, id, createOptions.id === undefined, idleTtlMs, call)
      }),
    load: (id, loadOptions = {}) => timely('load', false, loadOptions, (call) => load(id, loadOptions, call)),
    save: (session, saveOptions = {}) =>
      timely('save', true, saveOptions, (call) => save(mine(session), withTtl(saveOptions), call)),
    update: (id, change, saveOptions = {}) =>
      timely('update', true, saveOptions, (call) => {
        if (typeof change !== 'function')
          throw new TypeError(`Expected \`change\` to be a function, got ${typeof change}`)
        return update(checkedId(id), change, saveOptions, call)
      }),
    touch: (session, touchOptions: TouchOptions = {}) =>
      timely('touch', false, touchOptions, (call) => {
        const handle = mine(session)
        const idleTtlMs = checkedTtl(touchOptions.idleTtlMs)
        return handle.inTurn(() => touchInTurn(handle, idleTtlMs, call))
      }),
    regenerate: (session) =>
      timely('regenerate', true, {}, (call) => {
        const handle = mine(session)
        const wanted = wantedOf(context, customs, handle.data)
        return handle.inTurn(() => regenerateInTurn(handle, wanted, call))
      }),
    destroy: (id): Promise<DestroyReport> => timely('destroy', true, {}, () => destroy(context, locatorOf(id))),
    put: (id, data, saveOptions = {}) => timely('put', true, saveOptions, (call) => put(id, data, saveOptions, call)),
    list: (listOptions = {}) => timely('list', false, listOptions, () => listed.list(listOptions)),
    count: () => timely('count', false, {}, () => listed.count()),
    clear: async () => {
      if (closing !== undefined) throw closed()
      return await listed.clear()
    },
    health: async (): Promise<StoreHealth> => {
      const [front, back] = await Promise.all([cache.health(), backend.health()])
      const impaired = front.state !== 'up' || back.state !== 'up'
      const down = front.state === 'down' && back.state === 'down'
      return { state: down ? 'down' : impaired ? 'degraded' : 'up', cache: front, backend: back }
    },
    stats: () => telemetry.stats(due.unflushed()),
    on: (name, listener) => telemetry.on(name, listener),
    close,
    [Symbol.asyncDispose]: async () => {
      await close()
    },
  }
}

const closed = (): SessionStoreError => new SessionStoreError('E_CLOSED', 'The session store was closed')

const noRoom = (maxUnflushed: number): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_UNAVAILABLE',
    `More than ${maxUnflushed} sessions wait for a flush; the next reader of this one flushes it`,
    { operation: 'flush' },
  )
