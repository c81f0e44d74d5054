import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { rounds } from '../support/seed.js'
import { readArguments } from './arguments.js'
import type { Config } from './config.js'
import { CONTROLS } from './controls.js'
import { FAULT_KINDS } from './faults.js'
import { recordedSeeds, runControls, runMany, SEEDS_OF_A_CONTROL, tooRare } from './run.js'
import { runSchedule } from './schedule.js'
import { shrink } from './shrink.js'
import { runJob } from './worker.js'

const MINUTES = 60_000
/** A world in which sessions expire; where a clock had stepped, not all processes would find that they have. */
const shortLived = (drawn: Config): Config => ({
  ...drawn,
  idleTtlMs: 6_000,
  absoluteTtlMs: 20_000,
  tombstoneTtlMs: 20_500 + 2 * drawn.skewMs,
  faults: new Set([...drawn.faults].filter((kind) => kind !== 'clock stepped')),
})

/** The same schedules every time: a new seed is for `scripts/simulate --from`. */
const FIRST = 1

describe('the store in a simulated world', () => {
  test('keeps every promise in every schedule, and every kind of fault happened', {
    timeout: 30 * MINUTES,
  }, async () => {
    const result = await runMany(FIRST, rounds(2_500, 200_000))
    expect(
      result.failed.map(({ seed, promise, what }) => `scripts/simulate --seed ${seed}: ${promise}: ${what}`),
    ).toEqual([])
    expect(tooRare(result)).toEqual([])
    expect(result.fewestProcesses).toBeGreaterThanOrEqual(3)
    expect(result.fewestOperations).toBeGreaterThanOrEqual(30)
  })

  test('keeps them where creations are given up, and ids are used again once their sessions have expired', {
    timeout: 10 * MINUTES,
  }, async () => {
    for (const persistOn of ['create', 'identify', 'due'] as const)
      for (let seed = FIRST; seed < FIRST + rounds(25, 2_000); seed += 1) {
        const config = (drawn: Config): Config => ({ ...shortLived(drawn), persistOn, reusesIds: true })
        const { violations } = await runSchedule(seed, { control: { name: 'none', config } })
        expect({ seed, persistOn, violations }).toEqual({ seed, persistOn, violations: [] })
      }
  })

  test(`a weaker protocol does not, and is caught within ${SEEDS_OF_A_CONTROL} schedules`, {
    timeout: 30 * MINUTES,
  }, async () => {
    expect(CONTROLS.length).toBeGreaterThanOrEqual(10)
    const controls = await runControls(FIRST, recordedSeeds())
    expect(controls.filter(({ caught }) => caught === undefined).map(({ name }) => name)).toEqual([])
  })
})

describe('a schedule', () => {
  test('is the same twice, step by step, for one seed', async () => {
    for (const seed of [3, 8, 21, 34]) {
      const [once, twice] = [await runSchedule(seed, { told: true }), await runSchedule(seed, { told: true })]
      expect(once.history.length).toBeGreaterThan(50)
      expect(twice.history).toEqual(once.history)
    }
  })

  test('is the same, step by step, where all that the processes write is sealed, by each second one with another key', async () => {
    for (const seed of [3, 8, 21, 34]) {
      const [plain, sealed] = await Promise.all(
        [false, true].map((each) => runSchedule(seed, { told: true, sealed: each })),
      )
      expect([plain?.config.sealed, sealed?.config.sealed]).toEqual([false, true])
      // All but the line that shows how the world was drawn.
      expect(sealed?.history.slice(2)).toEqual(plain?.history.slice(2))
    }
  })

  test('is the same whether or not its steps are written down, and another for another seed', async () => {
    const told = await runSchedule(5, { told: true })
    const untold = await runSchedule(5)
    expect(untold).toEqual({ ...told, history: [] })
    const other = await runSchedule(6, { told: true })
    expect(other.history).not.toEqual(told.history)
  })
})

test('what broke a promise is shrunk to fewer faults and operations that break it still', {
  timeout: MINUTES,
}, async () => {
  const control = CONTROLS.find(({ name }) => name.startsWith('M01'))
  const options = control === undefined ? {} : { control }
  const [failed] = (await runJob({ from: FIRST, count: 100, control: control?.name ?? '', untilViolated: true })).failed
  const seed = failed?.seed ?? 0
  const mask = await shrink(seed, options)
  const [whole, less] = [await runSchedule(seed, options), await runSchedule(seed, { ...options, mask })]
  expect(less.violations.length).toBeGreaterThan(0)
  expect(less.config.operations).toBeLessThan(whole.config.operations)
  expect(less.config.faults.size).toBeLessThanOrEqual(whole.config.faults.size)
})

const simulate = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  const script = fileURLToPath(new URL('../../scripts/simulate', import.meta.url))
  try {
    const { stdout, stderr } = await promisify(execFile)(script, args, { maxBuffer: 2 ** 26 })
    return { code: 0, out: stdout, err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

describe('scripts/simulate', () => {
  test('replays one seed exactly, in another process, and prints its history', async () => {
    const here = await runSchedule(8, { told: true })
    const { code, out } = await simulate('--seed', '8')
    expect(code).toBe(0)
    expect(out.split('\n').slice(0, here.history.length)).toEqual(
      here.history.join('\n').split('\n').slice(0, here.history.length),
    )
  })

  test('ends with one line of JSON that counts each kind of fault', async () => {
    const { out } = await simulate('--seeds', '20', '--no-controls')
    const last = JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as { schedules: number; faults: object }
    expect(last).toMatchObject({ schedules: 20, violations: 0, controls: 0, caught: 0 })
    expect(Object.keys(last.faults)).toEqual([...FAULT_KINDS])
  })

  test('ends with 1 and names seed and promise where one is broken', async () => {
    const control = CONTROLS.find(({ name }) => name.startsWith('M46'))?.name ?? ''
    const [failed] = (await runJob({ from: FIRST, count: 100, control, untilViolated: true })).failed
    const { code, out } = await simulate('--seed', String(failed?.seed), '--control', 'M46')
    expect(code).toBe(1)
    expect(out).toMatch(new RegExp(`^seed ${failed?.seed}$`, 'm'))
    expect(out).toMatch(/^VIOLATED I2 /m)
  })

  test('explains itself, and ends with 2 for a mistake', async () => {
    expect(await simulate('--help')).toMatchObject({
      code: 0,
      out: expect.stringContaining('--seeds <number>') as string,
    })
    expect(await simulate('--sedes', '5')).toMatchObject({
      code: 2,
      err: expect.stringContaining('Unknown option') as string,
    })
    expect(() => readArguments(['--seeds', '0'])).toThrow('--seeds')
    expect(() => readArguments(['--seed'])).toThrow('value')
  })
})
