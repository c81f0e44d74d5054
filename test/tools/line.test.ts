import { describe, expect, test } from 'vitest'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { type LineOptions, line, type Place } from '../../src/tools/line.js'

/** A line before one piece of work at a time, which ends when the test says so. */
const oneAtATime = (options: Partial<LineOptions> = {}) => {
  const runtime = movableRuntime()
  const { run } = line({
    limit: 1,
    maxWaiting: 4,
    after: (delayMs, callback) => runtime.after(delayMs, callback),
    refused: (why) => new Error(why),
    ...options,
  })
  const begun: string[] = []
  const refused: string[] = []
  const ends: (() => void)[] = []
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
  }
  return {
    runtime,
    begun,
    refused,
    settle,
    enter: (name: string, place: Partial<Place> = {}): void => {
      const work = (): Promise<void> => {
        begun.push(name)
        return new Promise((resolve) => ends.push(resolve))
      }
      run({ isFirst: false, caller: '', patienceMs: 1_000, ...place }, work).catch(({ message }: Error) => {
        refused.push(`${name} ${message}`)
      })
    },
    /** What is under way ends, and all that follows. */
    endAll: async (): Promise<void> => {
      await settle()
      while (ends.length > 0) {
        ends.shift()?.()
        await settle()
      }
    },
  }
}

describe('a line', () => {
  test('lets in those of one caller in the order in which they came', async () => {
    const { enter, begun, endAll } = oneAtATime()
    for (const name of ['a', 'b', 'c']) enter(name)
    await endAll()
    expect(begun).toEqual(['a', 'b', 'c'])
  })

  test('is left by who gives up, whose place is free at once and whose work never begins', async () => {
    const { enter, begun, refused, settle, endAll } = oneAtATime({ maxWaiting: 2 })
    const givesUp = new AbortController()
    enter('under way')
    enter('gives up', { signal: givesUp.signal })
    enter('stays')
    givesUp.abort()
    await settle()
    expect(refused).toEqual(['gives up given up'])
    enter('comes later')
    await endAll()
    expect(begun).toEqual(['under way', 'stays', 'comes later'])
    expect(refused).toHaveLength(1)
  })

  test('knows nothing any more of a signal that is aborted after the turn has come', async () => {
    const { enter, begun, refused, endAll } = oneAtATime()
    const { signal, abort } = (() => {
      const controller = new AbortController()
      return { signal: controller.signal, abort: () => controller.abort() }
    })()
    enter('under way')
    enter('next', { signal })
    await endAll()
    abort()
    expect([begun, refused]).toEqual([['under way', 'next'], []])
  })

  test('lets in those that go first before all others, whoever came sooner', async () => {
    const { enter, begun, endAll } = oneAtATime()
    for (const name of ['under way', 'other', 'another']) enter(name)
    enter('first', { isFirst: true })
    await endAll()
    expect(begun).toEqual(['under way', 'first', 'other', 'another'])
  })

  test('lets callers take turns, however many places one of them has', async () => {
    const { enter, begun, endAll } = oneAtATime({ maxWaiting: 100 })
    enter('under way')
    for (let n = 0; n < 4; n += 1) enter(`greedy ${n}`, { caller: 'greedy' })
    enter('modest', { caller: 'modest' })
    enter('quiet', { caller: 'quiet' })
    await endAll()
    expect(begun).toEqual(['under way', 'greedy 0', 'modest', 'quiet', 'greedy 1', 'greedy 2', 'greedy 3'])
  })

  test('refuses at once who finds it full', async () => {
    const { enter, refused, settle, begun, endAll } = oneAtATime()
    for (const name of ['under way', 'a', 'b', 'c', 'd', 'e']) enter(name)
    await settle()
    expect(refused).toEqual(['e full'])
    await endAll()
    expect(begun).toEqual(['under way', 'a', 'b', 'c', 'd'])
  })

  test('with no room at all refuses whoever would have to wait', async () => {
    const { enter, refused, settle } = oneAtATime({ maxWaiting: 0 })
    for (const name of ['under way', 'a']) enter(name)
    enter('first', { isFirst: true })
    await settle()
    expect(refused).toEqual(['a full', 'first full'])
  })

  test('makes room for one that goes first at the cost of the caller with the most places, who loses his last', async () => {
    const { enter, refused, begun, endAll } = oneAtATime()
    enter('under way')
    enter('modest', { caller: 'modest' })
    for (let n = 0; n < 3; n += 1) enter(`greedy ${n}`, { caller: 'greedy' })
    enter('first', { isFirst: true })
    await endAll()
    expect(refused).toEqual(['greedy 2 full'])
    expect(begun).toEqual(['under way', 'first', 'modest', 'greedy 0', 'greedy 1'])
  })

  test('makes room for a caller with few places, and for none that has as many as all others', async () => {
    const { enter, refused, begun, endAll } = oneAtATime()
    enter('under way')
    for (let n = 0; n < 4; n += 1) enter(`greedy ${n}`, { caller: 'greedy' })
    enter('greedy 4', { caller: 'greedy' })
    enter('modest 0', { caller: 'modest' })
    enter('modest 1', { caller: 'modest' })
    enter('modest 2', { caller: 'modest' })
    await endAll()
    expect(refused).toEqual(['greedy 4 full', 'greedy 3 full', 'greedy 2 full', 'modest 2 full'])
    expect(begun).toEqual(['under way', 'greedy 0', 'modest 0', 'greedy 1', 'modest 1'])
  })

  test('makes no room for one that does not go first in a line of those who do', async () => {
    const { enter, refused, settle } = oneAtATime()
    enter('under way')
    for (let n = 0; n < 4; n += 1) enter(`first ${n}`, { isFirst: true })
    enter('other', { caller: 'modest' })
    enter('first of another', { isFirst: true, caller: 'modest' })
    await settle()
    expect(refused).toEqual(['other full', 'first 3 full'])
  })

  test('gives up who has waited as long as he can, and begins no work for him', async () => {
    const { enter, refused, begun, endAll, settle, runtime } = oneAtATime()
    enter('under way')
    enter('patient', { patienceMs: 500 })
    enter('impatient', { patienceMs: 100 })
    runtime.advance(101)
    await settle()
    expect(refused).toEqual(['impatient late'])
    await endAll()
    runtime.advance(1_000)
    expect(begun).toEqual(['under way', 'patient'])
    expect(refused).toHaveLength(1)
  })

  test('goes on where work fails', async () => {
    const { run } = line({ limit: 1, maxWaiting: 4, after: () => () => {}, refused: (why) => new Error(why) })
    const place: Place = { isFirst: false, caller: '', patienceMs: 1 }
    const failing = run(place, () => Promise.reject(new Error('it failed')))
    const next = run(place, async () => 'done')
    await expect(failing).rejects.toThrow('it failed')
    expect(await next).toBe('done')
  })

  test('is as fair after a thousand comings and goings as in the beginning', async () => {
    const { enter, begun, refused, endAll, settle, runtime } = oneAtATime({ maxWaiting: 10 })
    enter('under way')
    for (let n = 0; n < 1_000; n += 1) {
      enter(`greedy ${n}`, { caller: 'greedy', patienceMs: 10 })
      if (n % 7 === 0) runtime.advance(11)
    }
    await settle()
    runtime.advance(11)
    await settle()
    expect(refused).toHaveLength(1_000)
    for (let n = 0; n < 10; n += 1) enter(`greedy again ${n}`, { caller: 'greedy' })
    enter('modest', { caller: 'modest' })
    await endAll()
    expect(begun.slice(0, 3)).toEqual(['under way', 'greedy again 0', 'modest'])
  })
})
