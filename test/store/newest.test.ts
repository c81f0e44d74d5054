import { expect, test } from 'vitest'
import { forged } from '../session/envelopes.js'
import { change, loaded, world } from './world.js'

const identify = ({ user }: Record<string, unknown>): string | undefined => user as string | undefined

test('a listing shows the newest state of each session, as the cache has it, where that is asked for', async () => {
  const { process } = world()
  const [store, other] = [process(), process()]
  const { id } = await store.create({ n: 1 }, { app: 'shop' })
  await store.create({ n: 9 }, { app: 'forum' })
  await store.create({ n: 8 })
  await change(other, id, (data) => {
    data['n'] = 2
  })
  const lagging = await store.list({ app: 'shop', data: true })
  expect(lagging).toMatchObject([{ app: 'shop', from: 'backend', data: { n: 1 }, writes: 1 }])
  const newest = await store.list({ app: 'shop', data: true, newest: true })
  expect(newest).toMatchObject([{ app: 'shop', from: 'cache', data: { n: 2 }, writes: 2 }])
  expect(newest.next).toBeUndefined()
})

test('a listing of the newest state has each session that was used of late, and none that only the backend takes for one', async () => {
  const { process, runtime } = world()
  const store = process({ identify, idleTtlMs: 3_600_000 })
  const [used, idle] = [await store.create({ n: 1 }, { app: 'shop' }), await store.create({ n: 2 }, { app: 'shop' })]
  runtime.advance(50_000)
  await change(store, used.id, (data) => {
    data['n'] = 3
  })
  runtime.advance(5_000)
  // The use is the cache's secret still: no flush was due.
  expect(await store.list({ app: 'shop', seenWithinMs: 10_000 })).toEqual([])
  const sessions = await store.list({ app: 'shop', seenWithinMs: 10_000, newest: true })
  expect(sessions.map(({ handle }) => handle)).toEqual([store.handleOf(used)])
  expect(await store.list({ app: 'shop', seenWithinMs: 60_000, newest: true })).toHaveLength(2)
  expect(await loaded(store, idle.id)).toBeDefined()
})

test('a listing of the newest state is that of the backend where the cache cannot be asked', async () => {
  const { process, cache } = world()
  const store = process()
  await store.create({ n: 1 }, { app: 'shop' })
  cache.unreachable = true
  expect(await store.list({ newest: true })).toMatchObject([{ from: 'backend' }])
})

test('a listing of the newest state shows a session whose entry a newer release wrote as one that cannot be read, and the others', async () => {
  const { process, rawBytes, plant, keyOf } = world()
  const store = process({ identify })
  const [newer, known] = [await store.create({ user: 'ada', n: 1 }), await store.create({ user: 'ada', n: 2 })]
  await loaded(store, newer.id)
  await plant(
    newer.id,
    forged(await rawBytes(newer.id), (bytes) => bytes.writeUInt8(99, 3), keyOf(newer.id)),
  )
  const unreadable = expect.objectContaining({
    handle: store.handleOf(newer),
    error: expect.objectContaining({ code: 'E_SESSION_FORMAT' }),
  })
  const readable = expect.objectContaining({ handle: store.handleOf(known), userId: 'ada' })
  const ofUser = []
  for await (const info of store.listByUser('ada')) ofUser.push(info)
  for (const all of [await store.list({ newest: true }), ofUser])
    expect([...all].sort((one) => (one.error === undefined ? 1 : -1))).toEqual([unreadable, readable])
})

test('a listing of the newest state goes from page to page', async () => {
  const { process } = world()
  const store = process()
  for (let n = 0; n < 7; n += 1) await store.create({ n }, { app: 'shop' })
  const handles = new Set<string>()
  let after: string | undefined
  do {
    const sessions = await store.list({ newest: true, limit: 3, ...(after === undefined ? {} : { after }) })
    const { next } = sessions
    for (const { handle } of sessions) handles.add(handle)
    after = next
  } while (after !== undefined)
  expect(handles.size).toBe(7)
})

test('a store without `identify`, such as an operator’s, shows whose a session is as the backend was told', async () => {
  const { process } = world()
  const [application, operator] = [process({ identify }), process()]
  const { id } = await application.create({ user: 'ann' })
  const found = await operator.inspect(operator.handleOf(id))
  expect(found?.session).toMatchObject({ from: 'cache', userId: 'ann' })
  const listed: unknown[] = []
  for await (const session of operator.listByUser('ann')) listed.push(session)
  expect(listed).toMatchObject([{ from: 'cache', userId: 'ann' }])
})
