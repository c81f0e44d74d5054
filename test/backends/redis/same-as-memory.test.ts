import fc from 'fast-check'
import { expect, test } from 'vitest'
import { memoryBackend } from '../../../src/backends/memory/index.js'
import { redis } from '../../../src/backends/redis/index.js'
import type { Backend, Enumerable, StoredSession } from '../../../src/contract/backend.js'
import { systemRuntime } from '../../../src/runtime.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { rounds, seed } from '../../support/seed.js'
import { skipUnless } from '../../support/skip.js'
import { freshPrefix, optionsFor, redisForThisFile, redisHere } from './server.js'

type Both = Backend & Enumerable

const HOUR_MS = 3_600_000
const start = systemRuntime.now()
const [LOCATORS, LINEAGES, WRITES] = [
  Array.from({ length: 4 }, () => sampleLocator({ namespace: 'same' })),
  ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb'],
  ['1111111111111111', '2222222222222222'],
] as const

const locators = fc.constantFrom(...LOCATORS)
const lineages = fc.constantFrom(...LINEAGES)
const versions = fc.integer({ min: 1, max: 4 })
/** From ten hours ago to ten hours ahead. Redis itself removes nothing of it: each lives for days whatever comes. */
const moments = fc.integer({ min: -10, max: 10 }).map((hours) => start + hours * HOUR_MS)

const sessions: fc.Arbitrary<StoredSession> = fc
  .record({
    lineage: lineages,
    version: versions,
    expiresAt: moments,
    seenAt: moments,
    idleTtlMs: fc.constantFrom(1_000, 2_000),
    userId: fc.constantFrom(undefined, 'ada', 'bob'),
    app: fc.constantFrom('', 'shop'),
  })
  .map((some) => ({ ...storedSession({ createdAt: start }), writeIds: [WRITES[0]], ...some }))

/** One call, and its answer in a form that can be compared. */
type Call = (backend: Both) => Promise<unknown>

const sorted = (keys: readonly { readonly key: string }[]): readonly string[] => keys.map(({ key }) => key).sort()

const ORACLE = { namespace: 'same', limit: 100 }

const calls: fc.Arbitrary<Call> = fc.oneof(
  fc
    .record({
      locator: locators,
      session: sessions,
      over: fc.option(fc.tuple(lineages, versions, moments)),
      late: fc.boolean(),
    })
    .map(
      ({ locator, session, over, late }): Call =>
        async (backend) => {
          const ended = over === null ? {} : { over: { lineage: over[0], version: over[1], endedBy: over[2] } }
          return backend.insert(locator, session, { ...ended, notAfter: start + (late ? -HOUR_MS : 9 * HOUR_MS) })
        },
    ),
  fc.record({ locator: locators, session: sessions, guard: fc.tuple(lineages, versions, lineages, versions) }).map(
    ({ locator, session, guard: [lineage, belowVersion, parentLineage, parentVersion] }): Call =>
      async (backend) =>
        backend.update([
          {
            locator,
            session,
            token: new Uint8Array(0),
            guard: { lineage, belowVersion, parentLineage, parentVersion },
          },
        ]),
  ),
  fc.record({ locator: locators, seenAt: moments, expiresAt: moments }).map(
    (extension): Call =>
      (backend) =>
        backend.extend([extension]),
  ),
  fc
    .record({
      locator: locators,
      writeId: fc.constantFrom(...WRITES),
      at: moments,
      keepUntil: moments,
      keepUntilIfAbsent: fc.option(moments),
      only: fc.option(fc.record({ lineage: lineages, version: versions })),
    })
    .map(
      ({ locator, keepUntilIfAbsent, only, ...options }): Call =>
        (backend) =>
          backend.destroy(locator, {
            ...options,
            ...(keepUntilIfAbsent === null ? {} : { keepUntilIfAbsent }),
            ...(only === null ? {} : { only }),
          }),
    ),
  fc.record({ now: moments, limit: fc.constant(100), graceMs: fc.constantFrom(0, 2 * HOUR_MS) }).map(
    (options): Call =>
      async (backend) =>
        (await backend.purge(options)).removed,
  ),
)

/** All that can be asked. */
const looks = async (backend: Both): Promise<unknown> => {
  const copies = await Promise.all(LOCATORS.map((locator) => backend.read(locator)))
  const lists: unknown[] = []
  for (const now of [start - 5 * HOUR_MS, start])
    for (const which of [
      {},
      { userId: 'ada' },
      { app: 'shop' },
      { app: '' },
      { seenSince: start },
      { userId: 'bob', app: 'shop' },
    ]) {
      const meant = { ...ORACLE, now, ...which }
      lists.push(
        sorted((await backend.listKeys(meant)).entries),
        await backend.count(meant),
        await backend.countUsers(meant),
      )
    }
  const plain = copies.map((copy) =>
    copy.state === 'live' ? { ...copy.session, data: Buffer.from(copy.session.data).toString('hex') } : copy.state,
  )
  return { plain, lists }
}

skipUnless('Redis beside memory', redisHere(), () => {
  const server = redisForThisFile()

  test('whatever is done in whichever order, Redis answers as the reference in memory does, and every index agrees', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(calls, { minLength: 1, maxLength: 12 }), async (steps) => {
        const prefix = freshPrefix()
        const pair: readonly Both[] = [memoryBackend(), redis(optionsFor(server(), prefix))]
        try {
          for (const step of steps) {
            const [expected, got] = await Promise.all(pair.map((backend) => step(backend)))
            expect(got).toEqual(expected)
            const [reference, found] = await Promise.all(pair.map(looks))
            expect(found).toEqual(reference)
          }
          await Promise.all(pair.map((backend) => backend.purge({ now: start + 99 * HOUR_MS, limit: 100, graceMs: 0 })))
          const left = await server().ask('KEYS', `${prefix}*`)
          expect(['', `${prefix}{namespaces}`]).toContain(left)
        } finally {
          await Promise.all(pair.map((backend) => backend.close()))
        }
      }),
      { seed, numRuns: rounds(40, 3_000) },
    )
  }, 600_000)
})
