import type { AuditEvent } from '../../contract/events.js'
import type { CacheKey } from '../../contract/locator.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError } from '../../errors.js'
import { auditName, originOf } from '../../session/audit-name.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import type { Telemetry } from './telemetry.js'

/** What is known of a session that an event is about, from whichever tier. */
export type Audited = Pick<LiveEnvelope, 'origin' | 'app' | 'address' | 'userAgent'>

/** What happened; the rest of an event is found out here. */
export type Happened = Pick<AuditEvent, 'action' | 'by'> & Partial<Pick<AuditEvent, 'user' | 'formerUser'>>

/**
 * The audit trail: what became of sessions, and who did it. An event is told when the tiers have answered, so that it is
 * not told of what was refused. Whoever tells one asks `isHeard` first, so that nothing is looked up for nobody.
 */
export interface Audit {
  isHeard(): boolean
  /**
   * Tells what has been done to a session.
   *
   * @param session `undefined` where nobody could find out anything of it, not even its name
   */
  done(key: CacheKey, session: Audited | undefined, happened: Happened): void
  /**
   * Tells what an error means: nothing for a change that was surely not made, an unknown outcome for one that may have
   * been, and a refusal where a user has too many sessions.
   */
  failed(key: CacheKey, session: Audited | undefined, happened: Happened, error: unknown): void
  /** Tells what is about no single session. */
  ofMany(event: Omit<AuditEvent, 'namespace' | 'at'>): void
}

export interface AuditOptions {
  readonly runtime: Pick<Runtime, 'now'>
  readonly telemetry: Telemetry
  readonly namespace: string
  /** `undefined`: sessions have no name in the trail. */
  readonly auditKey: Uint8Array | undefined
}

export const audit = ({ runtime, telemetry, namespace, auditKey }: AuditOptions): Audit => {
  const isHeard = (): boolean => telemetry.isAuditHeard()
  const ofMany: Audit['ofMany'] = (event) => {
    if (isHeard()) telemetry.emit('audit', { namespace, at: runtime.now(), ...event })
  }
  const tell = (
    key: CacheKey,
    session: Audited | undefined,
    { action, by, user, formerUser }: Happened,
    ending: Pick<AuditEvent, 'outcome' | 'code'>,
  ): void => {
    if (!isHeard()) return
    const { app = '', address, userAgent } = session ?? {}
    const isNamed = session !== undefined && auditKey !== undefined
    ofMany({
      action,
      ...ending,
      by,
      ...(isNamed ? { session: auditName(auditKey, namespace, originOf(key, session)) } : {}),
      ...(user === undefined ? {} : { user }),
      ...(formerUser === undefined ? {} : { formerUser }),
      ...(app === '' ? {} : { app }),
      ...(address === undefined ? {} : { address }),
      ...(userAgent === undefined ? {} : { userAgent }),
    })
  }
  return {
    isHeard,
    done: (key, session, happened) => tell(key, session, happened, { outcome: 'done' }),
    failed: (key, session, happened, error) => {
      if (!isSessionStoreError(error)) return
      const { code, applied } = error
      if (code === 'E_SESSION_LIMIT')
        tell(key, session, { ...happened, action: 'identified', by: 'limit' }, { outcome: 'refused', code })
      else if (applied === 'unknown') tell(key, session, happened, { outcome: 'unknown', code })
    },
    ofMany,
  }
}
