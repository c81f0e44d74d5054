import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { SealingOptions } from '../../src/store/sealing.js'
import { keyNamed } from '../support/sealing.js'
import { rounds } from '../support/seed.js'
import { skipUnless } from '../support/servers.js'
import { findServers, noComplaints, openTiers, type Tiers } from './cluster.js'
import { lossesAreBounded, lostOf, nothingIsLost, nothingIsMadeUp, type Operation, type Token } from './history.js'
import { type Done, type OpenOptions, type StoreProcess, startProcesses } from './processes.js'

const MINUTE_MS = 60_000
const SESSIONS = 6
/** How many changes each process makes to each session in each of the steps. */
const CHANGES = rounds(2, 20)
const MOST_STALE = 4

vi.setConfig({ testTimeout: rounds(5 * MINUTE_MS, 60 * MINUTE_MS) })

const [first, second] = ['first', 'second'].map((name) => Buffer.from(keyNamed(name)).toString('base64')) as [
  string,
  string,
]

/** How a process seals, step after step: switched on, then with another key. `undefined` is the release before. */
const STEPS: readonly (readonly [string, SealingOptions | undefined])[] = [
  ['it does not seal', undefined],
  ['it learns to open', { keys: [first], acceptUnsealed: true, writeUnsealed: true }],
  ['it seals', { keys: [first], acceptUnsealed: true }],
  ['it believes nothing unsealed', { keys: [first] }],
  ['it learns the next key', { keys: [first, second] }],
  ['it seals with the next key', { keys: [second, first] }],
  ['it has forgotten the first key', { keys: [second] }],
]

/** Before these steps, what the step before has written is all that stands there: every session was written since. */
const FORGETTING: ReadonlySet<string> = new Set(['it believes nothing unsealed', 'it has forgotten the first key'])

skipUnless('a rolling change of three processes', await findServers(), (servers) => {
  let tiers: Tiers
  let processes: readonly StoreProcess[]
  beforeAll(async () => {
    ;[tiers, processes] = await Promise.all([openTiers(servers), startProcesses(3)])
  })
  afterAll(async () => {
    await Promise.all((processes ?? []).map((each) => each.end()))
    await tiers?.stop()
  })

  test('from no sealing to the second key, under load, logs nobody out and loses no change', async () => {
    const { cacheAddress, connectionString, schema } = tiers
    const optionsOf = (sealing: SealingOptions | undefined): OpenOptions => ({
      cacheAddress,
      backend: { kind: 'postgres', connectionString, schema },
      maxStaleCount: MOST_STALE,
      maxStaleMs: 2_000,
      ...(sealing === undefined ? {} : { sealing }),
    })
    /** The store that each process works with now, by the number of its step. */
    const steps = processes.map(() => 0)
    const storeOf = (at: number): string => `step ${steps[at]}`
    for (const each of processes) await each.open('step 0', optionsOf(undefined))
    const ids = await Promise.all(
      Array.from({ length: SESSIONS }, (_, at) => (processes[at % 3] as StoreProcess).create('step 0')),
    )
    const histories = new Map<string, Operation[]>(ids.map((id) => [id, []]))
    const note = (done: readonly Done[]): void => {
      for (const operation of done) histories.get(operation.session)?.push(operation)
    }

    let tokens = 0
    /** Each process changes and reads every session, several times, at the same moments as the others. */
    const load = async (durable = false): Promise<void> => {
      const done = await Promise.all(
        processes.flatMap((each, at) =>
          ids.map((id) =>
            each.run({
              store: storeOf(at),
              id,
              steps: Array.from({ length: durable ? 1 : CHANGES }, () => {
                tokens += 1
                return [
                  { what: 'update' as const, token: `t${tokens}`, durable },
                  { what: 'load' as const, afterMs: 1 },
                ]
              }).flat(),
            }),
          ),
        ),
      )
      note(done.flat())
    }

    for (const [number, [title, sealing]] of STEPS.entries()) {
      if (number === 0) continue
      if (FORGETTING.has(title)) await load(true)
      for (const [at, each] of processes.entries()) {
        const [before, after] = [storeOf(at), `step ${number}`]
        await each.open(after, optionsOf(sealing))
        // The others work on while this one is replaced, and this one works with both for a moment, as a rollout does.
        const both = load()
        steps[at] = number
        await Promise.all([both, load()])
        expect(await each.close(before), `process ${at + 1}, ${title}`).toMatchObject({ left: 0, destroysLeft: 0 })
      }
    }

    for (const [at, each] of processes.entries()) {
      const { damaged, faults } = await each.stats(storeOf(at))
      expect({ damaged, faults }, 'nothing was met that could not be read').toEqual({ damaged: 0, faults: 0 })
    }
    const survivors = processes[0] as StoreProcess
    for (const [id, history] of histories) {
      expect(history.length).toBeGreaterThan(2 * CHANGES * 3 * 2 * 3 * (STEPS.length - 1))
      expect(history.filter(({ outcome }) => outcome !== 'ok').slice(0, 3), 'nobody was logged out').toEqual([])
      const data = await survivors.data(storeOf(0), id)
      expect(lostOf(history, data?.['log'] as Token[]).slice(0, 3), 'no change was lost').toEqual([])
      noComplaints('the rolling change', [...nothingIsMadeUp(history), ...nothingIsLost(history)], history)
    }
    // The rows can be opened as well, by who has the second key alone.
    const loss = await tiers.emptyCache()
    for (const [id, history] of histories) {
      const data = await survivors.data(storeOf(0), id)
      noComplaints('the rows', lossesAreBounded(history, [loss], data?.['log'] as Token[], MOST_STALE), history)
    }
    const { rows } = await tiers.client.query<{ sealed: number }>(
      `select count(*)::int as sealed from ${schema}.session where get_byte(data, 0) = 193`,
    )
    expect(rows).toEqual([{ sealed: SESSIONS }])
  })
})
