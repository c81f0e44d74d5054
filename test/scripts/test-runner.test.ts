import { expect, test } from 'vitest'
import { readArguments } from '../../scripts/test-runner/arguments.js'
import { countTests, unexpectedSkips, type VitestReport } from '../../scripts/test-runner/vitest-report.js'

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
    at: undefined,
    timeZone: undefined,
    forVitest: [],
    also: [],
    onlySome: false,
  })
  expect(readArguments(['--long'])).toMatchObject({ long: true, onlySome: false })
  expect(readArguments(['test/store', '--long', '-t', 'reads'])).toEqual({
    help: false,
    long: true,
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
