import { describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { tierUnavailable } from '../../src/errors.js'
import type { StoreOptions } from '../../src/store/options.js'
import { type Data, expectCode, held, increment, loaded, loseOneAnswer, settled, world } from './world.js'

/** What the backend alone holds: the cache is lost, and somebody who never saw the session reads it. */
const inBackend = async ({ loseCache, process }: ReturnType<typeof world>, id: string): Promise<Data> => {
  loseCache()
  return (await loaded(process(), id)).data
}

test('a save of what was not changed does not call durable what the cache lost, where others filled it anew', async () => {
  const cluster = world()
  const [store, other] = [cluster.process(), cluster.process()]
  const { id } = await store.create({ cart: [] })
  await settled()
  const session = await loaded(store, id)
  session.data['paid'] = true
  expect(await store.save(session)).toMatchObject({ durability: 'cache' })
  await settled()
  cluster.loseCache()
  expect((await loaded(other, id)).data).toEqual({ cart: [] })
  // So long that the next use is told to the cache, which shows what stands there by now.
  cluster.runtime.advance(3_600_000)
  expect(await store.save(session)).toMatchObject({ changed: false, durability: 'cache' })
  expect(await store.save(session, { durable: true })).toMatchObject({ durability: 'backend' })
  expect(await inBackend(cluster, id)).toEqual({ cart: [], paid: true })
})

describe('a durable save of what was not changed', () => {
  test('proves that an earlier change of the handle is in the backend, also where the cache was lost since', async () => {
    const cluster = world()
    const store = cluster.process()
    const { id } = await store.create({ cart: [] })
    await settled()
    const session = await loaded(store, id)
    session.data['paid'] = true
    expect(await store.save(session)).toMatchObject({ durability: 'cache' })
    cluster.loseCache()
    expect(await store.save(session, { durable: true })).toMatchObject({ durability: 'backend' })
    expect(session.data).toEqual({ cart: [], paid: true })
    expect(await inBackend(cluster, id)).toEqual({ cart: [], paid: true })
  })

  test('proves it where one look at the cache got no answer', async () => {
    const cluster = world()
    const { store, cache } = cluster.processWithTiers()
    const { id } = await store.create({ cart: [] })
    await settled()
    const session = await loaded(store, id)
    session.data['paid'] = true
    await store.save(session)
    loseOneAnswer(cache, 'get')
    await store.save(session, { durable: true })
    expect(await inBackend(cluster, id)).toEqual({ cart: [], paid: true })
  })

  test('leaves what others have changed since', async () => {
    const cluster = world()
    const [store, other] = [cluster.process(), cluster.process()]
    const { id } = await store.create({ plan: 'free' })
    await settled()
    const session = await loaded(store, id)
    session.data['theme'] = 'dark'
    await store.save(session)
    cluster.loseCache()
    await other.update(id, (data) => void Object.assign(data, { plan: 'gold' }))
    expect(await store.save(session, { durable: true })).toMatchObject({ merged: true, durability: 'backend' })
    expect(session.data).toEqual({ plan: 'gold', theme: 'dark' })
    expect(await inBackend(cluster, id)).toEqual({ plan: 'gold', theme: 'dark' })
  })

  test('is a conflict where others have changed the same since: it cannot prove what it says', async () => {
    const cluster = world()
    const [store, other] = [cluster.process(), cluster.process()]
    const { id } = await store.create({ plan: 'free' })
    await settled()
    const session = await loaded(store, id)
    session.data['plan'] = 'paid'
    await store.save(session)
    cluster.loseCache()
    await other.update(id, (data) => void Object.assign(data, { plan: 'gold' }))
    await expect(store.save(session, { durable: true })).rejects.toMatchObject({
      code: 'E_SESSION_CONFLICT',
      applied: 'no',
    })
    expect(await inBackend(cluster, id)).toEqual({ plan: 'gold' })
  })

  test('and any other save puts back what was lost, where nobody has changed it since', async () => {
    const cluster = world()
    const [store, other] = [cluster.process(), cluster.process()]
    const { id } = await store.create({ plan: 'free' })
    await settled()
    const session = await loaded(store, id)
    Object.assign(session.data, { plan: 'paid', theme: 'dark' })
    await store.save(session)
    cluster.loseCache()
    await other.update(id, (data) => void Object.assign(data, { plan: 'gold' }))
    session.data['last'] = 1
    await store.save(session)
    expect(session.data).toEqual({ plan: 'gold', theme: 'dark', last: 1 })
    expect(await inBackend(cluster, id)).toEqual({ plan: 'gold', theme: 'dark', last: 1 })
  })

  test('is a conflict where what the handle loaded was lost, and nothing of it is its own', async () => {
    const { process, loseCache } = world()
    const store = process()
    const { id } = await store.create({})
    await settled()
    await increment(store, id)
    const session = await loaded(store, id)
    loseCache()
    await expect(store.save(session, { durable: true })).rejects.toMatchObject({
      code: 'E_SESSION_CONFLICT',
      applied: 'no',
    })
  })

  test('that changes something puts back what the cache lost of the handle as well', async () => {
    const cluster = world()
    const store = cluster.process()
    const { id } = await store.create({})
    await settled()
    const session = await loaded(store, id)
    session.data['first'] = 1
    await store.save(session)
    cluster.loseCache()
    session.data['second'] = 2
    await store.save(session, { durable: true })
    expect(await inBackend(cluster, id)).toEqual({ first: 1, second: 2 })
  })
})

describe('a save that is repeated after it was rejected', () => {
  /** The first save is in the cache when the backend fails it; then, perhaps, the cache is lost and another writes. */
  const rejectedSave = async (isLost: boolean, setUp: (session: { data: Data }) => void) => {
    const cluster = world()
    const options = { maxStaleCount: 1, identify: ({ user }: Data) => user as string | undefined }
    const { store, backend } = cluster.processWithTiers(options)
    const other = cluster.process(options)
    const { id } = await store.create({})
    await settled()
    const session = await loaded(store, id)
    setUp(session)
    let failing: 'update' | 'read' | undefined = 'update'
    backend.intercept = async (call, proceed) => {
      if (call !== failing) return await proceed()
      if (isLost) failing = call === 'update' ? 'read' : undefined
      if (isLost && call === 'update') {
        cluster.loseCache()
        await other.update(id, (data) => Object.assign(data, { other: 1 }))
        return await proceed()
      }
      throw tierUnavailable('memory', call, { because: 'the test says so', applied: 'no' })
    }
    const mend = (): void => {
      failing = undefined
    }
    return { cluster, store, session, id, mend }
  }

  test.each([{}, { durable: true }])(
    'stores what the handle holds, though the cache had taken it (%o)',
    async (options) => {
      const { cluster, store, session, id } = await rejectedSave(true, ({ data }) =>
        Object.assign(data, { paid: true }),
      )
      await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
      await store.save(session, options)
      expect(session.data).toEqual({ paid: true, other: 1 })
      expect(await inBackend(cluster, id)).toEqual({ paid: true, other: 1 })
    },
  )

  test('is durable where it changed the user, as the first one had to be', async () => {
    const { cluster, store, session, id, mend } = await rejectedSave(false, ({ data }) =>
      Object.assign(data, { user: 'ann' }),
    )
    await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
    mend()
    expect(await store.save(session)).toMatchObject({ durability: 'backend' })
    expect(await inBackend(cluster, id)).toEqual({ user: 'ann' })
  })

  test('takes back what the first one had stored, where the request changed its mind', async () => {
    const { cluster, store, session, id, mend } = await rejectedSave(false, ({ data }) =>
      Object.assign(data, { user: 'ann' }),
    )
    await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
    mend()
    delete session.data['user']
    await store.save(session)
    expect(await inBackend(cluster, id)).toEqual({})
  })

  test('asks a conflict function no second time for what is in already', async () => {
    const { process, processWithTiers } = world()
    const { store, backend } = processWithTiers({
      maxStaleCount: 1,
      onBackendDown: 'reject',
      conflict: ({ base, mine, current }) => ({
        total: Number(current['total']) + Number(mine['total']) - Number(base['total']),
      }),
    })
    const other = process()
    const { id } = await store.create({ total: 0 })
    await settled()
    const session = await loaded(store, id)
    session.data['total'] = 1
    await other.update(id, (data) => Object.assign(data, { total: 10 }))
    let isFailing = true
    backend.intercept = async (call, proceed) => {
      if (call === 'update' && isFailing)
        throw tierUnavailable('memory', call, { because: 'the test says so', applied: 'no' })
      return await proceed()
    }
    await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
    isFailing = false
    await store.save(session)
    expect(session.data).toEqual({ total: 11 })
    expect((await loaded(other, id)).data).toEqual({ total: 11 })
  })
})

describe('a save that keeps the data of its request free of others’ changes', () => {
  const isolated = { isolated: true } as const

  /** A handle whose isolated save merged in what another stored: the data does not show it. */
  const merged = async (cluster = world()) => {
    const [store, other] = [cluster.process(), cluster.process()]
    const { id } = await store.create({ kept: 1, mine: 0 })
    await settled()
    const session = await loaded(store, id)
    await other.update(id, (data) => Object.assign(data, { kept: 2, theirs: 1 }))
    session.data['mine'] = 1
    expect(await store.save(session, isolated)).toMatchObject({ changed: true, merged: true })
    expect(session.data).toEqual({ kept: 1, mine: 1 })
    return { cluster, store, other, id, session }
  }

  test('undoes nothing of them later, however it goes on', async () => {
    const { store, other, id, session } = await merged()
    expect(await store.save(session, isolated)).toMatchObject({ changed: false })
    session.data['mine'] = 2
    await store.save(session, isolated)
    await other.update(id, (data) => delete data['kept'])
    session.data['mine'] = 3
    await store.save(session, { ...isolated, durable: true })
    expect((await loaded(other, id)).data).toEqual({ mine: 3, theirs: 1 })
    expect(session.data).toEqual({ kept: 1, mine: 3 })
  })

  test('takes them in with the next save that is not isolated', async () => {
    const { store, session } = await merged()
    session.data['mine'] = 2
    expect(await store.save(session)).toMatchObject({ merged: true })
    expect(session.data).toEqual({ kept: 2, mine: 2, theirs: 1 })
  })

  test('is in the new session of a regeneration together with them', async () => {
    const { store, session } = await merged()
    expect((await store.regenerate(session)).data).toEqual({ kept: 2, mine: 1, theirs: 1 })
  })

  test('proves with a durable save also what was merged in, where the cache was lost since', async () => {
    const { cluster, store, id, session } = await merged()
    cluster.loseCache()
    expect(await store.save(session, { ...isolated, durable: true })).toMatchObject({ durability: 'backend' })
    expect(await inBackend(cluster, id)).toMatchObject({ mine: 1 })
    expect(session.data).toEqual({ kept: 1, mine: 1 })
  })
})

describe('calls of one handle that overlap', () => {
  test('a second save stores what the handle held when it was called, also what it takes back of the first', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ on: false })
    const session = await loaded(store, id)
    session.data['on'] = true
    const first = store.save(session)
    session.data['on'] = false
    expect(await store.save(session)).toMatchObject({ changed: true })
    await first
    expect((await loaded(store, id)).data).toEqual({ on: false })
    expect(session.data).toEqual({ on: false })
  })

  test('what others changed meanwhile comes into the handle, and costs no later change of the request', async () => {
    const { process } = world()
    const [store, other] = [process(), process()]
    const { id } = await store.create({ on: false })
    await settled()
    const session = await loaded(store, id)
    await other.update(id, (data) => Object.assign(data, { name: 'Ada' }))
    session.data['on'] = true
    const first = store.save(session)
    session.data['on'] = 'perhaps'
    const second = store.save(session)
    expect(await first).toMatchObject({ merged: true })
    await second
    expect(session.data).toEqual({ on: 'perhaps', name: 'Ada' })
    expect((await loaded(other, id)).data).toEqual({ on: 'perhaps', name: 'Ada' })
    session.data['last'] = true
    await store.save(session)
    expect((await loaded(other, id)).data).toEqual({ on: 'perhaps', name: 'Ada', last: true })
  })

  test('a regeneration that waits for a save undoes nothing of what others changed meanwhile', async () => {
    const { process } = world()
    const [store, other] = [process(), process()]
    const { id } = await store.create({ n: 0 })
    await settled()
    const [session, theirs] = [await loaded(store, id), await loaded(other, id)]
    theirs.data['theirs'] = 1
    await other.save(theirs)
    session.data['first'] = 1
    const saving = store.save(session)
    session.data['second'] = 1
    const regenerating = store.regenerate(session)
    await saving
    const { data } = await loaded(other, (await regenerating).id)
    expect(data).toEqual({ n: 0, theirs: 1, first: 1, second: 1 })
  })

  /**
   * The first of two saves under way has ended, and has brought what another process changed before into the handle. The
   * second goes on when the test lets it.
   */
  const secondUnderWay = async (
    options: StoreOptions<Data> = {},
    hold: (data: Data, step: number) => void = () => {},
  ) => {
    const { process, processWithTiers } = world()
    const { store, cache } = processWithTiers(options)
    const other = process(options)
    const { id } = await other.create({ count: 0 })
    await settled()
    const session = await loaded(store, id)
    const add = (theme: string): Promise<unknown> =>
      other.update(id, (data) => void Object.assign(data, { theme, count: Number(data['count']) + 1 }))
    await add('dark')
    const gate = held()
    let swaps = 0
    cache.intercept = async (call, proceed) => {
      // The first save needs two: it finds that the other process was quicker, and merges.
      if (call === 'cas') swaps += 1
      if (swaps > 2) await gate.opened
      return await proceed()
    }
    const [first, second] = [1, 2].map((step) => {
      session.data['step'] = step
      hold(session.data, step)
      return store.save(session)
    })
    await first
    return { store, other, id, session, add, second, goOn: gate.open }
  }

  test('a third save takes nothing that the first brought in for a change of its own', async () => {
    for (const conflict of ['merge', { keys: { count: 'sum' } }] as const) {
      const { store, other, id, session, add, second, goOn } = await secondUnderWay({ conflict })
      session.data['step'] = 3
      const third = store.save(session)
      await add('light')
      goOn()
      await Promise.all([second, third])
      expect((await loaded(other, id)).data).toEqual({ count: 2, theme: 'light', step: 3 })
      expect(session.data).toEqual({ count: 2, theme: 'light', step: 3 })
    }
  })

  test('a regeneration takes nothing that the first save brought in for a change of the request', async () => {
    const { store, other, session, add, second, goOn } = await secondUnderWay()
    session.data['step'] = 3
    const regenerating = store.regenerate(session)
    await add('light')
    goOn()
    await second
    expect((await loaded(other, (await regenerating).id)).data).toEqual({ count: 2, theme: 'light', step: 3 })
  })

  test('by a conflict function of the application the handle holds what the second stored', async () => {
    const { store, id, session, second, goOn } = await secondUnderWay(
      {
        conflict: ({ base, mine, current }) => ({
          ...{ ...current, ...mine },
          count: Number(current['count']) + Number(mine['count']) - Number(base['count']),
        }),
      },
      (data, step) => void Object.assign(data, { count: 10 * step }),
    )
    goOn()
    await second
    expect(session.data).toEqual({ count: 21, theme: 'dark', step: 2 })
    await store.save(session)
    expect((await loaded(store, id)).data).toEqual({ count: 21, theme: 'dark', step: 2 })
  })

  test('what `beforeSave` gives in place of the data costs no change that the request makes meanwhile', async () => {
    const { store, other, id, session, second, goOn } = await secondUnderWay(
      {
        beforeSave: ({ draft: _, ...rest }) => rest,
      },
      (data) => void Object.assign(data, { draft: () => 'no codec takes this' }),
    )
    expect(session.data).toEqual({ count: 1, theme: 'dark', step: 2 })
    session.data['later'] = true
    goOn()
    await second
    expect(await store.save(session)).toMatchObject({ changed: true })
    expect((await loaded(other, id)).data).toEqual({ count: 1, theme: 'dark', step: 2, later: true })
  })

  test('a touch and a regeneration wait for a save that was called before', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ n: 0 })
    await settled()
    const session = await loaded(store, id)
    session.data['n'] = 1
    const [, , fresh] = await Promise.all([
      store.save(session),
      store.touch(session, { idleTtlMs: 5_000 }),
      store.regenerate(session),
    ])
    expect((await loaded(store, fresh.id)).data).toEqual({ n: 1 })
    expect(await store.load(id)).toBeUndefined()
  })
})

describe('a call whose caller was told that it is late', () => {
  test('begins nothing afterwards: what others were told is stored later stands', async () => {
    const cluster = world()
    const limits = { backendTimeoutMs: 1_000, deadlineMs: 1_000, maxStaleCount: 1_000 }
    const slow = cluster.processWithTiers(limits)
    const quick = cluster.process({ maxStaleCount: 1_000 })
    const { id } = await quick.create({ city: 'none' })
    await settled()
    const [first, second] = [await loaded(slow.store, id), await loaded(slow.store, id)]
    const gate = held()
    slow.cache.intercept = async (call, proceed) => {
      if (call === 'cas') await gate.opened
      return await proceed()
    }
    first.data['street'] = 'High Street'
    second.data['city'] = 'Oslo'
    const told = [slow.store.save(first), slow.store.save(second)].map((save) =>
      expectCode(save, 'E_SESSION_UNAVAILABLE'),
    )
    await settled()
    cluster.runtime.advance(1_000)
    await Promise.all(told)
    const later = await loaded(quick, id)
    later.data['city'] = 'Rome'
    await quick.save(later)
    gate.open()
    await settled()
    expect((await loaded(quick, id)).data).toMatchObject({ city: 'Rome' })
  })

  test('is asked for no more: a session frozen for long, by whatever clock, is not polled after that', async () => {
    const { process, runtime, cache, cached, plantEnvelope } = world()
    const store = process({ backendTimeoutMs: 300, deadlineMs: 500 })
    const session = await store.create({ n: 0 })
    await settled()
    const envelope = await cached(session.id)
    if (envelope?.kind !== 'live') throw new Error('it is not cached')
    await plantEnvelope(session.id, { ...envelope, frozen: true, version: 2, writtenAt: runtime.now() })
    session.data['n'] = 1
    const told = expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
    await new Promise((resolve) => setTimeout(resolve, 50))
    runtime.advance(500)
    await told
    await settled()
    const before = cache.calls.length
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(cache.calls.length - before).toBeLessThanOrEqual(1)
  })

  test('an entry frozen by a clock that is ahead keeps no writer out', async () => {
    const { process, runtime, cached, plantEnvelope } = world()
    const store = process()
    const session = await store.create({ n: 0 })
    await settled()
    const envelope = await cached(session.id)
    if (envelope?.kind !== 'live') throw new Error('it is not cached')
    await plantEnvelope(session.id, { ...envelope, frozen: true, version: 2, writtenAt: runtime.now() + 3_600_000 })
    session.data['n'] = 1
    expect(await store.save(session)).toMatchObject({ changed: true, durability: 'backend' })
    expect((await loaded(store, session.id)).data).toEqual({ n: 1 })
  })
})

describe('an entry that a regeneration has frozen', () => {
  const frozenSession = async () => {
    const tiers = world()
    const store = tiers.process({ touchIntervalMs: 0 })
    const { id } = await store.create({ n: 0 })
    await settled()
    const envelope = await tiers.cached(id)
    if (envelope?.kind !== 'live') throw new Error('it is not cached')
    await tiers.plantEnvelope(id, { ...envelope, frozen: true, writtenAt: tiers.runtime.now() })
    const readsOfBackend = async (): Promise<number> => {
      const before = tiers.backend.calls.filter((call) => call === 'read').length
      expect((await store.load(id, { touch: false }))?.data).toEqual({ n: 0 })
      return tiers.backend.calls.filter((call) => call === 'read').length - before
    }
    return { ...tiers, store, id, readsOfBackend }
  }

  test('is compared with the backend by each reader, until a comparison comes when the regeneration must be over', async () => {
    const { runtime, readsOfBackend } = await frozenSession()
    expect([await readsOfBackend(), await readsOfBackend()]).toEqual([1, 1])
    runtime.advance(60_000)
    expect([await readsOfBackend(), await readsOfBackend()]).toEqual([1, 0])
  })

  test('is given to nobody while the backend cannot be asked, and is no session that is not there', async () => {
    const { store, id, backend } = await frozenSession()
    backend.unreachable = true
    await expectCode(store.load(id), 'E_SESSION_UNAVAILABLE')
    backend.unreachable = false
    expect((await loaded(store, id)).data).toEqual({ n: 0 })
  })
})

describe('a conflict function', () => {
  test('is given copies of its own each time it is asked', async () => {
    const { process, processWithTiers } = world()
    const given: unknown[] = []
    const { store, cache } = processWithTiers({
      conflict: ({ base, mine, current }) => {
        given.push(mine)
        mine['total'] = Number(mine['total']) + Number(current['total']) - Number(base['total'])
        return mine
      },
    })
    const others = process()
    const add = (by: number) => (data: Data) => void Object.assign(data, { total: Number(data['total']) + by })
    const { id } = await store.create({ total: 0 })
    await settled()
    const session = await loaded(store, id)
    add(1)(session.data)
    const mine = session.data
    await others.update(id, add(10))
    let isThird = true
    cache.intercept = async (call, proceed) => {
      if (call === 'cas' && given.length === 1 && isThird) {
        isThird = false
        await others.update(id, add(100))
      }
      return await proceed()
    }
    await store.save(session)
    expect((await loaded(others, id)).data).toEqual({ total: 111 })
    expect(given).toHaveLength(2)
    expect(given).not.toContain(mine)
    expect(mine).toEqual({ total: 1 })
  })
})

describe('updates of one session that come together', () => {
  const counter = (store: SessionStore<Data>, id: string) =>
    store.update(id, (data) => void Object.assign(data, { n: Number(data['n']) + 1 }))

  test('give each caller a session of its own', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ n: 0 })
    const [first, second, third] = await Promise.all([counter(store, id), counter(store, id), counter(store, id)])
    if (first === undefined || second === undefined || third === undefined) throw new Error('the session is gone')
    expect(new Set([first, second, third].flatMap((session) => [session, session.data])).size).toBe(6)
    second.data['draft'] = 'never saved'
    third.data['seen'] = true
    await store.save(third)
    expect((await loaded(store, id)).data).toEqual({ n: 3, seen: true })
  })

  test('a change that never settles is given up at its deadline, and holds up no other for long', async () => {
    const store = createSessionStore<Data>({ allowEmbedded: true, backendTimeoutMs: 2_000, deadlineMs: 2_000 })
    const { id } = await store.create({ n: 0 })
    const stuck = expectCode(
      store.update(id, () => new Promise(() => {})),
      'E_SESSION_UNAVAILABLE',
    )
    expect((await counter(store, id))?.data).toEqual({ n: 1 })
    await stuck
    expect((await counter(store, id))?.data).toEqual({ n: 2 })
    await store.close()
  })

  test('a change that takes long and settles in time is stored, beside those that did not wait for it', async () => {
    const store = createSessionStore<Data>({ allowEmbedded: true, backendTimeoutMs: 2_000, deadlineMs: 4_000 })
    const { id } = await store.create({ n: 0 })
    const gate = held()
    const long = store.update(id, async (data) => {
      data['n'] = Number(data['n']) + 10
      await gate.opened
    })
    await counter(store, id)
    gate.open()
    expect((await long)?.data).toEqual({ n: 11 })
    await store.close()
  })

  test('one change is in once, though its answer was lost, the cache too, and another’s flush comes late', async () => {
    const cluster = world()
    const mine = cluster.processWithTiers()
    const other = cluster.processWithTiers()
    const { id } = await mine.store.create({ log: [] })
    await settled()
    await other.store.update(id, (data) => void Object.assign(data, { first: 1 }))
    // The other one takes what stands there to the backend, late.
    const gate = held()
    let flushing: Promise<unknown> = Promise.resolve()
    other.backend.intercept = async (call, proceed) => {
      if (call === 'update') await gate.opened
      return await proceed()
    }
    mine.cache.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call !== 'cas') return answer
      mine.cache.intercept = (_call, go) => go()
      flushing = loaded(other.store, id).then((session) => other.store.save(session, { durable: true }))
      await settled()
      cluster.loseCache()
      // Somebody changes it from the older copy, so that the change starts over.
      await cluster.process().load(id)
      throw tierUnavailable('memory', 'cas', { because: 'the answer was lost', applied: 'unknown' })
    }
    mine.backend.intercept = async (call, proceed) => {
      if (call === 'update') {
        gate.open()
        await flushing
      }
      return await proceed()
    }
    await mine.store.update(id, (data) => void (data['log'] as string[]).push('once'))
    gate.open()
    await flushing.catch(() => undefined)
    expect((await loaded(mine.store, id)).data['log']).toEqual(['once'])
    expect((await inBackend(cluster, id))['log']).toEqual(['once'])
  })
})
