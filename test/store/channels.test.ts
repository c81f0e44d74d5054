import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { ChannelMessages, StoreEventName } from '../../src/contract/events.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { publish, timed } from '../../src/store/observed/channels.js'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { QUIET_DAY } from '../support/calendar.js'
import { textsIn } from '../support/texts.js'
import { change, type Data, expectCode, increment, loaded, settled, world } from './world.js'

type Name = keyof ChannelMessages
const NAMES: readonly Name[] = [
  'nonstick:read',
  'nonstick:write',
  'nonstick:flush',
  'nonstick:destroy',
  'nonstick:fault',
]

let listening: (() => void)[] = []
afterEach(() => {
  for (const stop of listening) stop()
  listening = []
})

/** Listens on these channels until the test ends; what was said, in order. */
const listen = (...names: readonly Name[]): { name: string; message: Record<string, unknown> }[] => {
  const heard: { name: string; message: Record<string, unknown> }[] = []
  const onMessage = (message: unknown, name: string | symbol): void =>
    void heard.push({ name: String(name), message: message as Record<string, unknown> })
  for (const name of names) {
    subscribe(name, onMessage)
    listening.push(() => unsubscribe(name, onMessage))
  }
  return heard
}

/** A session in both tiers, and the store that made it. */
const withSession = async () => {
  const here = world()
  const store = here.process()
  const { id } = await store.create({ count: 0 })
  await settled()
  return { ...here, store, id }
}

const found = { namespace: 'nonstick', durationMs: expect.any(Number) }

describe('a message', () => {
  test.each<[string, Name, (place: Awaited<ReturnType<typeof withSession>>) => Promise<unknown>, object]>([
    ['load', 'nonstick:read', ({ store, id }) => store.load(id), { outcome: 'found', from: 'cache' }],
    ['load of nobody', 'nonstick:read', ({ store }) => store.load('nobody'), { outcome: 'none' }],
    [
      'load round the cache',
      'nonstick:read',
      async ({ store, id, cache }) => {
        cache.unreachable = true
        await store.load(id)
      },
      { outcome: 'found', from: 'backend' },
    ],
    [
      'load that fails',
      'nonstick:read',
      ({ store }) => store.load('').catch(() => {}),
      { outcome: 'failed', code: 'E_INVALID_ID' },
    ],
    ['create', 'nonstick:write', ({ store }) => store.create({}), { operation: 'create', outcome: 'done' }],
    [
      'save',
      'nonstick:write',
      ({ store, id }) => increment(store, id),
      { operation: 'save', outcome: 'done', changed: true, merged: false, durability: 'cache' },
    ],
    [
      'save of nothing new',
      'nonstick:write',
      async ({ store, id }) => store.save(await loaded(store, id)),
      { operation: 'save', outcome: 'done', changed: false, merged: false, durability: 'backend' },
    ],
    [
      'update',
      'nonstick:write',
      ({ store, id }) => store.update(id, () => {}),
      { operation: 'update', outcome: 'done' },
    ],
    [
      'update of nobody',
      'nonstick:write',
      ({ store }) => store.update('nobody', () => {}),
      { operation: 'update', outcome: 'none' },
    ],
    [
      'update whose function throws',
      'nonstick:write',
      ({ store, id }) =>
        store
          .update(id, () => {
            throw new Error('of the application')
          })
          .catch(() => {}),
      { operation: 'update', outcome: 'failed', code: 'unknown' },
    ],
    ['put', 'nonstick:write', ({ store, id }) => store.put(id, {}), { operation: 'put', outcome: 'done' }],
    [
      'touch',
      'nonstick:write',
      async ({ store, id }) => store.touch(await loaded(store, id)),
      { operation: 'touch', outcome: 'done' },
    ],
    [
      'regenerate',
      'nonstick:write',
      async ({ store, id }) => store.regenerate(await loaded(store, id)),
      { operation: 'regenerate', outcome: 'done' },
    ],
    ['flush', 'nonstick:flush', ({ store }) => store.create({}), { reason: 'create', outcome: 'written' }],
    [
      'flush that is refused',
      'nonstick:flush',
      async ({ store, id, cache }) => {
        cache.unreachable = true
        await store.create({}, { id }).catch(() => {})
      },
      { reason: 'create', outcome: 'refused' },
    ],
    [
      'flush that fails',
      'nonstick:flush',
      async ({ store, backend }) => {
        backend.unreachable = true
        await store.create({}).catch(() => {})
      },
      { reason: 'create', outcome: 'failed', code: 'E_SESSION_UNAVAILABLE' },
    ],
    ['destroy', 'nonstick:destroy', ({ store, id }) => store.destroy(id), { outcome: 'done', cache: 'tombstone' }],
    [
      'destroy past the cache',
      'nonstick:destroy',
      async ({ store, id, cache }) => {
        cache.unreachable = true
        await store.destroy(id)
      },
      { outcome: 'done', cache: 'unreachable' },
    ],
    [
      'destroy that fails',
      'nonstick:destroy',
      async ({ store, id, backend }) => {
        backend.unreachable = true
        await store.destroy(id).catch(() => {})
      },
      { outcome: 'failed', code: 'E_SESSION_UNAVAILABLE' },
    ],
  ])('%s', async (_what, name, act, expected) => {
    const place = await withSession()
    const heard = listen(name)
    await act(place)
    expect(heard[0]).toEqual({ name, message: { ...found, ...expected } })
    expect(heard[0]?.message['durationMs']).toBeGreaterThanOrEqual(0)
    // Each field has its line in the documentation.
    const page = readFileSync(new URL('../../docs/observing.md', import.meta.url), 'utf8')
    const row = page.split('\n').filter((line) => line.startsWith(`| \`${name}\``) || line.startsWith('| every one'))
    for (const field of Object.keys(heard[0]?.message ?? {})) expect(row.join('\n')).toContain(`\`${field}\``)
  })

  test('a fault is told in words, by each store under its namespace', async () => {
    const { process, backend, runtime } = world()
    const heard = listen('nonstick:fault')
    backend.intercept = async () => {
      throw Object.assign(new Error('quoting what it was given'), { code: 'ETIMEDOUT' })
    }
    runtime.advance(1)
    await expectCode(process({ namespace: 'shop' }).create({}), 'E_SESSION_UNAVAILABLE')
    expect(heard[0]).toEqual({
      name: 'nonstick:fault',
      message: {
        namespace: 'shop',
        tier: 'memory',
        operation: 'insert',
        code: 'E_SESSION_UNAVAILABLE',
        message: expect.stringMatching(/^memory could not be asked to insert/),
      },
    })
  })

  test('a duration is of the monotonic clock, whatever the clock on the wall does', async () => {
    const { process, runtime } = world()
    const store = process({ runtime: { ...runtime, now: () => QUIET_DAY - Math.round(performance.now()) } })
    const heard = listen('nonstick:read')
    await store.load('nobody')
    expect(heard[0]?.message['durationMs']).toBeGreaterThanOrEqual(0)
    expect(heard[0]?.message['durationMs']).toBeLessThan(20_000)
  })
})

describe('where nobody listens', () => {
  test('no message is made', async () => {
    const make = vi.fn(() => ({ namespace: 'x', tier: 'x', operation: 'x', code: 'E_CLOSED' as const, message: 'x' }))
    publish('nonstick:fault', make)
    const messageOf = vi.fn(() => ({ namespace: 'x', durationMs: 0, outcome: 'none' as const }))
    await timed('nonstick:read', movableRuntime(), async () => {}, messageOf)
    expect([make.mock.calls.length, messageOf.mock.calls.length]).toEqual([0, 0])

    listen('nonstick:fault', 'nonstick:read')
    publish('nonstick:fault', make)
    await timed('nonstick:read', movableRuntime(), async () => {}, messageOf)
    expect([make.mock.calls.length, messageOf.mock.calls.length]).toEqual([1, 1])
  })

  test('nothing is measured: a listener is what makes a call look at the clock twice more', async () => {
    const { process, runtime } = world()
    let looks = 0
    const monotonicMs = (): number => {
      looks += 1
      return runtime.monotonicMs()
    }
    const store = process({ runtime: { ...runtime, monotonicMs } })
    const { id } = await store.create({})
    await settled()
    const during = async (): Promise<number> => {
      looks = 0
      await store.load(id, { touch: false })
      return looks
    }
    const unheard = await during()
    listen('nonstick:read')
    expect(await during()).toBe(unheard + 2)
  })

  test('one who listens hears a failure before its caller does, and the caller gets the very same error', async () => {
    const { store, id } = await withSession()
    const heard = listen('nonstick:write')
    const own = new Error('of the application')
    const rejected = store.update(id, () => {
      throw own
    })
    expect(await rejected.catch((error: unknown) => ({ error, heardBefore: heard.length }))).toEqual({
      error: own,
      heardBefore: 1,
    })
  })
})

const EVENTS: readonly StoreEventName[] = ['fault', 'damaged', 'flush', 'abandoned', 'breaker']
const ID = 'recognisable-session-id-of-a-test'
const SECRETS = [ID, 'recognisableName', 'recognisable-value', 'recognisable-user']

/** A whole life of sessions, with everything going wrong that can; `after` each step. */
const wholeLife = async (store: SessionStore<Data>, other: SessionStore<Data>, here: ReturnType<typeof world>) => {
  const { cache, backend, runtime } = here
  const quietly = (work: Promise<unknown>): Promise<unknown> => work.catch(() => {})
  const data = { recognisableName: 'recognisable-value', userId: 'recognisable-user' }
  const own = await store.create({ ...data })
  await store.create({ ...data }, { id: ID })
  await settled()
  await quietly(store.create({ ...data }, { id: ID }))
  const stale = await loaded(store, ID)
  await increment(other, ID)
  stale.data['count'] = 'recognisable-value'
  await quietly(store.save(stale))
  await quietly(change(store, ID, (each) => Object.assign(each, { recognisableName: () => 'recognisable-value' })))
  await here.plant(ID, Buffer.from('recognisable-value'))
  await loaded(store, ID)

  const quoting = async (call: string, proceed: () => Promise<unknown>): Promise<unknown> => {
    if (call === 'health') return await proceed()
    const cause = Object.assign(new Error(`duplicate key ${ID}`), { detail: `(recognisable-user, ${here.keyOf(ID)})` })
    throw Object.assign(new Error('row recognisable-value of recognisable-user', { cause }), { code: ID })
  }
  for (const tier of [cache, backend]) {
    tier.intercept = quoting
    await quietly(store.load(ID))
    await quietly(increment(store, ID))
    await quietly(store.create({ ...data }))
    await quietly(store.destroy(own.id))
    await quietly(loaded(store, ID).then((session) => store.regenerate(session)))
    await settled()
    tier.intercept = (_call, proceed) => proceed()
    runtime.advance(5_000)
    await settled()
  }
  // Until the breakers let calls through again.
  await expect
    .poll(async () => {
      runtime.advance(1_000)
      return await store.create({ ...data }).then(
        ({ id }) => store.load(id).then(() => 'served'),
        () => 'refused',
      )
    })
    .toBe('served')
  const regenerated = await store.create({ ...data }).then((session) => store.regenerate(session))
  await increment(store, regenerated.id)
  await increment(store, regenerated.id)
  runtime.advance(60_000)
  await settled()
  await increment(store, regenerated.id)
  backend.intercept = quoting
  await quietly(store.destroy(own.id))
  await store.close({ deadlineMs: 50 })
  return [own.id, regenerated.id]
}

describe('what is told', () => {
  test('over a whole life of sessions, never an id, a key, data or a user', async () => {
    const here = world()
    const options = { maxStaleCount: 3, identify: (data: Data) => data['userId'] as string }
    const store = here.process(options)
    const told: unknown[] = listen(...NAMES)
    const events = EVENTS.map((name) => {
      const heard: unknown[] = []
      store.on(name, (event) => void heard.push(event))
      return heard
    })
    const ids = await wholeLife(store, here.process(options), here)

    const hashes = [ID, ...ids].map((id) => here.keyOf(id).slice('nonstick:'.length))
    const hex = hashes.map((hash) => Buffer.from(hash, 'base64url').toString('hex'))
    const secrets = [...SECRETS, ...ids, ...hashes, ...hex]
    const texts = textsIn([told, events, store.stats(), await store.health()])
    expect(texts.flatMap((text) => secrets.filter((secret) => text.includes(secret)).map(() => text))).toEqual([])
    // There was something to search: each channel and each event spoke, and of failures too.
    expect(new Set(listedNames(told))).toEqual(new Set(NAMES))
    for (const heard of events) expect(heard).not.toEqual([])
    expect(texts.filter((text) => text.includes('could not be asked to')).length).toBeGreaterThan(5)
  })

  test('the search above finds what is hidden', () => {
    const hidden = new Error('a', { cause: { detail: new Map([['b', [Buffer.from(ID)]]]) } })
    Object.defineProperty(hidden, 'secret', { value: SECRETS[1], enumerable: false })
    const texts = textsIn([hidden])
    expect(texts.filter((text) => text.includes(ID))).not.toEqual([])
    expect(texts.filter((text) => text.includes('recognisableName'))).not.toEqual([])
    expect(texts.some((text) => text.includes('channels.test'))).toBe(true) // a stack
  })
})

const listedNames = (told: readonly unknown[]): string[] => told.map((each) => (each as { name: string }).name)
