import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, matchesGlob } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readArguments } from '../../scripts/test-runner/arguments.js'
import { runCommand } from '../../scripts/test-runner/command.js'
import { type Entry, readJournal } from '../../scripts/test-runner/journal.js'
import { untilStandstill } from '../../scripts/test-runner/patience.js'
import { QUIET } from '../../scripts/test-runner/quiet.js'
import { countTests, unexpectedSkips, type VitestReport } from '../../scripts/test-runner/vitest-report.js'
import { runVitest } from '../../scripts/test-runner/vitest-run.js'

const file = (name: string, status: string, ...tests: [string, string][]): VitestReport['testResults'][number] => ({
  name: `/somewhere/${name}`,
  status,
  startTime: 1_000,
  endTime: 3_500,
  assertionResults: tests.map(([fullName, result]) => ({ fullName, status: result })),
})

test('tests are counted by how they ended, and skipped ones by title', () => {
  const report = {
    testResults: [
      file('test/store/read.test.ts', 'failed', ['a', 'passed'], ['b', 'failed'], ['c', 'pending'], ['d', 'todo']),
      file('test/store/write.test.ts', 'passed', ['e', 'passed']),
      file('test/package.test.ts', 'passed', ['f', 'passed']),
    ],
  }
  const counts = countTests(report, '/somewhere')
  expect(counts).toMatchObject({ passed: 3, failed: 1, skipped: ['c', 'd'] })
  expect(counts.shares).toEqual([
    { folder: 'test/store', tests: 5, seconds: 5 },
    { folder: 'test', tests: 1, seconds: 2.5 },
  ])
})

test('a file that cannot be loaded, or whose set-up fails, is a failure although it has no failed test', () => {
  expect(countTests({ testResults: [file('test/a.test.ts', 'failed')] }, '/somewhere').failed).toBe(1)
  const unprepared = file('test/a.test.ts', 'failed', ['a', 'skipped'], ['b', 'skipped'])
  expect(countTests({ testResults: [unprepared] }, '/somewhere').failed).toBe(1)
})

test('a skip is expected only if the list names the beginning of its title', () => {
  const allowed = [{ title: 'the postgres backend', reason: 'no server here' }]
  expect(unexpectedSkips(['the postgres backend skipped: …', 'the memory backend x'], allowed)).toEqual([
    'the memory backend x',
  ])
  expect(unexpectedSkips([], allowed)).toEqual([])
})

test('paths and vitest’s options are passed on, ours are not', () => {
  expect(readArguments([])).toEqual({
    help: false,
    long: false,
    runtimes: false,
    at: undefined,
    timeZone: undefined,
    forVitest: [],
    also: [],
    onlySome: false,
  })
  expect(readArguments(['--long'])).toMatchObject({ long: true, onlySome: false })
  expect(readArguments(['--runtimes'])).toMatchObject({ runtimes: true, forVitest: [] })
  expect(readArguments(['test/store', '--long', '-t', 'reads'])).toEqual({
    help: false,
    long: true,
    runtimes: false,
    at: undefined,
    timeZone: undefined,
    forVitest: ['test/store', '-t', 'reads'],
    also: [],
    onlySome: true,
  })
})

test('a step that ran before is counted, and does not keep the others away', () => {
  expect(readArguments(['--also', 'demo=failed'])).toMatchObject({
    also: [{ name: 'demo', ok: false }],
    forVitest: [],
    onlySome: false,
  })
  expect(() => readArguments(['--also', 'demo'])).toThrow('STEP=ok')
})

test('another date and another time zone are for the whole run, and are no paths', () => {
  expect(readArguments(['--at', '2028-02-29T12:00:00Z', '--tz', 'Pacific/Kiritimati'])).toMatchObject({
    at: Date.UTC(2028, 1, 29, 12),
    timeZone: 'Pacific/Kiritimati',
    forVitest: [],
    onlySome: false,
  })
  expect(readArguments(['test/store', '--at', '2028-02-29T12:00:00+14:00'])).toMatchObject({
    at: Date.UTC(2028, 1, 28, 22),
    forVitest: ['test/store'],
  })
})

test.each([
  ['--at', '2028-02-29T12:00:00', 'Expected --at to be followed by a moment such as 2028-02-29T12:00:00Z'],
  ['--at', 'tomorrow', 'got tomorrow'],
  ['--tz', 'Atlantis', 'Expected --tz to be followed by a time zone such as Pacific/Kiritimati, got Atlantis'],
])('%s %s is refused with what it should be', (option, value, complaint) => {
  expect(() => readArguments([option, value])).toThrow(complaint)
  expect(() => readArguments([option])).toThrow(/undefined$/)
})

describe('a command', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nonstick-runner-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('is given up only when it has stood still for the limit, however long it takes', () => {
    const patience = untilStandstill(3_000)
    const asked = ['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'c', 'c'].map((progress) => patience.isOver(progress, 1_000))
    expect(asked).toEqual([...Array<boolean>(9).fill(false), true])
    expect(patience.complaint).toBe('no progress for 3 s')
  })

  test('that is given up ends with what it started, and what it printed is kept', async () => {
    const child = `setInterval(() => {}, 1000)`
    const program = `
      process.on('SIGTERM', () => {})
      const { pid } = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: 'inherit' })
      console.log('child', pid)
      setInterval(() => {}, 1000)`
    const outcome = await runCommand(process.execPath, ['-e', program], {
      root: folder,
      logFile: join(folder, 'command.log'),
      patience: {
        complaint: 'it has said enough',
        isOver: () => readFileSync(join(folder, 'command.log'), 'utf8').includes('child'),
      },
    })
    expect(outcome).toMatchObject({ ok: false, givenUp: 'it has said enough' })
    const pid = Number(/child (\d+)/.exec(outcome.output)?.[1])
    await expect.poll(() => isRunning(pid), { timeout: 60_000 }).toBe(false)
  })

  test('ends when the run is interrupted, and none is begun after that', async () => {
    const controller = new AbortController()
    const options = {
      root: folder,
      logFile: join(folder, 'interrupted.log'),
      patience: untilStandstill(600_000),
      signal: controller.signal,
    }
    const running = runCommand(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], options)
    controller.abort('SIGINT')
    expect(await running).toMatchObject({ ok: false, givenUp: 'SIGINT' })
    expect(await runCommand('no-such-program', [], options)).toMatchObject({ ok: false, givenUp: 'SIGINT', output: '' })
  })

  test('of vitest that hangs is reported with all that did run, and what was under way', async () => {
    const root = fileURLToPath(new URL('run-that-hangs', import.meta.url))
    const journal = join(folder, 'tests.jsonl')
    const { ok, counts, complaints } = await runVitest(['--root', root], folder, {
      root,
      patience: {
        complaint: 'no progress',
        // As soon as nothing but the hanging test is left, whatever the machine had to do until then.
        isOver: () => {
          if (!existsSync(journal)) return false
          const { report, underWay } = readJournal(readFileSync(journal, 'utf8'))
          const ended = report.testResults.filter(({ status }) => status !== 'unfinished')
          return ended.length === 1 && underWay.some(({ titles }) => titles.includes('hangs'))
        },
      },
    })
    expect(ok).toBe(false)
    expect(counts).toMatchObject({ passed: 2, failed: 1, skipped: ['a group is left out'] })
    expect(complaints).toEqual(['vitest was ended: no progress', 'was under way: hangs.hanging.ts: hangs'])
  })
})

describe('a journal', () => {
  const journal = (...entries: Entry[]): string => entries.map((entry) => `${JSON.stringify(entry)}\n`).join('')

  test('that was cut off in the middle of a line tells all before it', () => {
    const whole = journal(
      { what: 'file begins', file: '/r/a.test.ts', atMs: 5 },
      { what: 'test begins', file: '/r/a.test.ts', title: 'one' },
      { what: 'test ends', file: '/r/a.test.ts', title: 'one', status: 'passed' },
      { what: 'file ends', file: '/r/a.test.ts', status: 'passed', atMs: 9 },
    )
    const { report, isWhole, underWay } = readJournal(`${whole}{"what":"run e`)
    expect(report.testResults).toEqual([
      {
        name: '/r/a.test.ts',
        status: 'passed',
        startTime: 5,
        endTime: 9,
        assertionResults: [{ fullName: 'one', status: 'passed' }],
      },
    ])
    expect({ isWhole, underWay }).toEqual({ isWhole: false, underWay: [] })
  })

  test('that is empty tells of a run that began nothing', () => {
    expect(readJournal('')).toEqual({ report: { testResults: [] }, isWhole: false, underWay: [] })
  })
})

describe('the tests that need quiet', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const isQuiet = (file: string): boolean => QUIET.some((pattern) => matchesGlob(file, pattern))
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => `test/${path.replaceAll('\\', '/')}`)

  test('are on the list, if they measure how long something takes', () => {
    const measuring = files.filter((file) => /\bstartWatch\(/.test(readFileSync(join(root, file), 'utf8')))
    expect(measuring.length).toBeGreaterThan(3)
    expect(measuring.filter((file) => !isQuiet(file))).toEqual([])
  })

  test('are there, each that the list names', () => {
    expect(QUIET.filter((pattern) => !files.some((file) => matchesGlob(file, pattern)))).toEqual([])
  })
})

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
