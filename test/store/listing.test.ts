import { expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import type { Backend, Enumerable, ListOptions } from '../../src/contract/backend.js'
import type { Codec } from '../../src/contract/codec.js'
import type { StoreEvents } from '../../src/contract/events.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { quietRuntime } from '../support/calendar.js'
import { type Data, expectCode, held, settled, world } from './world.js'

const sessionsIn = async (store: SessionStore<Data>, limit: number): Promise<readonly string[][]> => {
  const pages: string[][] = []
  for (let after: { readonly after?: string } = {}; ; ) {
    const sessions = await store.list({ limit, data: true, ...after })
    const { next } = sessions
    pages.push(sessions.map(({ handle }) => handle))
    if (next === undefined) return pages
    after = { after: next }
  }
}

const faultsOf = (store: SessionStore<Data>): StoreEvents['fault'][] => {
  const faults: StoreEvents['fault'][] = []
  store.on('fault', (fault) => faults.push(fault))
  return faults
}

/** What it writes only itself can read. */
const foreignCodec: Codec = {
  name: 'own',
  id: 64,
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()) as unknown,
}

test('a page ends with about 8 MiB of data, however many sessions were asked for, and the next goes on there', async () => {
  const { process } = world()
  const store = process({ maxSessionBytes: 16_777_216 })
  const blob = Buffer.alloc(900_000, 7)
  for (let index = 0; index < 24; index += 1) await store.create({ blob })
  await store.create({ blob: Buffer.alloc(12_000_000, 7) })
  const pages = await sessionsIn(store, 1_000)
  expect(new Set(pages.flat()).size).toBe(25)
  expect(pages.flat()).toHaveLength(25)
  // A session of 12 MB may come on top of those that were there before it.
  expect(Math.max(...pages.map(({ length }) => length))).toBeLessThanOrEqual(Math.ceil(8_388_608 / 900_000))
  await store.close()
})

test('no call of the backend is asked for more than a MiB of data', async () => {
  const { process, backend } = world()
  const asked: number[] = []
  const watched = new Proxy(backend, {
    get: (target, name) =>
      name === 'list'
        ? (options: ListOptions) => {
            asked.push(options.maxBytes)
            return (target as Backend & Enumerable).list(options)
          }
        : (Reflect.get(target, name) as unknown),
  })
  const store = process({ backend: watched })
  for (let index = 0; index < 3; index += 1) await store.create({ blob: Buffer.alloc(900_000, 7) })
  expect(await store.list({ data: true })).toHaveLength(3)
  expect(asked).toEqual([1_048_576, 1_048_576, 1_048_576])
})

test('a session that this program cannot read is in its page with an error, and the others are read', async () => {
  const { process } = world()
  const [mine, theirs] = [process(), process({ codec: foreignCodec, identify: () => 'ann' })]
  const faults = faultsOf(mine)
  for (let n = 0; n < 4; n += 1) await mine.create({ n })
  for (let n = 0; n < 2; n += 1) await theirs.create({ n })
  const page = await mine.list({ data: true })
  expect(page.flatMap(({ data }) => (data === undefined ? [] : [data['n']])).sort()).toEqual([0, 1, 2, 3])
  const unreadable = page.filter(({ error }) => error !== undefined)
  expect(unreadable).toHaveLength(2)
  for (const listed of unreadable)
    expect(listed).toMatchObject({ data: undefined, userId: 'ann', error: { code: 'E_SESSION_FORMAT' } })
  expect((await sessionsIn(mine, 1)).flat()).toEqual(page.map(({ handle }) => handle))

  expect(faults[0]).toMatchObject({ tier: 'memory', operation: 'list', error: { code: 'E_SESSION_FORMAT' } })
  // One for the page of all, and one for each page of a single one.
  expect(faults).toHaveLength(3)
  expect(mine.stats().faults).toBe(4)
  expect(await mine.destroyAll()).toEqual({ destroyed: 6, cache: 'tombstone' })
  expect(await mine.count()).toBe(0)
})

test.each([
  ['list', (store: SessionStore<Data>): Promise<unknown> => store.list()],
  ['count', (store: SessionStore<Data>): Promise<unknown> => store.count()],
  ['listKeys', (store: SessionStore<Data>): Promise<unknown> => store.destroyAll()],
] as const)(
  'a backend that fails over %s in a way of its own is unavailable, counted and told of',
  async (call, ask) => {
    const { process, backend } = world()
    const store = process({ breakerFailures: 2 })
    const faults = faultsOf(store)
    await store.create({})
    backend.intercept = (made, proceed) =>
      made === call ? Promise.reject(new TypeError('the driver is in bad shape')) : proceed()
    for (let tried = 1; tried <= 2; tried += 1)
      await expect(ask(store)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', tier: 'memory' })
    expect(faults).toHaveLength(2)
    expect(store.stats().faults).toBe(2)
    // From then on its breaker is open: it is not asked.
    const before = backend.calls.length
    await expectCode(ask(store), 'E_SESSION_UNAVAILABLE')
    expect(backend.calls.length).toBe(before)
  },
)

test('a backend that is silent over a listing is given up after backendTimeoutMs', async () => {
  const { process, backend, runtime } = world()
  const store = process({ backendTimeoutMs: 500 })
  backend.intercept = () => new Promise(() => {})
  const late = [store.list(), store.count(), store.destroyAll()].map((call) => call.catch((error: unknown) => error))
  await settled()
  runtime.advance(500)
  for (const error of await Promise.all(late))
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', message: expect.stringContaining('500 ms') })
})

test('what was found before half of the deadline had passed is given, as time is short', async () => {
  const { process, backend, runtime } = world()
  const store = process({ deadlineMs: 4_000 })
  for (let index = 0; index < 6; index += 1) await store.create({ blob: Buffer.alloc(900_000, 7) })
  backend.intercept = async (call, proceed) => {
    if (call === 'list') runtime.advance(1_000)
    return await proceed()
  }
  expect(await store.list({ data: true })).toHaveLength(2)
})

test('a cursor that is no key of this namespace is refused before the backend is asked', async () => {
  const { process, backend } = world()
  const store = process({ namespace: 'shop' })
  const before = backend.calls.length
  for (const after of ['', 'garbage', 'shop:AAAA', `billing:${'-'.repeat(42)}A`, `h.${'-'.repeat(42)}B`, 5, null])
    await expectCode(store.list({ after: after as string }), 'E_CONFIG')
  expect(backend.calls.length).toBe(before)
})

test('a backend that cannot list is refused by name, and has no fault', async () => {
  const { list: _, ...cannot } = Object.fromEntries(
    (['read', 'insert', 'update', 'extend', 'destroy', 'purge', 'setUp', 'health', 'close', 'list'] as const).map(
      (name) => [name, async () => {}],
    ),
  )
  const store = createSessionStore({
    cache: memoryCache({ runtime: quietRuntime }),
    backend: { ...(cannot as unknown as Backend), name: 'simple' },
    runtime: quietRuntime,
  })
  for (const call of [() => store.list(), () => store.count(), () => store.destroyAll()])
    await expect(call()).rejects.toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining('simple') })
  expect(store.stats().faults).toBe(0)
})

test('destroyAll reads no data, and never begins again at the first key', async () => {
  const { process, backend } = world()
  const store = process()
  for (let index = 0; index < 2_001; index += 1) await store.create({ index })
  const before = backend.calls.length
  const after: unknown[] = []
  backend.intercept = async (call, proceed) => {
    const answer = await proceed()
    if (call === 'listKeys') after.push((answer as { readonly next: unknown }).next)
    return answer
  }
  const told: number[] = []
  const onProgress = ({ destroyed }: { readonly destroyed: number }): void => void told.push(destroyed)
  expect((await store.destroyAll({ onProgress })).destroyed).toBe(2_001)
  expect(told).toEqual([1_000, 2_000, 2_001])
  const during = backend.calls.slice(before)
  expect(during.filter((call) => call !== 'destroy')).toEqual(['listKeys', 'listKeys', 'listKeys'])
  expect(new Set(after).size).toBe(3)
  expect(await store.count()).toBe(0)
})

test('destroyAll ends with the store: what it has not destroyed by then stands', async () => {
  const { process, backend } = world()
  const [leaving, other] = [process(), process()]
  for (let n = 0; n < 20; n += 1) await leaving.create({ n })
  const gate = held()
  let destroyed = 0
  backend.intercept = async (call, proceed) => {
    if (call === 'destroy' && ++destroyed >= 3) await gate.opened
    return await proceed()
  }
  const cleared = leaving.destroyAll().catch((error: unknown) => error)
  await settled()
  const closed = leaving.close()
  await settled()
  gate.open()
  expect(await cleared).toMatchObject({ code: 'E_CLOSED' })
  await closed
  // Two had come through, and eight were under way.
  expect(await other.count()).toBe(10)
  expect((await other.destroyAll()).destroyed).toBe(10)
  await expectCode(leaving.destroyAll(), 'E_CLOSED')
})

test('an embedded backend keeps to the bytes that it is asked for', async () => {
  const backend = memoryBackend({ runtime: quietRuntime })
  const store = createSessionStore({ cache: memoryCache({ runtime: quietRuntime }), backend, runtime: quietRuntime })
  for (let n = 0; n < 3; n += 1) await store.create({ text: 'x'.repeat(1_000) })
  const options = { namespace: 'nonstick', now: quietRuntime.now(), limit: 10 }
  expect((await backend.list({ ...options, withData: true, maxBytes: 2_500 })).entries).toHaveLength(2)
  await store.close()
})
