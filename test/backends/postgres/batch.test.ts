import { expect, test } from 'vitest'
import { type BatchSteps, writeBatch } from '../../../src/backends/postgres/batch.js'
import { StatementFailed } from '../../../src/backends/postgres/connections.js'
import type { FaultKind } from '../../../src/backends/postgres/faults.js'
import type { BackendState } from '../../../src/contract/backend.js'
import { tierUnavailable } from '../../../src/errors.js'

/** What a server would do, entry by entry; the entries are numbers and the outcomes are words. */
type Steps = BatchSteps<number, string>

const failure = (kind: FaultKind): StatementFailed =>
  new StatementFailed({
    kind,
    error: tierUnavailable('postgres', 'update', { because: kind }),
    because: 'it would not',
    blames: 'nothing',
  })

const ABSENT: BackendState = { state: 'absent' }

const steps = (overrides: Partial<Steps>): Steps => ({
  bytesOf: () => 100,
  write: async (part) => new Set(part.keys()),
  look: async (part) => part.map(() => ABSENT),
  written: 'written',
  judge: (entry) => `refused ${entry}`,
  failed: (error) => `failed: ${error.message.split(': ')[1]}`,
  untouched: (because) => `untouched: ${because}`,
  ...overrides,
})

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

test('outcomes stand where their entries stood', async () => {
  const outcomes = await writeBatch(
    numbers(5),
    steps({ write: async (part) => new Set([...part.keys()].filter((place) => place % 2 === 0)) }),
  )
  expect(outcomes).toEqual(['written', 'refused 1', 'written', 'refused 3', 'written'])
})

test('a statement is bounded by its bytes too, and what is too large for it goes alone', async () => {
  const MB = 1024 * 1024
  const sizes = [1, 2, 2, 9, 1, 1, 1, 1, 1]
  const parts: number[][] = []
  const outcomes = await writeBatch(
    numbers(sizes.length),
    steps({
      bytesOf: (entry) => (sizes[entry] ?? 0) * MB,
      write: async (part) => {
        parts.push([...part])
        return new Set(part.keys())
      },
    }),
  )
  expect(parts).toEqual([[0, 1], [2], [3], [4, 5, 6, 7], [8]])
  expect(outcomes).toEqual(sizes.map(() => 'written'))
})

test('a connection that breaks in the middle leaves what was done done, one part open and the rest not sent', async () => {
  let statements = 0
  const outcomes = await writeBatch(
    numbers(64 * 3),
    steps({
      write: async (part) => {
        if (++statements === 2) throw failure('lost')
        return new Set(part.keys())
      },
    }),
  )
  expect(statements).toBe(2)
  expect(outcomes.slice(0, 64)).toEqual(Array(64).fill('written'))
  expect(outcomes.slice(64, 128)).toEqual(Array(64).fill('failed: lost'))
  expect(outcomes.slice(128)).toEqual(Array(64).fill('untouched: the connection failed before its turn'))
})

test('where the server answered to nothing at all, the batch as a whole failed', async () => {
  for (const kind of ['unreachable', 'lost', 'late', 'schema', 'refused'] as const) {
    const lost = failure(kind)
    const write = async (): Promise<never> => {
      throw lost
    }
    await expect(writeBatch(numbers(100), steps({ write }))).rejects.toBe(lost)
  }
})

test('refused values are found by halving, and cost their neighbours nothing', async () => {
  const bad = new Set([0, 31, 32, 63])
  let statements = 0
  const outcomes = await writeBatch(
    numbers(64),
    steps({
      write: async (part) => {
        statements++
        if (part.some((entry) => bad.has(entry))) throw failure('value')
        return new Set(part.keys())
      },
    }),
  )
  expect(outcomes).toEqual(numbers(64).map((entry) => (bad.has(entry) ? 'failed: value' : 'written')))
  expect(statements).toBeLessThan(64)
})

test('a connection that breaks while a bad value is searched for stops the search', async () => {
  let statements = 0
  const outcomes = await writeBatch(
    numbers(8),
    steps({
      write: async () => {
        throw failure(++statements === 1 ? 'value' : 'lost')
      },
    }),
  )
  expect(statements).toBe(2)
  expect(outcomes).toEqual([
    ...Array(4).fill('failed: lost'),
    ...Array(4).fill('untouched: the connection failed before its turn'),
  ])
})

test('what was not written, and why could not be asked, was not written', async () => {
  const outcomes = await writeBatch(
    numbers(2),
    steps({
      write: async () => new Set([0]),
      look: async () => {
        throw failure('late')
      },
    }),
  )
  expect(outcomes).toEqual(['written', 'untouched: it was not written, and why could not be asked'])
})

test('an entry that would be admitted by now is tried again, a few times', async () => {
  const tried: number[][] = []
  const outcomes = await writeBatch(
    numbers(3),
    steps({
      write: async (part) => {
        tried.push([...part])
        return new Set(tried.length === 1 ? [0] : part.flatMap((entry, place) => (entry === 1 ? [place] : [])))
      },
      judge: () => undefined,
    }),
  )
  expect(tried).toEqual([[0, 1, 2], [1, 2], [2]])
  expect(outcomes).toEqual(['written', 'written', 'untouched: what stands there keeps changing'])
})
