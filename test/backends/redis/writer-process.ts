/**
 * A process that makes, changes and destroys sessions in a Redis, one after the other, and tells of each that was
 * acknowledged. It ends with whoever started it.
 */
import { redis } from '../../../src/backends/redis/index.js'
import type { GuardedUpdate } from '../../../src/contract/backend.js'
import { isSessionStoreError } from '../../../src/errors.js'
import { systemRuntime } from '../../../src/runtime.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import type { Told, WriterOptions } from './writers.js'

const { url, prefix, wait } = JSON.parse(process.argv[2] ?? '') as WriterOptions
const backend = redis({
  url,
  prefix,
  connectTimeoutMs: 5_000,
  queryTimeoutMs: 5_000,
  ...(wait === undefined ? {} : { wait }),
})

const tell = (told: Told): void => {
  process.send?.(told)
}
process.on('disconnect', () => process.exit())

/** The result, or `undefined` where the backend said that it could not be asked. Anything else ends the process. */
const tried = async <Result>(work: Promise<Result>): Promise<Result | undefined> => {
  try {
    return await work
  } catch (error) {
    if (!isSessionStoreError(error, 'E_SESSION_UNAVAILABLE')) throw error
    tell({ is: 'failed', applied: error.applied ?? 'not said' })
    return undefined
  }
}

for (let round = 0; ; round += 1) {
  const [locator, session] = [sampleLocator(), storedSession()]
  const { key } = locator
  const inserted = await tried(backend.insert(locator, session))
  if (inserted?.outcome !== 'inserted') continue
  tell({ is: 'kept', key, version: 1 })
  const update: GuardedUpdate = {
    locator,
    session: { ...session, version: 2 },
    token: new Uint8Array(0),
    guard: { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 },
  }
  const [updated] = (await tried(backend.update([update]))) ?? []
  if (updated?.outcome === 'failed') tell({ is: 'failed', applied: updated.error.applied ?? 'not said' })
  if (updated?.outcome === 'applied') tell({ is: 'kept', key, version: 2 })
  if (round % 3 !== 0) continue
  const now = systemRuntime.now()
  const ended = await tried(
    backend.destroy(locator, { writeId: sampleWriteId(), at: now, keepUntil: now + 86_400_000 }),
  )
  if (ended === 'destroyed') tell({ is: 'destroyed', key })
}
