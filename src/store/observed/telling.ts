import type { ChannelMessages, FlushReason, ReadMessage, WriteMessage } from '../../contract/events.js'
import type { DestroyReport, SaveReport, Session, SessionStore } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, type SessionStoreErrorCode } from '../../errors.js'
import { Handle } from '../calls/handle.js'
import type { BackendTier } from '../tiers/backend-tier.js'
import { type Ending, isHeard, timed } from './channels.js'

/** The store whose messages are published, and the clock by which they are timed. */
export interface Speaker {
  readonly runtime: Runtime
  readonly namespace: string
}

const codeOf = (error: unknown): SessionStoreErrorCode | 'unknown' =>
  isSessionStoreError(error) ? error.code : 'unknown'

/** A store that publishes its calls on the channels. Where nobody listens, a call goes straight through. */
export const tellingOfCalls = <Data>(
  store: SessionStore<Data>,
  { runtime, namespace }: Speaker,
): SessionStore<Data> => {
  const read = (ending: Ending<Session<Data> | undefined>, durationMs: number): ReadMessage => {
    if ('error' in ending) return { namespace, durationMs, outcome: 'failed', code: codeOf(ending.error) }
    if (ending.value === undefined) return { namespace, durationMs, outcome: 'none' }
    const from = ending.value instanceof Handle ? ending.value.newest.where : 'cache'
    return { namespace, durationMs, outcome: 'found', from }
  }
  const write =
    <T>(operation: WriteMessage['operation'], more: (value: T) => Partial<WriteMessage> = () => ({})) =>
    (ending: Ending<T>, durationMs: number): WriteMessage =>
      'error' in ending
        ? { namespace, durationMs, operation, outcome: 'failed', code: codeOf(ending.error) }
        : { namespace, durationMs, operation, outcome: 'done', ...more(ending.value) }
  const destroyed = (ending: Ending<DestroyReport>, durationMs: number): ChannelMessages['nonstick:destroy'] =>
    'error' in ending
      ? { namespace, durationMs, outcome: 'failed', code: codeOf(ending.error) }
      : { namespace, durationMs, outcome: 'done', cache: ending.value.cache }

  const created = write<Session<Data>>('create')
  const saved = write<SaveReport>('save', ({ changed, merged, durability }) => ({ changed, merged, durability }))
  const updated = write<Session<Data> | undefined>('update', (session) => (session ? {} : { outcome: 'none' }))
  const put = write<Session<Data>>('put')
  const touched = write<void>('touch')
  const regenerated = write<Session<Data>>('regenerate')

  const writing = <T>(call: () => Promise<T>, message: (ending: Ending<T>, durationMs: number) => WriteMessage) =>
    timed('nonstick:write', runtime, call, message)
  const isWriteHeard = (): boolean => isHeard('nonstick:write')

  return {
    ...store,
    load: (id, options) =>
      isHeard('nonstick:read')
        ? timed('nonstick:read', runtime, () => store.load(id, options), read)
        : store.load(id, options),
    destroy: (id, options) =>
      isHeard('nonstick:destroy')
        ? timed('nonstick:destroy', runtime, () => store.destroy(id, options), destroyed)
        : store.destroy(id, options),
    create: (data, options) =>
      isWriteHeard() ? writing(() => store.create(data, options), created) : store.create(data, options),
    save: (session, options) =>
      isWriteHeard() ? writing(() => store.save(session, options), saved) : store.save(session, options),
    update: (id, change, options) =>
      isWriteHeard() ? writing(() => store.update(id, change, options), updated) : store.update(id, change, options),
    put: (id, data, options) =>
      isWriteHeard() ? writing(() => store.put(id, data, options), put) : store.put(id, data, options),
    touch: (session, options) =>
      isWriteHeard() ? writing(() => store.touch(session, options), touched) : store.touch(session, options),
    regenerate: (session, options) =>
      isWriteHeard()
        ? writing(() => store.regenerate(session, options), regenerated)
        : store.regenerate(session, options),
  }
}

/** A backend that publishes on the channel of flushes how it took each session. */
export const tellingOfFlushes = (backend: BackendTier, { runtime, namespace }: Speaker): BackendTier => {
  const flushing = <T extends { readonly outcome: string }>(reason: FlushReason, call: () => Promise<T>): Promise<T> =>
    timed('nonstick:flush', runtime, call, (ending, durationMs) => {
      if ('error' in ending) return { namespace, durationMs, reason, outcome: 'failed', code: codeOf(ending.error) }
      const isIn = ending.value.outcome === 'inserted' || ending.value.outcome === 'applied'
      return { namespace, durationMs, reason, outcome: isIn ? 'written' : 'refused' }
    })
  return {
    ...backend,
    insert: (locator, session, reason, options) =>
      isHeard('nonstick:flush')
        ? flushing(reason, () => backend.insert(locator, session, reason, options))
        : backend.insert(locator, session, reason, options),
    update: (entry, reason) =>
      isHeard('nonstick:flush') ? flushing(reason, () => backend.update(entry, reason)) : backend.update(entry, reason),
    updateIfDue: (entry, reason, isStillDue) =>
      isHeard('nonstick:flush')
        ? flushing(reason, () => backend.updateIfDue(entry, reason, isStillDue))
        : backend.updateIfDue(entry, reason, isStillDue),
  }
}
