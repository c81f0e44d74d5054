import { describe, expect, test } from 'vitest'
import { atOnce, inTurns, isLarge, ownTurn, type Steps } from '../../src/tools/turns.js'

const LARGE = 1024 * 1024

/** Work that writes down each of its steps. */
function* work(log: string[], name: string, sizes: readonly number[]): Steps<string> {
  for (const [at, size] of sizes.entries()) {
    yield size
    log.push(`${name}${at}`)
  }
  return name
}

/** Writes down each turn of the event loop, so many of them. */
const turns = async (log: string[], count: number): Promise<void> => {
  for (let at = 0; at < count; at += 1) {
    await new Promise((resolve) => setImmediate(resolve))
    log.push('|')
  }
}

describe('work in steps', () => {
  test('is done at once and gives no promise where all of its data is small', () => {
    const log: string[] = []
    expect(inTurns(work(log, 'a', [10, 1_000]))).toBe('a')
    expect(log).toEqual(['a0', 'a1'])
    expect(inTurns(work([], 'a', []))).toBe('a')
  })

  test('on large data has a turn of the event loop for each step', async () => {
    const log: string[] = []
    const done = inTurns(work(log, 'a', [10, LARGE, LARGE, 10, LARGE]))
    expect(log).toEqual(['a0'])
    await Promise.all([done, turns(log, 3)])
    expect(log.filter((each) => each !== '|')).toEqual(['a0', 'a1', 'a2', 'a3', 'a4'])
    expect(log.join('')).toMatch(/a1\|+a2a3\|+a4/)
    expect(await done).toBe('a')
  })

  test('shares no turn with other such work, which goes on in the order in which it came', async () => {
    const log: string[] = []
    const all = ['a', 'b', 'c'].map((name) => inTurns(work(log, name, [LARGE, LARGE])))
    await Promise.all([...all, turns(log, 8)])
    const steps = log.join('')
    expect(steps.replaceAll('|', '')).toBe('a0b0c0a1b1c1')
    expect(steps).not.toMatch(/\d[abc]/)
  })

  test('that fails rejects with its error, and holds up no other', async () => {
    const failing = function* (): Steps<void> {
      yield LARGE
      throw new Error('it failed')
    }
    const [failed, done] = [inTurns(failing()), inTurns(work([], 'a', [LARGE]))]
    await expect(failed).rejects.toThrow('it failed')
    expect(await done).toBe('a')
    await ownTurn()
  })

  test('can be done at once as well', () => {
    const log: string[] = []
    expect(atOnce(work(log, 'a', [LARGE, LARGE]))).toBe('a')
    expect(log).toEqual(['a0', 'a1'])
  })
})

test('the data of most sessions is not large', () => {
  expect([1_500, 16_000, 64_000].map((bytes) => isLarge({ data: new Uint8Array(bytes) }))).toEqual([false, false, true])
})
