import { describe, expect, test } from 'vitest'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { alarms } from '../../src/tools/alarms.js'

/** Alarms after a second, on clocks that the test moves, with what has rung and how many timers were asked for. */
const ground = () => {
  const moved = movableRuntime()
  const seen = { rung: [] as string[], timers: 0 }
  const runtime = {
    // The monotonic clock of a movable runtime also runs by itself, which would tell nothing here.
    monotonicMs: () => moved.now(),
    after: (delayMs: number, callback: () => void) => {
      seen.timers += 1
      return moved.after(delayMs, callback)
    },
  }
  const set = alarms(runtime, 1_000)
  return { seen, advance: moved.advance, set: (name: string) => set(() => seen.rung.push(name)) }
}

describe('alarms of one delay', () => {
  test('ring in the order in which they were set, each when its delay has passed and not before', () => {
    const { seen, set, advance } = ground()
    set('first')
    advance(300)
    set('second')
    advance(699)
    expect(seen.rung).toEqual([])
    advance(1)
    expect(seen.rung).toEqual(['first'])
    advance(299)
    expect(seen.rung).toEqual(['first'])
    advance(1)
    expect(seen.rung).toEqual(['first', 'second'])
  })

  test('do not ring once they are cancelled, whichever of them it is, and cancelling twice harms no other', () => {
    const names = ['first', 'second', 'third', 'fourth']
    for (const cancelled of names) {
      const { seen, set, advance } = ground()
      const cancels = new Map(names.map((name) => [name, set(name)]))
      cancels.get(cancelled)?.()
      cancels.get(cancelled)?.()
      advance(1_000)
      expect(seen.rung).toEqual(names.filter((name) => name !== cancelled))
      for (const cancel of cancels.values()) cancel()
      set('a later one')
      advance(1_000)
      expect(seen.rung.at(-1)).toBe('a later one')
    }
  })

  test('need one timer, however many are set and cancelled meanwhile', () => {
    const { seen, set, advance } = ground()
    for (let call = 0; call < 1_000; call += 1) set(`call ${call}`)()
    expect(seen.timers).toBe(1)
    advance(5_000)
    expect(seen).toEqual({ rung: [], timers: 1 })
    set('one more')
    expect(seen.timers).toBe(2)
  })

  test('go on ringing after one whose callback threw', () => {
    const moved = movableRuntime()
    const rung: string[] = []
    const set = alarms({ monotonicMs: () => moved.now(), after: moved.after }, 1_000)
    set(() => {
      throw new Error('thrown by a callback')
    })
    set(() => rung.push('after it'))
    expect(() => moved.advance(1_000)).toThrow('thrown by a callback')
    moved.advance(1)
    expect(rung).toEqual(['after it'])
  })

  test('that are set while they ring wait for a delay of their own', () => {
    const moved = movableRuntime()
    const rung: number[] = []
    const set = alarms({ monotonicMs: () => moved.now(), after: moved.after }, 1_000)
    const setAgain = (): void => {
      rung.push(moved.now())
      if (rung.length < 3) set(setAgain)
    }
    const start = moved.now()
    set(setAgain)
    moved.advance(10_000)
    expect(rung.map((at) => at - start)).toEqual([1_000, 2_000, 3_000])
  })
})
