import { afterEach, describe, expect, test, vi } from 'vitest'
import { resolveCouchdbOptions } from '../src/backends/couchdb/options.js'
import { resolvePostgresOptions } from '../src/backends/postgres/options.js'
import { resolveOptions as resolveMemcachedOptions } from '../src/caches/memcached/options.js'
import type { Cancel, Runtime } from '../src/contract/time.js'
import { createSessionStore } from '../src/create-session-store.js'
import { LONGEST_TIMER_MS, runtimeOf, systemRuntime } from '../src/runtime.js'
import { resolveSignalOptions } from '../src/shutdown/options.js'
import { movableRuntime } from '../src/testing/movable-runtime.js'

const DAY_MS = 86_400_000

/** A user's runtime, of a class of his, whose timers can wait no longer than Node's: a longer delay fires at once. */
class OfAUser implements Runtime {
  readonly delays: number[] = []
  readonly #time = movableRuntime()
  now(): number {
    return this.#time.now()
  }
  monotonicMs(): number {
    return this.#time.monotonicMs()
  }
  after(delayMs: number, callback: () => void): Cancel {
    this.delays.push(delayMs)
    return this.#time.after(delayMs > LONGEST_TIMER_MS ? 1_000 : delayMs, callback)
  }
  randomBytes(size: number): Uint8Array {
    return this.#time.randomBytes(size)
  }
  random(): number {
    return this.#time.random()
  }
  advance(ms: number): void {
    this.#time.advance(ms)
  }
}

/** Whether a timer of 60 days by this runtime fires after 60 days, and how often its owner was asked for one. */
const sixtyDays = (runtime: Runtime, given: OfAUser): void => {
  let fired = 0
  runtime.after(60 * DAY_MS, () => {
    fired += 1
  })
  given.advance(59 * DAY_MS)
  expect(fired).toBe(0)
  given.advance(DAY_MS)
  expect(fired).toBe(1)
  expect(given.delays).toEqual([LONGEST_TIMER_MS, LONGEST_TIMER_MS, 60 * DAY_MS - 2 * LONGEST_TIMER_MS])
  given.advance(365 * DAY_MS)
  expect(fired).toBe(1)
}

describe('timers of any length', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  test("by the system's runtime, which Node would fire at once", () => {
    vi.useFakeTimers()
    let fired = 0
    systemRuntime.after(30 * DAY_MS, () => {
      fired += 1
    })
    vi.advanceTimersByTime(30 * DAY_MS - 1)
    expect(fired).toBe(0)
    vi.advanceTimersByTime(1)
    expect(fired).toBe(1)
  })

  test.each([0, 1, 26])('one that is cancelled after %s days never fires', (days) => {
    const given = new OfAUser()
    let fired = 0
    const cancel = runtimeOf(given).after(60 * DAY_MS, () => {
      fired += 1
    })
    given.advance(days * DAY_MS)
    cancel()
    cancel()
    given.advance(365 * DAY_MS)
    expect(fired).toBe(0)
  })

  test('one of the longest length that a timer can wait is set as it is', () => {
    const given = new OfAUser()
    runtimeOf(given).after(LONGEST_TIMER_MS, () => {})
    expect(given.delays).toEqual([LONGEST_TIMER_MS])
  })

  const parts: [string, (runtime: Runtime) => Runtime][] = [
    ['memcached', (runtime) => resolveMemcachedOptions({ servers: 'localhost', runtime }).runtime],
    ['postgres', (runtime) => resolvePostgresOptions({ runtime }).runtime],
    [
      'couchdb',
      (runtime) => resolveCouchdbOptions({ url: 'http://localhost:5984', absoluteTtlMs: DAY_MS, runtime }).runtime,
    ],
    ['the ways to shut down', (runtime) => resolveSignalOptions({ runtime }, 1_000).runtime],
  ]
  test.each(parts)('%s has them by the runtime of its user', (_name, runtimeIn) => {
    const given = new OfAUser()
    sixtyDays(runtimeIn(given), given)
  })

  test('so has the store, whose longest pause is maxStaleMs', async () => {
    const given = new OfAUser()
    const store = createSessionStore({ allowEmbedded: true, runtime: given, maxStaleMs: 3_650 * DAY_MS })
    const session = await store.create({ n: 0 } as Record<string, unknown>)
    session.data['n'] = 1
    await store.save(session)
    given.delays.length = 0
    for (let month = 0; month < 12; month += 1) given.advance(30 * DAY_MS)
    expect(given.delays.length).toBeLessThan(20)
    expect(Math.max(...given.delays)).toBe(LONGEST_TIMER_MS)
    await store.close()
  })
})

describe('the runtime of a user', () => {
  test('keeps a process alive only if he says how', () => {
    expect(runtimeOf(new OfAUser()).keepAlive).toBeUndefined()
    let holds = 0
    const keepAlive = (): Cancel => {
      holds += 1
      return () => {
        holds -= 1
      }
    }
    const letDie = runtimeOf({ ...systemRuntime, keepAlive }).keepAlive?.()
    expect(holds).toBe(1)
    letDie?.()
    expect(holds).toBe(0)
  })

  test('may be an object of a class: its functions are called as its methods', () => {
    const given = new OfAUser()
    const { now, monotonicMs, random, randomBytes } = runtimeOf(given)
    expect(now()).toBe(given.now())
    expect(monotonicMs()).toBeGreaterThan(0)
    expect(random()).toBeLessThan(1)
    expect(randomBytes(8)).toHaveLength(8)
  })
})

describe('the movable runtime', () => {
  test.each([3_600_000, -3_600_000])('its wall clock can be set by %s ms, and no time passes by that', (ms) => {
    const runtime = movableRuntime(1_000_000_000_000)
    let fired = 0
    runtime.after(60_000, () => {
      fired += 1
    })
    const before = runtime.monotonicMs()
    runtime.stepWallClock(ms)
    expect(runtime.now()).toBe(1_000_000_000_000 + ms)
    expect(runtime.monotonicMs() - before).toBeLessThan(60_000)
    runtime.advance(59_999)
    expect(fired).toBe(0)
    runtime.advance(1)
    expect(fired).toBe(1)
    expect(runtime.now()).toBe(1_000_000_000_000 + ms + 60_000)
  })
})
