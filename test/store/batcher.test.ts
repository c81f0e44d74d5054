import { describe, expect, test } from 'vitest'
import { batcher } from '../../src/store/tiers/batcher.js'

interface Entry {
  readonly key: string
  readonly bytes: number
}

const entriesOf = (count: number, bytes: number): Entry[] =>
  Array.from({ length: count }, (_, index) => ({ key: `k${String(index).padStart(3, '0')}`, bytes }))

/** A batcher over a line whose batches end when the test says so, or take as long as their bytes. */
const line = () => {
  const clock = { ms: 0 }
  const sent: Entry[][] = []
  const ends: (() => void)[] = []
  const made = batcher<Entry, string>({
    runtime: { monotonicMs: () => clock.ms },
    keyOf: ({ key }) => key,
    bytesOf: ({ bytes }) => bytes,
    send: async (entries) => {
      sent.push([...entries])
      await new Promise<void>((resolve) => ends.push(resolve))
      return entries.map(({ key }) => key)
    },
  })
  const endOldest = async (): Promise<void> => {
    ends.shift()?.()
    await new Promise(setImmediate)
  }
  /** Submits the entries, the first at a moment of its own. */
  const submitOneFirst = async ([first, ...others]: readonly Entry[]): Promise<{
    readonly outcomes: Promise<string>[]
  }> => {
    const outcomes = first === undefined ? [] : [made.submit(first)]
    await null
    outcomes.push(...others.map((entry) => made.submit(entry)))
    await null
    return { outcomes }
  }
  return { made, clock, sent, ends, endOldest, submitOneFirst, sizes: () => sent.map((batch) => batch.length) }
}

/** A line that carries so many bytes in a second for all batches together, and a deadline for each batch. */
const thinLine = (bytesPerSecond: number, deadlineMs: number) => {
  const clock = { ms: 0 }
  const underWay: { left: number; readonly since: number; end(failed: boolean): void }[] = []
  const made = batcher<Entry, string>({
    runtime: { monotonicMs: () => clock.ms },
    keyOf: ({ key }) => key,
    bytesOf: ({ bytes }) => bytes,
    send: (entries) =>
      new Promise((resolve, reject) => {
        const left = entries.reduce((sum, { bytes }) => sum + bytes, 0)
        const end = (failed: boolean): void =>
          failed ? reject(new Error('late')) : resolve(entries.map(({ key }) => key))
        underWay.push({ left, since: clock.ms, end })
      }),
  })
  const run = async (isDone: () => boolean): Promise<void> => {
    for (; !isDone(); clock.ms += 10) {
      const share = bytesPerSecond / 100 / underWay.length
      for (const batch of [...underWay]) {
        batch.left -= share
        const isLate = clock.ms - batch.since > deadlineMs
        if (batch.left > 0 && !isLate) continue
        underWay.splice(underWay.indexOf(batch), 1)
        batch.end(batch.left > 0)
      }
      await new Promise(setImmediate)
    }
  }
  return { made, clock, run }
}

describe('A batcher', () => {
  test('does not send what is no longer due when its turn has come', async () => {
    const { made, sent, endOldest } = line()
    const [first, second, third] = entriesOf(3, 100) as [Entry, Entry, Entry]
    let isDue = true
    const outcomes = [made.submit(first)] as Promise<string>[]
    await null
    outcomes.push(
      made.submitIfDue(second, () => isDue),
      made.submitIfDue(third, () => true),
    )
    isDue = false
    await endOldest()
    await endOldest()
    expect(await Promise.all(outcomes)).toEqual([first.key, 'not sent', third.key])
    expect(sent).toEqual([[first], [third]])
  })

  test('sends what is submitted at one moment as one batch, with no wait of any length', async () => {
    const { made, sizes, endOldest } = line()
    const outcomes = entriesOf(64, 100).map((entry) => made.submit(entry))
    expect(sizes()).toEqual([])
    await null
    expect(sizes()).toEqual([64])
    await endOldest()
    expect(await Promise.all(outcomes)).toHaveLength(64)
  })

  test('sends what comes while a batch is on its way as the next one, in the order of keys', async () => {
    const { submitOneFirst, sent, endOldest } = line()
    const [first, ...others] = entriesOf(6, 100)
    const { outcomes } = await submitOneFirst([first as Entry, ...others.reverse()])
    expect(sent.map((batch) => batch.map(({ key }) => key))).toEqual([['k000']])
    await endOldest()
    expect(sent[1]?.map(({ key }) => key)).toEqual(['k001', 'k002', 'k003', 'k004', 'k005'])
    await endOldest()
    expect(await Promise.all(outcomes)).toEqual(['k000', 'k005', 'k004', 'k003', 'k002', 'k001'])
  })

  test('has one key on its way once at most, and holds up no other by it', async () => {
    const { submitOneFirst, sent, endOldest } = line()
    await submitOneFirst([...[100, 200, 300].map((bytes) => ({ key: 'same', bytes })), { key: 'other', bytes: 100 }])
    await endOldest()
    expect(sent[1]?.map(({ key, bytes }) => [key, bytes])).toEqual([
      ['other', 100],
      ['same', 200],
    ])
    await endOldest()
    expect(sent[2]).toEqual([{ key: 'same', bytes: 300 }])
  })

  test('bounds a batch by its bytes, sends full ones side by side, and one that is larger than the bound alone', async () => {
    const { submitOneFirst, sizes, ends } = line()
    const large = entriesOf(4, 100_000)
    await submitOneFirst([...large, { key: 'z', bytes: 9_000_000 }, { key: 'y', bytes: 100 }])
    // One at once, two that fill a batch, one that would have the huge one beside it, the huge one; the last is not full.
    expect(sizes()).toEqual([1, 2, 1, 1])
    expect(ends).toHaveLength(4)
  })

  test('bounds a batch by its number', async () => {
    const { made, sizes, endOldest } = line()
    for (const entry of entriesOf(600, 0)) void made.submit(entry)
    await endOldest()
    expect(Math.max(...sizes())).toBe(256)
  })

  test('makes smaller batches where the last took long or failed, and larger ones where it was quick', async () => {
    const { submitOneFirst, clock, sizes, endOldest } = line()
    await submitOneFirst(entriesOf(100, 99_000))
    expect(sizes()).toEqual([1, 2, 2, 2])
    for (let count = 0; count < 4; count += 1) await endOldest()
    expect(Math.max(...sizes().slice(4))).toBeGreaterThan(2)
    const soFar = sizes().length
    for (let count = 0; count < 8; count += 1) {
      clock.ms += 60_000
      await endOldest()
    }
    expect(sizes().slice(soFar + 4)).toEqual([1, 1, 1, 1])
  })

  test('gets everything through a thin line within the deadline of each batch, however much waits', async () => {
    for (const [bytesPerSecond, count, bytes] of [
      [2_000_000, 64, 280_000],
      [32_000_000, 64, 2_000_000],
      [400_000, 500, 2_000],
    ] as const) {
      const { made, clock, run } = thinLine(bytesPerSecond, 2_000)
      let settled = 0
      const failures: unknown[] = []
      for (const entry of entriesOf(count, bytes))
        made
          .submit(entry)
          .catch((error: unknown) => failures.push(error))
          .finally(() => {
            settled += 1
          })
      await run(() => settled === count)
      expect(failures).toEqual([])
      // The line was busy most of the time.
      expect(clock.ms).toBeLessThan(2 * ((count * bytes) / bytesPerSecond) * 1_000 + 1_000)
    }
  })

  test('a batch that fails is the fate of its entries alone', async () => {
    let calls = 0
    const made = batcher<Entry, string>({
      runtime: { monotonicMs: () => 0 },
      keyOf: ({ key }) => key,
      bytesOf: ({ bytes }) => bytes,
      send: async (entries) => {
        calls += 1
        if (calls === 1) throw new Error('the first fails')
        return entries.map(({ key }) => key)
      },
    })
    const [first, ...others] = entriesOf(3, 10).map((entry) => () => made.submit(entry))
    const failing = first?.()
    await null
    const outcomes = await Promise.allSettled([failing, ...others.map((submit) => submit())])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  })
})
