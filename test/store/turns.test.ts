import { describe, expect, test } from 'vitest'
import { msgpackCodec } from '../../src/codecs/index.js'
import type { Codec } from '../../src/contract/codec.js'
import { type Data, expectCode, loaded, settled, world } from './world.js'

/** From so many bytes on, what a codec is asked counts here as work on a large session. */
const COUNTED_BYTES = 16 * 1024

/**
 * A codec that counts what it is asked to do with large data, by the turn of the event loop in which it was asked. What it
 * counts is a measure of how long a turn takes that no other process on the machine disturbs.
 */
const countingCodec = () => {
  let inThisTurn = 0
  let most = 0
  let isCounting = true
  const counted = <Bytes extends Uint8Array>(bytes: Bytes): Bytes => {
    if (bytes.length >= COUNTED_BYTES) inThisTurn += 1
    most = Math.max(most, inThisTurn)
    return bytes
  }
  const nextTurn = (): void => {
    inThisTurn = 0
    if (isCounting) setImmediate(nextTurn)
  }
  const codec: Codec = {
    name: 'counting',
    id: 200,
    encode: (value, limits) => counted(msgpackCodec.encode(value, limits)),
    decode: (bytes) => msgpackCodec.decode(counted(bytes)),
  }
  return {
    codec,
    /** The most that `work` asked of the codec in one turn of the event loop. */
    mostIn: async (work: () => Promise<unknown>): Promise<number> => {
      isCounting = true
      inThisTurn = 0
      most = 0
      setImmediate(nextTurn)
      try {
        await work()
      } finally {
        isCounting = false
      }
      return most
    },
  }
}

const SHAPES: readonly (readonly [what: string, data: () => Data])[] = [
  ['one text', () => ({ text: 'x'.repeat(100_000) })],
  ['bytes', () => ({ bytes: Buffer.alloc(100_000, 7) })],
  ['texts', () => ({ list: Array.from({ length: 100 }, (_, at) => `${at}`.padEnd(1_000, 'y')) })],
  ['keys', () => Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`key${at}`, at]))],
  ['nested keys', () => ({ map: Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`key${at}`, at])) })],
]

const WRITERS = 30

const DEADLINE_MS = 600_000

/** Two processes of a store with a large session, and what counts the work of their codec. */
const withLarge = async (data: Data) => {
  const here = world()
  const { codec, mostIn } = countingCodec()
  // On a busy machine a deadline must not end what is only counted here.
  const options = {
    codec,
    deadlineMs: DEADLINE_MS,
    maxAttempts: 200,
    identify: ({ user }: Data) => user as string | undefined,
  }
  const [one, other] = [here.process(options), here.process(options)]
  const { id } = await one.create(data)
  await settled()
  return { ...here, one, other, id, mostIn }
}

describe.each(SHAPES)('a large session of %s', (_what, data) => {
  test('is created, loaded, saved, merged and regenerated with a piece of work in each turn of the event loop', async () => {
    const { one, other, id, mostIn } = await withLarge(data())
    expect(await mostIn(() => one.create(data()))).toBe(1)
    expect(await mostIn(() => Promise.all([loaded(one, id), loaded(one, id), loaded(other, id)]))).toBe(1)
    const [mine, theirs, third] = await Promise.all([loaded(one, id), loaded(other, id), loaded(one, id)])
    mine.data['mine'] = 1
    theirs.data['theirs'] = 2
    third.data['third'] = 3
    expect(await mostIn(() => one.save(mine))).toBe(1)
    // Two parts that are compared are one piece of work.
    expect(await mostIn(() => other.save(theirs))).toBeLessThanOrEqual(2)
    expect(theirs.data).toEqual({ ...data(), mine: 1, theirs: 2 })
    expect(await mostIn(() => one.regenerate(third))).toBeLessThanOrEqual(2)
  })

  test(`takes the changes of ${WRITERS} writers at once, each in turns of its own, and loses none`, async () => {
    const { one, other, id, mostIn } = await withLarge(data())
    const updates = (): Promise<unknown> =>
      Promise.all(
        Array.from({ length: WRITERS }, (_, at) =>
          (at % 2 === 0 ? one : other).update(id, (held) => {
            held[`writer${at}`] = at
          }),
        ),
      )
    expect(await mostIn(updates)).toBeLessThanOrEqual(2)
    const session = await loaded(one, id)
    expect(Object.keys(session.data).filter((key) => key.startsWith('writer'))).toHaveLength(WRITERS)
  })
})

test('a part that three requests have changed is merged with two pieces of work in a turn at most', async () => {
  const map = () => Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`key${at}`, at]))
  for (const conflict of ['merge', 'deep'] as const) {
    const { process } = world()
    const { codec, mostIn } = countingCodec()
    const options = { codec, conflict, deadlineMs: DEADLINE_MS }
    const [one, other] = [process(options), process(options)]
    const { id } = await one.create({ map: map() })
    await settled()
    const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
    mine.data['map'] = { ...map(), mine: 1 }
    theirs.data['map'] = { ...map(), theirs: 1 }
    await one.save(mine)
    expect(await mostIn(() => other.save(theirs))).toBeLessThanOrEqual(2)
    expect((await loaded(one, id)).data['map']).toEqual({
      ...map(),
      theirs: 1,
      ...(conflict === 'deep' && { mine: 1 }),
    })
  }
})

describe('the turns between the steps of a save', () => {
  const TEXT = 'x'.repeat(100_000)

  test('change nothing of what it stores: that is the data as it was when save was called', async () => {
    const { one, other, id } = await withLarge({ text: TEXT, list: [0] })
    const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
    theirs.data['theirs'] = 1
    await other.save(theirs)
    mine.data['list'] = [1]
    let isDone = false
    const saving = one.save(mine).finally(() => {
      isDone = true
    })
    let turns = 0
    while (!isDone) {
      turns += 1
      mine.data['later'] = turns
      mine.data['list'] = [1, turns]
      await new Promise((resolve) => setImmediate(resolve))
    }
    await saving
    expect(turns).toBeGreaterThan(5)
    expect((await loaded(other, id)).data).toEqual({ text: TEXT, list: [1], theirs: 1 })
    // What the request changed meanwhile is still in its hands, with the change of the other beside it.
    expect(mine.data).toMatchObject({ theirs: 1, later: turns, list: [1, turns] })
    await one.save(mine)
    expect((await loaded(other, id)).data).toEqual(mine.data)
  })

  test('lose no data that the request puts in the place of its own meanwhile', async () => {
    const { one, other, id } = await withLarge({ text: TEXT })
    const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
    theirs.data['theirs'] = 1
    await other.save(theirs)
    mine.data['mine'] = 1
    let isDone = false
    const saving = one.save(mine).finally(() => {
      isDone = true
    })
    let turns = 0
    while (!isDone) {
      turns += 1
      mine.data = { text: TEXT, mine: 1, turns }
      await new Promise((resolve) => setImmediate(resolve))
    }
    await saving
    expect(mine.data).toEqual({ text: TEXT, mine: 1, theirs: 1, turns })
    await one.save(mine)
    expect((await loaded(other, id)).data).toEqual({ text: TEXT, mine: 1, theirs: 1, turns })
  })

  test('let saves of one session object follow each other, each with what it was called with', async () => {
    const { one, other, id } = await withLarge({ text: TEXT })
    const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
    theirs.data['theirs'] = 1
    await other.save(theirs)
    const saves = Array.from({ length: 4 }, (_, at) => {
      mine.data['count'] = at
      mine.data[`save${at}`] = at
      return one.save(mine)
    })
    await Promise.all(saves)
    const expected = { text: TEXT, theirs: 1, count: 3, save0: 0, save1: 1, save2: 2, save3: 3 }
    expect((await loaded(other, id)).data).toEqual(expected)
    expect(mine.data).toEqual(expected)
  })

  test('lose no change of two processes that save at once, again and again', async () => {
    const { one, other, id } = await withLarge({ text: TEXT })
    for (let round = 0; round < 5; round += 1) {
      const handles = await Promise.all([loaded(one, id), loaded(other, id), loaded(one, id)])
      await Promise.all(
        handles.map((session, at) => {
          session.data[`round${round}of${at}`] = true
          return (at === 1 ? other : one).save(session)
        }),
      )
    }
    expect(Object.keys((await loaded(one, id)).data)).toHaveLength(16)
  })

  test('begin no step for a call that is late by then, and a drain waits for those that are not', async () => {
    const { one, other, id, runtime } = await withLarge({ text: TEXT })
    const [mine, theirs, third] = await Promise.all([loaded(one, id), loaded(other, id), loaded(other, id)])
    theirs.data['theirs'] = 1
    await other.save(theirs)
    mine.data['mine'] = 1
    const controller = new AbortController()
    const saving = one.save(mine, { signal: controller.signal })
    saving.catch(() => {})
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    await expectCode(saving, 'E_ABORTED')
    await settled()
    expect((await loaded(other, id)).data).toEqual({ text: TEXT, theirs: 1 })

    third.data['third'] = 1
    const late = other.save(third)
    late.catch(() => {})
    await new Promise((resolve) => setImmediate(resolve))
    runtime.advance(DEADLINE_MS)
    await expectCode(late, 'E_SESSION_UNAVAILABLE')
    await settled()
    expect((await loaded(one, id)).data).toEqual({ text: TEXT, theirs: 1 })

    const fourth = await loaded(other, id)
    mine.data['mine'] = 2
    await one.save(mine)
    fourth.data['fourth'] = 1
    const last = other.save(fourth)
    await other.close()
    await last
    expect((await loaded(one, id)).data).toMatchObject({ fourth: 1, mine: 2 })
  })
})

test('a session that is not large is saved and merged without a turn of the event loop', async () => {
  const here = world()
  const [one, other] = [here.process(), here.process()]
  const { id } = await one.create({ n: 0 })
  await settled()
  const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
  let turns = 0
  const turn = setImmediate(() => {
    turns += 1
  })
  mine.data['mine'] = 1
  theirs.data['theirs'] = 1
  await one.save(mine)
  await other.save(theirs)
  await loaded(one, id)
  clearImmediate(turn)
  expect(turns).toBe(0)
  expect(theirs.data).toEqual({ n: 0, mine: 1, theirs: 1 })
})
