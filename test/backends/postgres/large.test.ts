import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { sampleLineage, sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { clusterForThisFile } from './cluster.js'
import { type Noted, notingPool } from './noting-pool.js'

const cluster = clusterForThisFile()
const MIB = 1_048_576
const PATIENT_MS = 60_000

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A backend whose statements are noted, and another that does what its statements are not to see. */
const opened = () => {
  const { url, schema, table } = cluster()
  const { pool, statements, end } = notingPool(url)
  const place = { schema, table, queryTimeoutMs: PATIENT_MS }
  const [backend, other] = [postgres({ pool, ...place }), postgres({ connectionString: url, ...place })]
  closing.push(
    end,
    () => backend.close(),
    () => other.close(),
  )
  const locator = sampleLocator()
  const pieces = (): readonly Noted[] => statements.filter(({ text }) => text.includes('as piece'))
  return { backend, other, locator, statements, pieces }
}

describe('data of some megabytes', () => {
  test('is read in pieces, none of which keeps the event loop for long, and comes back whole', async () => {
    for (const bytes of [256 * 1_024 + 1, 3 * MIB, 4 * MIB + 17]) {
      const { backend, locator, pieces } = opened()
      const session = storedSession({ data: randomBytes(bytes) })
      await backend.insert(locator, session)
      const copy = await backend.read(locator)
      expect(copy).toMatchObject({ state: 'live', session: { lineage: session.lineage, version: 1 } })
      expect(copy.state === 'live' && Buffer.compare(copy.session.data, session.data)).toBe(0)
      expect(pieces().length).toBe(Math.ceil(bytes / (256 * 1_024)))
    }
  })

  test('of no more than one piece is read at once', async () => {
    const { backend, locator, pieces } = opened()
    const session = storedSession({ data: randomBytes(256 * 1_024) })
    await backend.insert(locator, session)
    const copy = await backend.read(locator)
    expect(copy.state === 'live' && Buffer.compare(copy.session.data, session.data)).toBe(0)
    expect(pieces()).toEqual([])
  })

  test('is of one copy, also where others replace it while it is read, as often as they may', async () => {
    const { backend, other, locator, statements, pieces } = opened()
    const lineage = sampleLineage()
    const copyOf = (version: number) => storedSession({ lineage, version, data: Buffer.alloc(MIB, version) })
    await other.insert(locator, copyOf(1))
    let version = 1
    const push = statements.push.bind(statements)
    statements.push = (statement) => {
      // Between two pieces: the next one finds another version.
      if (statement.text.includes('as piece') && pieces().length % 4 === 1) void replace()
      return push(statement)
    }
    const replacing: Promise<unknown>[] = []
    const replace = (): void => {
      version += 1
      const guard = { lineage, belowVersion: version, parentLineage: lineage, parentVersion: version - 1 }
      replacing.push(other.update([{ locator, guard, session: copyOf(version), token: new Uint8Array(0) }]))
    }
    const copy = await backend.read(locator)
    await Promise.all(replacing)
    expect(replacing.length).toBeGreaterThan(0)
    if (copy.state !== 'live') throw new Error('Expected the session to be there')
    expect(new Set(copy.session.data)).toEqual(new Set([copy.session.version]))
    expect(copy.session.data).toHaveLength(MIB)
  })

  test('is absent, and not half of it, where it is destroyed while it is read', async () => {
    const { backend, other, locator, statements } = opened()
    await other.insert(locator, storedSession({ data: randomBytes(2 * MIB) }))
    const push = statements.push.bind(statements)
    let destroying: Promise<unknown> | undefined
    statements.push = (statement) => {
      if (statement.text.includes('as piece'))
        destroying ??= other.destroy(locator, {
          at: cluster().now(),
          keepUntil: cluster().now() + 86_400_000,
          writeId: sampleLineage(),
        })
      return push(statement)
    }
    const copy = await backend.read(locator)
    await destroying
    expect(['destroyed', 'live']).toContain(copy.state)
    if (copy.state === 'live') expect(copy.session.data).toHaveLength(2 * MIB)
    expect(await backend.read(locator)).toEqual({ state: 'destroyed' })
  })
})
