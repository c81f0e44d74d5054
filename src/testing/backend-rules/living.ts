import assert from 'node:assert/strict'
import { sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, insertNew, nextOf, type Rule, times } from './rule.js'

/** Set-up, health and the end of the backend itself. */
export const LIVING: readonly Rule[] = [
  {
    title: 'a name is lower-case',
    check: async ({ backend }) => {
      assert.match(backend.name, /^[a-z][a-z0-9-]*$/)
    },
  },
  {
    title: 'setting up may be done twice, and by several at once, and keeps what is there',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const session = storedSession()
      await insertNew(backend, locator, session)
      await backend.setUp()
      await Promise.all(times(4, () => backend.setUp()))
      await assertStands(backend, locator, session)
    },
  },
  {
    title: 'a backend that answers is up, and says how fast',
    check: async ({ backend }) => {
      const health = await backend.health()
      assert.equal(health.state, 'up')
      assert.equal(health.tier, backend.name)
      assert.ok(Number.isFinite(health.latencyMs) && health.latencyMs >= 0)
    },
  },
  {
    title: 'closing twice is fine, and every call after it rejects with E_CLOSED',
    check: async ({ backend, enumerable, now }) => {
      const locator = sampleLocator()
      const session = storedSession()
      await Promise.all([backend.close(), backend.close()])
      await backend.close()
      const calls: readonly (() => Promise<unknown>)[] = [
        () => backend.read(locator),
        () => backend.insert(locator, session),
        () => backend.update([nextOf(locator, session)]),
        () => backend.extend([{ locator, seenAt: now(), expiresAt: now() }]),
        () => backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() }),
        () => backend.purge({ now: now(), limit: 1 }),
        () => backend.setUp(),
        () => backend.health(),
        ...(enumerable === undefined
          ? []
          : [
              () => enumerable.list({ namespace: 'contract', now: now(), limit: 1, withData: true, maxBytes: 1_000 }),
              () => enumerable.listKeys({ namespace: 'contract', now: now(), limit: 1 }),
              () => enumerable.count({ namespace: 'contract', now: now() }),
              () => enumerable.countUsers({ namespace: 'contract', now: now() }),
            ]),
      ]
      for (const call of calls) await assert.rejects(call, { name: 'SessionStoreError', code: 'E_CLOSED' })
    },
  },
]
