import { randomBytes } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import type { CodecQuestion } from '../../scripts/bench-runner/codec-subject.js'
import type { ServerQuestion } from '../../scripts/bench-runner/request-server.js'
import { type Case, figuresOf, found, inRounds, type Sample } from '../../scripts/bench-runner/rounds.js'
import type { Size } from '../../scripts/bench-runner/sessions.js'
import { isWorse, pairedRatio, type Summary } from '../../scripts/bench-runner/statistics.js'
import type { OperationName, StoreQuestion } from '../../scripts/bench-runner/store-subject.js'
import { type Subject, startSubject } from '../../scripts/bench-runner/subject.js'
import { startTiers, type Tiers } from '../../scripts/bench-runner/tiers.js'
import { startVisitors, type Visitors } from '../../scripts/bench-runner/visits.js'
import { absent, ownMemcached, ownPostgres, skipUnless } from '../support/servers.js'
import { BOUNDS } from './bounds.js'

/** What is measured is this checkout, whether or not it was built. */
const FROM_SOURCE = ['--import', new URL('../support/from-source.mjs', import.meta.url).href]
const ROUNDS = 9
/** How much is done in a round: by number, so that a busy machine takes longer and measures as much. */
const [CALLS, REQUESTS, PATIENT_SECONDS] = [1_000, 150, 30]
const CODEC_SECONDS = 0.05
const AT_ONCE = 16

/** CPU of one case over another, in rounds in which they take turns. */
const ratioOf = async (one: () => Promise<Sample>, other: () => Promise<Sample>): Promise<Summary> => {
  const cases: readonly Case[] = [
    { name: 'one', group: '', run: one },
    { name: 'other', group: '', run: other },
  ]
  const measured = await inRounds(cases, ROUNDS)
  const cpu = (name: string): readonly number[] => figuresOf(found(measured, '', name), 'cpuUs')
  return pairedRatio(cpu('one'), cpu('other'))
}

const expectNoWorse = (ratio: Summary, bound: number): void => {
  const words = `${ratio.median.toFixed(2)} ± ${ratio.spread.toFixed(2)} in ${ratio.rounds} rounds, and ${bound} at most`
  process.stderr.write(`${expect.getState().currentTestName}: ${words}\n`)
  expect(ratio.rounds).toBe(ROUNDS)
  expect(isWorse(ratio, bound), words).toBe(false)
}

const subjects: Subject[] = []
const start = async (program: string): Promise<Subject> => {
  const subject = await startSubject(program, FROM_SOURCE)
  subjects.push(subject)
  return subject
}
afterAll(async () => {
  await Promise.all(subjects.map((subject) => subject.end()))
})

test('encoding and decoding costs no more beside JSON than was recorded', async () => {
  const subject = await start('codec-subject')
  const both = (codec: string, bytes: Size) => () =>
    subject.ask<Sample>({ codec, call: 'both', bytes, seconds: CODEC_SECONDS } satisfies CodecQuestion)
  const ratio = (bytes: Size) => ratioOf(both('nonstick', bytes), both('JSON, as the peers use it', bytes))
  expectNoWorse(await ratio(1_500), BOUNDS.codec1500OverJson)
  expectNoWorse(await ratio(20_000), BOUNDS.codec20000OverJson)
})

const [cacheFound, databaseFound] = [await ownMemcached(), ownPostgres()]
const servers =
  typeof cacheFound === 'function' && typeof databaseFound === 'function'
    ? ('there' as const)
    : absent('memcached or PostgreSQL is missing here')

skipUnless('costs beside those of others, on real servers', servers, () => {
  let tiers: Tiers | undefined
  const started = async (): Promise<Tiers> => {
    tiers ??= await startTiers()
    return tiers
  }
  const visitors: Visitors[] = []
  afterAll(async () => {
    await Promise.all(visitors.map((one) => one.close()))
    await tiers?.stop()
  })

  test('the store and its cache client cost no more on top of what they stand on than was recorded', async () => {
    const { memcached, database } = await started()
    const open = async (kind: 'nonstick' | 'nonstick/memcached alone' | 'bare binary socket') => {
      const subject = await start('store-subject')
      const places = { memcached: (await memcached()).server.address, database: (await database()).server }
      await subject.ask({ open: { kind, ...places } } satisfies StoreQuestion)
      return (operation: OperationName) => () =>
        subject.ask<Sample>({
          measure: operation,
          load: { seconds: PATIENT_SECONDS, atOnce: AT_ONCE, operations: CALLS },
        } satisfies StoreQuestion)
    }
    const [store, client, socket] = await Promise.all([
      open('nonstick'),
      open('nonstick/memcached alone'),
      open('bare binary socket'),
    ])
    expectNoWorse(await ratioOf(client('load'), socket('load')), BOUNDS.cacheGetOverBareSocket)
    expectNoWorse(await ratioOf(store('load'), client('load')), BOUNDS.loadOverCacheGet)
    expectNoWorse(await ratioOf(store('save'), store('load')), BOUNDS.saveOverLoad)
  })

  test('a request costs the server no more beside MemoryStore than was recorded', async () => {
    const { memcached, database } = await started()
    const open = async (store: string) => {
      const server = await start('request-server')
      const places = {
        memcached: (await memcached()).server.address,
        redis: '',
        database: (await database()).server,
        secret: randomBytes(32).toString('hex'),
      }
      const port = await server.ask<number>({ open: { store, places } } satisfies ServerQuestion)
      const visiting = await startVisitors([port], [1_500])
      visitors.push(visiting)
      await visiting.visit({ bytes: 1_500, writeEvery: 2, requests: 1_500, seconds: PATIENT_SECONDS })
      const used = () => server.ask<number>({ used: true } satisfies ServerQuestion)
      return (writeEvery: number) => async (): Promise<Sample> => {
        const before = await used()
        const { requests } = await visiting.visit({
          bytes: 1_500,
          writeEvery,
          requests: REQUESTS,
          seconds: PATIENT_SECONDS,
        })
        return { cpuUs: ((await used()) - before) / requests }
      }
    }
    const [ours, memory] = await Promise.all([open('nonstick on PostgreSQL'), open('MemoryStore')])
    expectNoWorse(await ratioOf(ours(0), memory(0)), BOUNDS.readOverMemoryStore)
    expectNoWorse(await ratioOf(ours(1), memory(1)), BOUNDS.writeOverMemoryStore)
  })
})
