import { expect, test } from 'vitest'
import type { BackendToken, Guard, StoredSession } from '../../../src/contract/backend.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLineage, sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { quietRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { closedAfterEach } from './scene.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const closing = closedAfterEach()

/** A session in its fifth version, and its token. */
const standing = async () => {
  const backend = couchdb(couch().options())
  closing.push(() => backend.close())
  const locator = sampleLocator({ bornMonth: monthOf(quietRuntime.now()) })
  const session = storedSession({ version: 5 })
  const inserted = await backend.insert(locator, session)
  if (inserted.outcome !== 'inserted') expect.fail(inserted.outcome)
  const update = async (next: StoredSession, guard: Partial<Guard>, token: BackendToken) => {
    const whole = { lineage: next.lineage, belowVersion: 1, parentLineage: next.lineage, parentVersion: 1, ...guard }
    const [outcome] = await backend.update([{ locator, session: next, guard: whole, token }])
    return outcome
  }
  return { backend, locator, session, token: inserted.token, update }
}

test('a token that fits opens no guard that does not', async () => {
  const { backend, locator, session, token, update } = await standing()
  const lineage = sampleLineage()
  for (const guard of [
    { lineage: session.lineage, belowVersion: 5 },
    { parentLineage: session.lineage, parentVersion: 4 },
    { parentLineage: session.lineage, parentVersion: 6 },
    { lineage, belowVersion: 99, parentLineage: lineage, parentVersion: 5 },
  ])
    expect(await update({ ...session, lineage, version: 20 }, guard, token)).toMatchObject({
      outcome: 'refused',
      row: { lineage: session.lineage, version: 5 },
    })
  expect(await backend.read(locator)).toMatchObject({ session })
})

test('a token that no longer fits closes no guard that is open', async () => {
  const { backend, locator, session, token, update } = await standing()
  const guard = { belowVersion: 99 }
  expect((await update({ ...session, version: 6 }, guard, token))?.outcome).toBe('applied')
  expect((await update({ ...session, version: 7 }, guard, token))?.outcome).toBe('applied')
  expect(await backend.read(locator)).toMatchObject({ session: { version: 7 } })
})

test('each answer’s token fits: that of an insert, an update, a refusal and a read', async () => {
  const { backend, locator, session, token, update } = await standing()
  let version = session.version
  const next = async (known: BackendToken): Promise<BackendToken> => {
    version += 1
    const outcome = await update({ ...session, version }, { belowVersion: version }, known)
    if (outcome?.outcome !== 'applied') expect.fail(outcome?.outcome)
    return outcome.token
  }
  const updated = await next(await next(token))
  const refused = await update({ ...session, version: 2 }, {}, updated)
  if (refused?.outcome !== 'refused' || refused.row.state !== 'live') expect.fail(refused?.outcome)
  expect(refused.row.token).toEqual(updated)
  const read = await backend.read(locator)
  expect(read).toMatchObject({ token: updated })
  await next(refused.row.token)
})
