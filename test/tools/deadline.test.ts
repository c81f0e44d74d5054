import { describe, expect, test } from 'vitest'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { DeadlinePassed, deadlineAfter } from '../../src/tools/deadline.js'
import { withSignal } from '../../src/tools/waiting.js'

const never = new Promise<never>(() => {})

describe('a deadline', () => {
  test('is one for all the steps that are taken under it', async () => {
    const runtime = movableRuntime()
    const deadline = deadlineAfter(runtime, 100)
    runtime.advance(60)
    expect(deadline.leftMs()).toBeLessThanOrEqual(40)
    const step = deadline.race(never)
    runtime.advance(40)
    await expect(step).rejects.toBeInstanceOf(DeadlinePassed)
    expect(deadline.leftMs()).toBe(0)
  })

  test('gives what the work settles as, where that is in time', async () => {
    const deadline = deadlineAfter(movableRuntime(), 100)
    await expect(deadline.race(Promise.resolve(7))).resolves.toBe(7)
    await expect(deadline.race(Promise.reject(new RangeError('no')))).rejects.toThrow(RangeError)
  })

  test('rejects with the error that was asked for, and drops what the work settles as later', async () => {
    const runtime = movableRuntime()
    let fail = (_error: Error): void => {}
    const work = new Promise<never>((_, reject) => {
      fail = reject
    })
    const raced = deadlineAfter(runtime, 100).race(work, () => new RangeError('too late'))
    runtime.advance(100)
    fail(new TypeError('nobody is told of this'))
    await expect(raced).rejects.toThrow(RangeError)
  })

  test('tells whether the work has settled, also where it failed', async () => {
    const runtime = movableRuntime()
    const deadline = deadlineAfter(runtime, 100)
    await expect(deadline.settles(Promise.reject(new Error('no')))).resolves.toBe(true)
    const settles = deadline.settles(never)
    runtime.advance(100)
    await expect(settles).resolves.toBe(false)
  })

  test('is not moved by a wall clock that is set', () => {
    const runtime = movableRuntime()
    const deadline = deadlineAfter(runtime, 60_000)
    runtime.stepWallClock(3_600_000)
    expect(deadline.leftMs()).toBeGreaterThan(50_000)
  })
})

describe('a signal', () => {
  test('is aborted when the time is up, and not before', async () => {
    const runtime = movableRuntime()
    const signal = await new Promise<AbortSignal>((resolve) => {
      void withSignal(runtime, 100, (given) => {
        resolve(given)
        return never
      })
    })
    runtime.advance(99)
    expect(signal.aborted).toBe(false)
    runtime.advance(1)
    expect(signal.aborted).toBe(true)
  })

  test('is never aborted once the work has settled', async () => {
    const runtime = movableRuntime()
    const signal = await withSignal(runtime, 100, async (given) => given)
    runtime.advance(1_000)
    expect(signal.aborted).toBe(false)
  })
})
