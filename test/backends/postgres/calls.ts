import type { Backend } from '../../../src/contract/backend.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'

/** One call of each kind that changes something, on a session that stands nowhere. */
export const changesOf = (backend: Backend): readonly (() => Promise<unknown>)[] => {
  const session = storedSession()
  const locator = sampleLocator()
  const guard = { lineage: session.lineage, belowVersion: 1, parentLineage: session.lineage, parentVersion: 1 }
  return [
    () => backend.insert(locator, session),
    () => backend.update([{ locator, guard, session, token: new Uint8Array(0) }]),
    () => backend.extend([{ locator, seenAt: session.seenAt, expiresAt: session.expiresAt }]),
    () => backend.destroy(locator, { writeId: sampleWriteId(), at: session.seenAt, keepUntil: session.expiresAt }),
    () => backend.purge({ now: 1, limit: 1 }),
  ]
}
