import type { Locator } from '../contract/locator.js'
import type {
  CallOptions,
  DestroyByHandleOptions,
  DestroyByUserOptions,
  DestroySessionOptions,
  ListByUserOptions,
  Session,
  SessionStore,
} from '../contract/session-store.js'
import { isSessionStoreError, SessionStoreError } from '../errors.js'
import { checkedId } from '../session/id.js'
import { handleOf, locatorOfHandle } from '../session/public-handle.js'
import { keyedQueue } from '../tools/keyed-queue.js'
import { byHandle } from './calls/by-handle.js'
import { byUser, checkedUserId } from './calls/by-user.js'
import type { Call } from './calls/call.js'
import { checkCallOptions, NO_OPTIONS } from './calls/call-options.js'
import { closing } from './calls/close.js'
import { creatingHandles } from './calls/create.js'
import { entrance } from './calls/entrance.js'
import type { Handle } from './calls/handle.js'
import { handlesOf, isSession } from './calls/handles.js'
import { health } from './calls/health.js'
import { listing, type Step } from './calls/listing.js'
import { loading } from './calls/load.js'
import { newestOf } from './calls/newest.js'
import { type CallParts, locatorOf } from './calls/parts.js'
import { purging } from './calls/purge.js'
import { putting } from './calls/put.js'
import { readiness } from './calls/ready.js'
import { regenerating } from './calls/regenerate.js'
import { saving } from './calls/save.js'
import { showing } from './calls/shown.js'
import { updating } from './calls/update.js'
import { updateSteps } from './calls/update-steps.js'
import { type Context, destroyedMeanwhile } from './context.js'
import { dueFlushes } from './owed/due-flushes.js'
import { ledger as unflushedLedger } from './owed/ledger.js'
import { selfPurge } from './owed/self-purge.js'
import { adopting } from './protocol/adopt.js'
import { destroyEverywhere } from './protocol/end-there.js'
import { flushing } from './protocol/flush.js'
import { reading } from './protocol/read.js'
import type { Customs } from './protocol/resolve.js'
import { writing } from './protocol/write.js'

/**
 * Makes the store that programs and adapters use, from the steps of the protocol. Each call is in a file of `calls/`.
 */
export const sessionStore = <Data>(parts: Omit<Context, 'ledger'>, customs: Customs<Data>): SessionStore<Data> => {
  const { options, runtime, telemetry } = parts
  const ledger = unflushedLedger({
    runtime,
    maxStaleMs: options.maxStaleMs,
    maxEntries: options.maxUnflushed,
    flush: (noted) => due.flush(noted),
    abandon: () => telemetry.emit('abandoned', { operation: 'flush', error: noRoom(options.maxUnflushed) }),
  })
  const context: Context = { ...parts, ledger }
  const flushes = flushing(context)
  const reads = reading(context, flushes, adopting(context, customs, flushes))
  const due = dueFlushes(context, flushes)
  const writes = writing(context, reads, flushes)
  const handles = handlesOf<Data>(context)
  const calls: CallParts<Data> = { context, customs, reads, writes, flushes, due, handles, queue: keyedQueue() }

  const load = loading(calls)
  const { create, createUnder } = creatingHandles(calls)
  const saves = saving(calls)
  const loaded = (id: string, call: Call): Promise<Handle<Data> | undefined> => load(id, { touch: false }, call)
  const put = putting(calls, createUnder, saves)
  const update = updating(updateSteps(calls, load, saves))
  const regenerate = regenerating(calls, saves)
  const shown = showing<Data>(context)
  const newest = newestOf(context, shown)
  const listed = listing(context, shown, newest)
  const ofUser = byUser(calls, listed, shown, newest)
  const ofHandle = byHandle(context, shown)

  const door = entrance(context, () => bySelf.begin())
  const { timely } = door
  const { mine } = handles
  const { namespace } = options
  /** The pieces of a call that takes as long as there are sessions. */
  const stepsOf =
    ({ signal }: CallOptions): Step =>
    (operation, isChange, work) =>
      timely(operation, isChange, signal === undefined ? NO_OPTIONS : { signal }, work)
  const locatorOfSession = (session: Session<Data> | string): Locator =>
    isSession(session) ? mine(session).locator : locatorOf(context, session)
  const idOf = (session: Session<Data> | string): string => (isSession(session) ? session.id : session)
  const { purge, purgeBySelf } = purging(context, door)
  const bySelf = selfPurge(runtime, options.purgeEveryMs, async () => {
    await purgeBySelf().catch((error: unknown) => {
      // An error of a tier was sent out as an event when the tier rejected, and that the store is closed is none.
      if (!isSessionStoreError(error)) telemetry.emit('fault', { tier: 'the session store', operation: 'purge', error })
    })
  })
  const close = closing(calls, door, bySelf.stop)

  return {
    create: (data, createOptions = NO_OPTIONS) =>
      timely('create', true, createOptions, (call) => create(data, createOptions, call)),
    load: (id, loadOptions = NO_OPTIONS) => timely('load', false, loadOptions, (call) => load(id, loadOptions, call)),
    save: (session, saveOptions = NO_OPTIONS) =>
      timely('save', true, saveOptions, (call) => saves.save(mine(session), saveOptions, call)),
    update: (id, change, saveOptions = NO_OPTIONS) =>
      timely('update', true, saveOptions, (call) => {
        if (typeof change !== 'function')
          throw new TypeError(`Expected \`change\` to be a function, got ${typeof change}`)
        return update(checkedId(id), change, saveOptions, call)
      }),
    touch: (session, touchOptions = NO_OPTIONS) =>
      timely('touch', false, touchOptions, (call) => {
        const { idleTtlMs } = touchOptions
        if (isSession(session)) return saves.touch(mine(session), idleTtlMs, call)
        return loaded(session, call).then((handle) => handle && saves.touch(handle, idleTtlMs, call))
      }),
    regenerate: (session, regenerateOptions = NO_OPTIONS) =>
      timely('regenerate', true, regenerateOptions, (call) => {
        // `regenerate` is called at once, so that what the handle holds now counts, and not what it holds when its turn
        // comes.
        if (isSession(session)) return regenerate(mine(session), regenerateOptions, call)
        return loaded(session, call).then((handle) => regenerate(handle ?? gone(), regenerateOptions, call))
      }),
    destroy: (session, destroyOptions: DestroySessionOptions = NO_OPTIONS) =>
      timely('destroy', true, destroyOptions, () => {
        const how = { ...destroyOptions, by: destroyOptions.by ?? 'request' }
        return destroyEverywhere(context, idOf(session), locatorOfSession(session), how)
      }),
    put: (id, data, saveOptions = NO_OPTIONS) =>
      timely('put', true, saveOptions, (call) => put(id, data, saveOptions, call)),
    list: (listOptions = NO_OPTIONS) => timely('list', false, listOptions, (call) => listed.list(listOptions, call)),
    count: (countOptions = NO_OPTIONS) => timely('count', false, countOptions, () => listed.count(countOptions)),
    activity: (activityOptions) => timely('activity', false, activityOptions, () => listed.activity(activityOptions)),
    destroyAll: async (allOptions = NO_OPTIONS) => {
      await timely('destroyAll', true, allOptions, async () => {})
      return await listed.destroyAll(allOptions, stepsOf(allOptions))
    },
    clear: async (clearOptions: CallOptions = NO_OPTIONS) => {
      await timely('clear', true, clearOptions, async () => {})
      return (await listed.destroyAll(NO_OPTIONS, stepsOf(clearOptions))).destroyed
    },
    listByUser: (userId, userOptions = NO_OPTIONS) => {
      checkCallOptions('listByUser', userOptions)
      return ofUser.list(checkedUserId(userId), userOptions, stepsOf(userOptions))
    },
    countByUser: (userId, userOptions = NO_OPTIONS) =>
      timely('countByUser', false, userOptions, () => ofUser.count(checkedUserId(userId))),
    destroyByUser: async (userId, userOptions: DestroyByUserOptions = NO_OPTIONS) => {
      const except = await timely('destroyByUser', true, userOptions, async () =>
        userOptions.except === undefined ? undefined : locatorOfSession(userOptions.except as Session<Data> | string),
      )
      return await ofUser.destroy(checkedUserId(userId), except, userOptions.by ?? 'user', stepsOf(userOptions))
    },
    exportByUser: async (userId, userOptions: CallOptions = NO_OPTIONS) => {
      checkCallOptions('exportByUser', userOptions)
      return await ofUser.export(checkedUserId(userId), stepsOf(userOptions))
    },
    handleOf: (session) => handleOf(locatorOfSession(session)),
    inspect: (handle, inspectOptions: ListByUserOptions = NO_OPTIONS) =>
      timely('inspect', false, inspectOptions, () =>
        ofHandle.inspect(locatorOfHandle(namespace, handle), inspectOptions.data === true),
      ),
    destroyByHandle: (handle, handleOptions: DestroyByHandleOptions = NO_OPTIONS) =>
      timely('destroyByHandle', true, handleOptions, () =>
        ofHandle.destroy(locatorOfHandle(namespace, handle), handleOptions.by ?? 'user'),
      ),
    purge,
    ready: readiness(context, door),
    health: () => health(context),
    stats: () => telemetry.stats(due.unflushed()),
    on: (name, listener) => telemetry.on(name, listener),
    close,
    [Symbol.asyncDispose]: async () => {
      await close()
    },
  }
}

const gone = (): never => {
  throw destroyedMeanwhile()
}

const noRoom = (maxUnflushed: number): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_UNAVAILABLE',
    `More than ${maxUnflushed} sessions wait for a flush; the next reader of this one flushes it`,
    { operation: 'flush' },
  )
