import { describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/contract/session-store.js'
import { isSessionStoreError, tierUnavailable } from '../../src/errors.js'
import type { StoreOptions } from '../../src/store/options.js'
import { calls, type Data, expectCode, held, loaded, settled, world } from './world.js'

const identify = ({ user }: Data): string | undefined => user as string | undefined

/** One seat for each user, and whoever has none is refused. */
const LIMITED: StoreOptions<Data> = { identify, maxSessionsPerUser: 1, onTooManySessions: 'refuse' }

const add = (much: number) => (data: Data) => void Object.assign(data, { n: Number(data['n']) + much })

/** How each call ended: `done`, the code of an error of the store, or the message of another one. */
const outcomesOf = async (updates: readonly Promise<unknown>[]): Promise<readonly string[]> =>
  (await Promise.allSettled(updates)).map((outcome) => {
    if (outcome.status === 'fulfilled') return 'done'
    const error: unknown = outcome.reason
    return isSessionStoreError(error) ? error.code : (error as Error).message
  })

/**
 * Updates that come while another one is under way, and so make up one round. A round of its own would be made of the
 * first.
 */
const inOneRound = (
  store: SessionStore<Data>,
  id: string,
  changes: readonly ((data: Data) => unknown)[],
): Promise<unknown>[] => {
  void store.update(id, () => undefined)
  return changes.map((change) => store.update(id, change))
}

describe('what one caller of a round wants', () => {
  const beforeSave = (data: Data): Data => {
    if (data['bad'] === true) throw new RangeError('beforeSave does not like it')
    return data
  }
  const idleTtlMs = (data: Data): number => (data['bad'] === true ? -1 : 60_000)
  const strictly = ({ user }: Data): string | undefined => {
    if (typeof user === 'number') throw new RangeError('identify does not like it')
    return user as string | undefined
  }
  const REFUSED: Record<string, readonly [StoreOptions<Data>, Data, outcome: string]> = {
    'cannot be stored': [{}, { callback: () => {} }, 'E_SESSION_DATA'],
    'is too large': [{ maxSessionBytes: 2_000 }, { text: 'x'.repeat(3_000) }, 'E_SESSION_TOO_LARGE'],
    'is a login beyond the limit': [LIMITED, { user: 'alice' }, 'E_SESSION_LIMIT'],
    'makes `identify` throw': [{ identify: strictly }, { user: 7 }, 'identify does not like it'],
    'makes `beforeSave` throw': [{ beforeSave }, { bad: true }, 'beforeSave does not like it'],
    'makes `idleTtlMs` give what is no idle time-out': [{ idleTtlMs }, { bad: true }, 'E_CONFIG'],
  }

  test.each(Object.keys(REFUSED))('is refused alone where it %s', async (name) => {
    const [options, bad, refusal] = REFUSED[name] ?? expect.fail()
    const { process } = world()
    const store = process(options)
    await store.create({ user: 'alice' })
    const { id } = await store.create({ n: 0 })
    const updates = inOneRound(store, id, [add(1), (data) => void Object.assign(data, bad), add(10), add(100)])
    expect(await outcomesOf(updates)).toEqual(['done', refusal, 'done', 'done'])
    expect((await loaded(store, id)).data).toEqual({ n: 111 })
  })

  test('is refused alone where it is a login and the backend is away', async () => {
    const { process, backend } = world()
    const store = process({ identify })
    const { id } = await store.create({ n: 0 })
    await settled()
    backend.unreachable = true
    const updates = inOneRound(store, id, [add(1), (data) => void Object.assign(data, { user: 'alice' }), add(10)])
    expect(await outcomesOf(updates)).toEqual(['done', 'E_SESSION_UNAVAILABLE', 'done'])
  })

  test('is told once in the audit trail where it is a login beyond the limit', async () => {
    const { process } = world()
    const store = process(LIMITED)
    await store.create({ user: 'alice' })
    const { id } = await store.create({ n: 0 })
    const trail: unknown[] = []
    store.on('audit', ({ action, outcome }) => void trail.push(`${action}: ${outcome}`))
    await outcomesOf(inOneRound(store, id, [add(1), (data) => void Object.assign(data, { user: 'alice' }), add(10)]))
    expect(trail).toEqual(['identified: refused'])
  })

  test('is given up alone where the caller leaves the line before the backend', async () => {
    const { process, loseCache, cache, backend } = world()
    const store = process({ maxBackendReads: 1 })
    const [{ id }, other] = [await store.create({ n: 0 }), await store.create({})]
    await settled()
    const begun = held()
    const before = store.update(id, () => begun.opened)
    await settled()
    loseCache()
    const read = held()
    backend.intercept = async (_call, proceed) => {
      await read.opened
      return await proceed()
    }
    const inFront = store.load(other.id)
    await expect.poll(() => backend.calls.at(-1)).toBe('read')
    const controller = new AbortController()
    const aborted = store.update(id, add(1), { signal: controller.signal })
    const innocent = store.update(id, add(10))
    const asked = cache.calls.length
    begun.open()
    await before
    await expect.poll(() => cache.calls.length).toBeGreaterThan(asked)
    await settled()
    controller.abort()
    await expectCode(aborted, 'E_ABORTED')
    read.open()
    await inFront
    expect((await innocent)?.data).toEqual({ n: 10 })
  })
})

test('what a caller wanted who gave up while others of the round were applied is not stored with them', async () => {
  const { process } = world()
  const store = process({ maxAttempts: 1 })
  const { id } = await store.create({ n: 0 })
  const gate = held()
  const controller = new AbortController()
  void store.update(id, () => undefined)
  const aborted = store.update(id, add(1), { signal: controller.signal })
  const innocent = store.update(id, async (data) => {
    await gate.opened
    add(10)(data)
  })
  await settled()
  controller.abort()
  await expectCode(aborted, 'E_ABORTED')
  gate.open()
  expect((await innocent)?.data).toEqual({ n: 10 })
})

describe('what a change has seen of those before it in the round', () => {
  test('is not stored by a change that takes long, where they were refused', async () => {
    const { process, runtime } = world()
    const store = process(LIMITED)
    const old = await store.create({ user: 'alice' })
    const { id } = await store.create({ n: 0 })
    const gate = held()
    const seen: unknown[] = []
    const [login, slow] = inOneRound(store, id, [
      (data) => void Object.assign(data, { user: 'alice' }),
      async (data) => {
        seen.push(data['user'])
        await gate.opened
        data['profile'] = 'read'
      },
    ])
    const refused = expect(login).rejects.toMatchObject({ code: 'E_SESSION_LIMIT', applied: 'no' })
    await settled()
    runtime.advance(1_000)
    await refused
    await store.destroy(old)
    gate.open()
    await slow
    expect((await loaded(store, id)).data).toEqual({ n: 0, profile: 'read' })
    expect(seen).toEqual(['alice', undefined])
  })

  test('does not count where a change takes long and then throws', async () => {
    const { process, runtime } = world()
    const store = process(LIMITED)
    await store.create({ user: 'alice' })
    const { id } = await store.create({ n: 0 })
    const gate = held()
    const [login, slow] = inOneRound(store, id, [
      (data) => void Object.assign(data, { user: 'alice' }),
      async (data) => {
        await gate.opened
        if (data['user'] !== undefined) throw new Error('logged in already')
        data['guest'] = true
      },
    ])
    const refused = expectCode(login ?? expect.fail(), 'E_SESSION_LIMIT')
    await settled()
    runtime.advance(1_000)
    await refused
    gate.open()
    await slow
    expect((await loaded(store, id)).data).toEqual({ n: 0, guest: true })
  })

  test('makes no change throw that would not throw on what is stored', async () => {
    const { process } = world()
    const store = process(LIMITED)
    await store.create({ user: 'alice' })
    const { id } = await store.create({ n: 0 })
    const updates = inOneRound(store, id, [
      (data) => void Object.assign(data, { user: 'alice' }),
      (data) => {
        if (data['user'] !== undefined) throw new Error('logged in already')
        data['guest'] = true
      },
      add(1),
      (data) => {
        if (data['n'] === 1) throw new Error('one already')
      },
    ])
    expect(await outcomesOf(updates)).toEqual(['E_SESSION_LIMIT', 'done', 'done', 'one already'])
    expect((await loaded(store, id)).data).toEqual({ n: 1, guest: true })
  })

  test('is stored with it in one write where nobody was refused', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({ n: 0 })
    await settled()
    const seen: unknown[] = []
    const look = (data: Data): void => void seen.push(data['n'])
    const during = await calls(cache, () => Promise.all(inOneRound(store, id, [add(1), look, add(10), look])))
    expect(during.filter((call) => call === 'cas')).toHaveLength(1)
    expect(seen).toEqual([1, 11])
  })
})

test('a change that takes long and had the data to itself runs once', async () => {
  const { process, runtime } = world()
  const store = process()
  const { id } = await store.create({ n: 0 })
  const gate = held()
  let runs = 0
  const slow = store.update(id, async (data) => {
    runs += 1
    await gate.opened
    add(1)(data)
  })
  await settled()
  runtime.advance(1_000)
  await settled()
  gate.open()
  expect((await slow)?.data).toEqual({ n: 1 })
  expect(runs).toBe(1)
})

test('a change of which a try may be in is not made a second time where it takes long at the next try', async () => {
  const cluster = world()
  const mine = cluster.processWithTiers()
  const other = cluster.process()
  const { id } = await other.create({ n: 0 })
  await settled()
  let isLost = false
  mine.cache.intercept = async (call, proceed) => {
    if (call !== 'cas' || isLost) return await proceed()
    isLost = true
    await other.update(id, add(10))
    throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
  }
  let runs = 0
  const slow = mine.store.update(id, (data) => {
    runs += 1
    return runs === 1 ? add(1)(data) : new Promise(() => {})
  })
  const ended = expectCode(slow, 'E_SESSION_UNKNOWN_OUTCOME')
  await expect.poll(() => runs).toBe(2)
  await settled()
  cluster.runtime.advance(1_000)
  await ended
  expect((await loaded(other, id)).data).toEqual({ n: 10 })
})

test('an update of which a try may be in says so where its next try cannot load the session', async () => {
  const cluster = world()
  const mine = cluster.processWithTiers()
  const other = cluster.process()
  const { id } = await other.create({ n: 0 })
  await settled()
  let looks: number | undefined
  const areGone = (): boolean => looks !== undefined && looks >= 2
  mine.cache.intercept = async (call, proceed) => {
    if (call === 'get' && looks !== undefined) looks += 1
    // The first look is that of the try whose answer was lost. It finds what the other process has stored.
    if (areGone()) throw tierUnavailable('memory', call, { because: 'it is gone' })
    if (call !== 'cas' || looks !== undefined) return await proceed()
    looks = 0
    await other.update(id, add(10))
    throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
  }
  mine.backend.intercept = (call, proceed) =>
    areGone() ? Promise.reject(tierUnavailable('memory', call, { because: 'it is gone' })) : proceed()
  await expect(mine.store.update(id, add(1))).rejects.toMatchObject({
    code: 'E_SESSION_UNAVAILABLE',
    operation: 'read',
    applied: 'unknown',
  })
})
