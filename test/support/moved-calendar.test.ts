import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { movedCalendar } from '../../scripts/test-runner/calendar.js'

/** What one process sees of time, then what a thread and a child of it see. */
const PROGRAM = `
  import { execFileSync } from 'node:child_process'
  import { isMainThread, Worker } from 'node:worker_threads'
  class Derived extends Date {}
  console.log(JSON.stringify({
    now: Date.now(),
    constructed: new Date().getTime(),
    derived: new Derived().getTime(),
    called: Date.parse(Date('an argument that is ignored')),
    given: [new Date(5).getTime(), new Date('1970-01-01T00:00:00.006Z').getTime(), Date.UTC(1970, 0, 1, 0, 0, 0, 7)],
    isOurs: [new Date(), new Date(5), structuredClone(new Date())].every(
      (each) => each instanceof Date && each.constructor === Date,
    ),
    isDerived: new Derived(5) instanceof Derived && new Derived(5) instanceof Date,
  }))
  if (isMainThread && process.argv.length === 2) {
    execFileSync(process.execPath, [process.argv[1], 'child'], { stdio: 'inherit' })
    new Worker(process.argv[1])
  }
`

const LEAP_DAY = Date.UTC(2028, 1, 29, 12)

interface Sight {
  readonly now: number
  readonly constructed: number
  readonly derived: number
  readonly called: number
  readonly given: readonly number[]
  readonly isOurs: boolean
  readonly isDerived: boolean
}

test('a run at another date sees that date in its processes, their children and their threads', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nonstick-calendar-'))
  const program = join(folder, 'program.mjs')
  await writeFile(program, PROGRAM)
  try {
    const env = { ...process.env, ...movedCalendar(LEAP_DAY, '') }
    const { stdout } = await promisify(execFile)(process.execPath, [program], { env })
    const sights = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Sight)
    expect(sights).toHaveLength(3)
    for (const { now, constructed, derived, called, given, isOurs, isDerived } of sights) {
      for (const moment of [now, constructed, derived, called + 1_000])
        expect(new Date(moment).toISOString()).toMatch(/^2028-02-29T12:/)
      expect({ given, isOurs, isDerived }).toEqual({ given: [5, 6, 7], isOurs: true, isDerived: true })
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('what a run before it asked of Node stays asked', () => {
  expect(movedCalendar(LEAP_DAY, '--trace-warnings')['NODE_OPTIONS']).toMatch(
    /^--trace-warnings --import=file:.*moved-calendar\.mjs\?shiftMs=\d+$/,
  )
})

test('a process that is not told by how much refuses to run, rather than to run on a wrong day', async () => {
  for (const query of ['', '?shiftMs=', '?shiftMs=a+week']) {
    const loader = new URL(`moved-calendar.mjs${query}`, import.meta.url).href
    const running = promisify(execFile)(process.execPath, ['--import', loader, '--eval', '0'])
    await expect(running).rejects.toMatchObject({
      stderr: expect.stringContaining('Expected moved-calendar.mjs?shiftMs= to be followed by a whole number'),
    })
  }
})
