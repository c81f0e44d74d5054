import type { ListedSession, StoredSession } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { SessionFacts, SessionInfo } from '../../contract/session-store.js'
import type { SessionStoreError } from '../../errors.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import { handleOf } from '../../session/public-handle.js'
import { type Context, isUnreadable } from '../context.js'

/** A session as a listing shows it: what is recorded of it, and its data if that is asked for. */
export interface Showing<Data> {
  ofRow(locator: Locator, session: StoredSession, withData: boolean): SessionInfo<Data>
  /** @param userId as the data of the entry tells it */
  ofEntry(locator: Locator, entry: LiveEnvelope, userId: string | undefined, withData: boolean): SessionInfo<Data>
  /** As the backend has it, whether it can be read or not. */
  ofListed(entry: ListedSession, withData: boolean): SessionInfo<Data>
  /**
   * Sends out one event for the sessions that cannot be read, however many there are: there is mostly one reason for all
   * of them.
   */
  tellOfUnreadable(shown: readonly SessionInfo<Data>[]): void
}

const moment = (at: number): number | undefined => (at === 0 ? undefined : at)

type Names = Pick<SessionInfo, 'handle' | 'key'>

const namesOf = (locator: Locator): Names => {
  const handle = handleOf(locator)
  return { handle, key: handle }
}

export const showing = <Data>({ backend, telemetry, values }: Context): Showing<Data> => {
  const shown = (
    facts: SessionFacts & Names,
    copy: Pick<LiveEnvelope, 'codecId' | 'data'>,
    withData: boolean,
  ): SessionInfo<Data> => {
    if (!withData) return { ...facts, data: undefined }
    try {
      return { ...facts, data: values.decode(copy) as Data }
    } catch (error) {
      if (!isUnreadable(error)) throw error
      return { ...facts, data: undefined, error }
    }
  }

  const ofRow: Showing<Data>['ofRow'] = (locator, session, withData) => {
    const { app, userId, createdAt, seenAt, expiresAt, absoluteExpiresAt, idleTtlMs } = session
    const { reads, writes, address, userAgent } = session
    const facts = {
      ...{ ...namesOf(locator), from: 'backend' as const, app, userId, createdAt, seenAt },
      ...{ identifiedAt: moment(session.identifiedAt), expiresAt, absoluteExpiresAt, idleTtlMs },
      ...{ reads, writes, address, userAgent },
    }
    return shown(facts, session, withData)
  }

  return {
    ofRow,
    ofEntry: (locator, entry, userId, withData) => {
      const { app, createdAt, touchedAt, expiresAt, absoluteExpiresAt, idleTtlMs } = entry
      const { reads, writes, address, userAgent } = entry
      const facts = {
        ...{ ...namesOf(locator), from: 'cache' as const, app, userId, createdAt, seenAt: touchedAt },
        ...{ identifiedAt: moment(entry.identifiedAt), expiresAt, absoluteExpiresAt, idleTtlMs },
        ...{ reads, writes, address, userAgent },
      }
      return shown(facts, entry, withData)
    },
    ofListed: (entry, withData) =>
      'unreadable' in entry
        ? { ...namesOf(entry.locator), data: undefined, error: entry.unreadable }
        : ofRow(entry.locator, entry.session, withData),
    tellOfUnreadable: (infos) => {
      const errors = infos.map(({ error }) => error).filter((error): error is SessionStoreError => error !== undefined)
      const [error] = errors
      if (error === undefined) return
      telemetry.count('faults', errors.length)
      telemetry.emit('fault', { tier: backend.name, operation: 'list', error })
    },
  }
}
