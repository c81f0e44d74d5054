import { getEventListeners } from 'node:events'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import type { CallOptions, Session, SessionStore } from '../../src/contract/session-store.js'
import { type Data, expectCode, held, increment, loaded, settled, world } from './world.js'

/** A session that stands in both tiers, and one handle of it that was changed. */
interface Given {
  readonly store: SessionStore<Data>
  readonly session: Session<Data>
}

/** Every call that can wait, and whether it changes something. */
const CALLS: Record<string, readonly [isChange: boolean, (given: Given, options: CallOptions) => Promise<unknown>]> = {
  create: [true, ({ store }, options) => store.create({ n: 1 }, { ...options, id: 'a-new-one' })],
  load: [false, ({ store, session }, options) => store.load(session.id, options)],
  save: [true, ({ store, session }, options) => store.save(session, options)],
  update: [true, ({ store, session }, options) => store.update(session.id, (data) => ({ ...data, n: 2 }), options)],
  put: [true, ({ store, session }, options) => store.put(session.id, { n: 2 }, options)],
  touch: [false, ({ store, session }, options) => store.touch(session, { ...options, idleTtlMs: 5_000 })],
  regenerate: [true, ({ store, session }, options) => store.regenerate(session, options)],
  destroy: [true, ({ store, session }, options) => store.destroy(session, options)],
  list: [false, ({ store }, options) => store.list(options)],
  count: [false, ({ store }, options) => store.count(options)],
  destroyAll: [true, ({ store }, options) => store.destroyAll(options)],
  activity: [false, ({ store }, options) => store.activity({ ...options, withinMs: 1_000 })],
  countByUser: [false, ({ store }, options) => store.countByUser('ada', options)],
  destroyByUser: [true, ({ store }, options) => store.destroyByUser('ada', options)],
  inspect: [false, ({ store, session }, options) => store.inspect(store.handleOf(session), options)],
  destroyByHandle: [true, ({ store, session }, options) => store.destroyByHandle(store.handleOf(session), options)],
  ready: [false, ({ store }, options) => store.ready(options)],
}

const scene = async () => {
  const cluster = world()
  const { store, cache, backend } = cluster.processWithTiers()
  const session = await store.create({ n: 1 })
  await settled()
  session.data['n'] = 2
  const asked = (): number => cache.calls.length + backend.calls.length
  return { ...cluster, own: { cache, backend }, given: { store, session }, asked, other: cluster.process() }
}

describe.each(Object.entries(CALLS))('%s', (name, [isChange, call]) => {
  test('that was aborted before it began asks no tier, and says that nothing was done', async () => {
    const { given, asked } = await scene()
    const before = asked()
    const reason = new Error('the visitor has gone')
    const error: unknown = await call(given, { signal: AbortSignal.abort(reason) }).catch((raised: unknown) => raised)
    expect(error).toMatchObject({ code: 'E_ABORTED', operation: name, cause: reason })
    expect((error as { applied?: unknown }).applied).toBe(isChange ? 'no' : undefined)
    await settled()
    expect(asked()).toBe(before)
  })

  test('that is aborted while a tier is silent rejects at once, and says that a change may be in', async () => {
    const { given, own } = await scene()
    own.cache.intercept = own.backend.intercept = () => new Promise(() => {})
    const controller = new AbortController()
    const under = call(given, { signal: controller.signal }).catch((raised: unknown) => raised)
    await settled()
    controller.abort()
    const error = await under
    expect(error).toMatchObject({ code: 'E_ABORTED', cause: controller.signal.reason })
    const saysNothing = !isChange || name === 'destroyAll'
    expect((error as { applied?: unknown }).applied).toBe(
      saysNothing ? (name === 'destroyAll' ? 'no' : undefined) : 'unknown',
    )
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  })

  test('leaves no listener on a signal, and a signal that is aborted afterwards does nothing', async () => {
    const { given } = await scene()
    const controller = new AbortController()
    await call(given, { signal: controller.signal })
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    controller.abort()
    await settled()
  })

  test('refuses what is no signal', async () => {
    const { given, asked } = await scene()
    const before = asked()
    for (const signal of [new AbortController(), null, 'now', { aborted: true }])
      await expectCode(call(given, { signal: signal as never }), 'E_CONFIG')
    expect(asked()).toBe(before)
  })
})

test('a controller in the place of its signal is named', async () => {
  const { given } = await scene()
  await expect(given.store.load('an-id', { signal: new AbortController() as never })).rejects.toThrow(
    'Expected `signal` to be an AbortSignal, got an object: give the `signal` of the controller',
  )
})

test('no new step of a save begins once it was aborted: the change does not come in behind its caller', async () => {
  const { given, own, other } = await scene()
  const gate = held()
  // The handle was read before somebody else came between, so that a save takes two tries.
  await increment(other, given.session.id)
  own.cache.intercept = async (operation, proceed) => {
    const answer = await proceed()
    if (operation === 'cas') await gate.opened
    return answer
  }
  const controller = new AbortController()
  const saving = given.store.save(given.session, { signal: controller.signal })
  await settled()
  controller.abort()
  await expect(saving).rejects.toMatchObject({ code: 'E_ABORTED', applied: 'unknown' })
  const before = own.cache.calls.length
  gate.open()
  await settled()
  expect(own.cache.calls.slice(before)).not.toContain('cas')
  expect((await loaded(other, given.session.id)).data).toEqual({ n: 1, count: 1 })
})

test.each(['create', 'due'] as const)(
  'a creation that was aborted over its lease is made nowhere, with persistOn %s',
  async (persistOn) => {
    const { process, cache, cached, stored } = world()
    const store = process({ persistOn })
    const gate = held()
    cache.intercept = async (operation, proceed) => {
      const answer = await proceed()
      if (operation === 'add') await gate.opened
      return answer
    }
    const controller = new AbortController()
    const creating = store.create({ n: 1 }, { id: 'an-id', signal: controller.signal })
    await settled()
    controller.abort()
    await expectCode(creating, 'E_ABORTED')
    gate.open()
    await settled()
    expect(await cached('an-id')).toBeUndefined()
    expect(await stored('an-id')).toEqual({ state: 'absent' })
  },
)

test('a call that waits behind another one is never begun once it was aborted', async () => {
  const { given, own } = await scene()
  const gate = held()
  own.cache.intercept = async (operation, proceed) => {
    if (operation === 'cas') await gate.opened
    return await proceed()
  }
  const first = given.store.save(given.session)
  given.session.data['n'] = 3
  const controller = new AbortController()
  const second = given.store.save(given.session, { signal: controller.signal })
  await settled()
  controller.abort()
  await expectCode(second, 'E_ABORTED')
  gate.open()
  await first
  await settled()
  expect((await loaded(given.store, given.session.id)).data).toEqual({ n: 2 })
})

test('of changes that go out together, the one that is aborted takes none of the others along', async () => {
  const { given, own } = await scene()
  const gate = held()
  own.cache.intercept = async (operation, proceed) => {
    if (operation === 'get') await gate.opened
    return await proceed()
  }
  const { store, session } = given
  const controller = new AbortController()
  const add = (what: string) => (data: Data) => ({ ...data, [what]: true })
  const under = [
    store.update(session.id, add('first')),
    store.update(session.id, add('aborted'), { signal: controller.signal }).catch((error: unknown) => error),
    store.update(session.id, add('last')),
  ]
  await settled()
  controller.abort()
  gate.open()
  expect((await Promise.all(under))[1]).toMatchObject({ code: 'E_ABORTED' })
  expect((await loaded(store, session.id)).data).toEqual({ n: 1, first: true, last: true })
})

test('a destroy that has begun is finished, also where nobody waits for it any more', async () => {
  const { given, own, other, stored } = await scene()
  const gate = held()
  own.backend.intercept = async (_operation, proceed) => {
    await gate.opened
    return await proceed()
  }
  const controller = new AbortController()
  const ending = given.store.destroy(given.session.id, { signal: controller.signal })
  await settled()
  controller.abort()
  await expect(ending).rejects.toMatchObject({ code: 'E_ABORTED', applied: 'unknown' })
  gate.open()
  await settled()
  expect(await stored(given.session.id)).toEqual({ state: 'destroyed' })
  expect(await other.load(given.session.id)).toBeUndefined()
})

test('a destroyAll that is aborted says that sessions may be gone, and leaves the others', async () => {
  const { given, own } = await scene()
  const { store } = given
  for (let n = 0; n < 20; n += 1) await store.create({ n })
  const controller = new AbortController()
  let destroyed = 0
  own.backend.intercept = async (operation, proceed) => {
    const answer = await proceed()
    if (operation === 'destroy' && ++destroyed === 2) controller.abort()
    return answer
  }
  await expect(store.destroyAll({ signal: controller.signal })).rejects.toMatchObject({
    code: 'E_ABORTED',
    applied: 'unknown',
  })
  await settled()
  // Two had come through, and at most eight were under way.
  expect(await store.count()).toBeGreaterThanOrEqual(11)
  expect(await store.count()).toBeLessThanOrEqual(19)
})

test('a signal that the data aborts while it is looked at stops the call', async () => {
  const controller = new AbortController()
  const beforeSave = (data: Data): Data => {
    controller.abort()
    return data
  }
  const { process } = world()
  await expectCode(process({ beforeSave }).create({ n: 1 }, { signal: controller.signal }), 'E_ABORTED')
})

test('a signal of another realm counts as one', async () => {
  const { given } = await scene()
  const controller = new AbortController()
  const foreign = runInNewContext(
    '({ get aborted() { return own.aborted }, reason: "gone", addEventListener() {}, removeEventListener() {} })',
    { own: controller.signal },
  ) as AbortSignal
  await given.store.load(given.session.id, { signal: foreign })
  controller.abort()
  await expectCode(given.store.load(given.session.id, { signal: foreign }), 'E_ABORTED')
})

test('10,000 calls on one signal have one listener on it while they run, and leave none', async () => {
  const { given } = await scene()
  const controller = new AbortController()
  let most = 0
  for (let round = 0; round < 100; round += 1) {
    const under = Array.from({ length: 100 }, (_, at) =>
      at % 2 === 0
        ? given.store.load(given.session.id, { signal: controller.signal })
        : given.store.touch(given.session, { signal: controller.signal }),
    )
    most = Math.max(most, getEventListeners(controller.signal, 'abort').length)
    await Promise.all(under)
  }
  expect(most).toBe(1)
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
})

test('a signal that is aborted gives up all calls under way, and only those', async () => {
  const { given, own } = await scene()
  const { store, session } = given
  own.cache.intercept = () => new Promise(() => {})
  const [one, other] = [new AbortController(), new AbortController()]
  const under = (controller: AbortController) =>
    Array.from({ length: 20 }, () => store.load(session.id, { signal: controller.signal }).catch((e: unknown) => e))
  const [given20, left20] = [under(one), under(other)]
  await settled()
  one.abort()
  for (const error of await Promise.all(given20)) expect(error).toMatchObject({ code: 'E_ABORTED' })
  expect(getEventListeners(other.signal, 'abort')).toHaveLength(1)
  other.abort()
  for (const error of await Promise.all(left20)) expect(error).toMatchObject({ code: 'E_ABORTED' })
})

test('a call without a signal takes no notice of any', async () => {
  const { given } = await scene()
  const { session, store } = given
  expect((await store.load(session.id, { signal: undefined as never }))?.data).toEqual({ n: 1 })
})

test('a read that was aborted does not hold up the end of the store', async () => {
  const { given, own, runtime } = await scene()
  own.cache.intercept = () => new Promise(() => {})
  const controller = new AbortController()
  const reading = given.store.load(given.session.id, { signal: controller.signal })
  await settled()
  controller.abort()
  await expectCode(reading, 'E_ABORTED')
  const started = runtime.now()
  await given.store.close()
  expect(runtime.now()).toBe(started)
})
