import { afterEach, describe, expect, test, vi } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { createSessionStore } from '../../src/index.js'
import { resolveOptions } from '../../src/store/options.js'

const complaintOf = (options: unknown): unknown => {
  try {
    resolveOptions(options as never)
  } catch (error) {
    return error
  }
  return undefined
}

afterEach(() => {
  vi.unstubAllEnvs()
})

describe('options', () => {
  test('every default is in its place', () => {
    expect(resolveOptions({})).toMatchObject({
      namespace: 'nonstick',
      maxStaleMs: 60_000,
      idleTtlMs: 86_400_000,
      absoluteTtlMs: 30 * 86_400_000,
      timings: { touchIntervalMs: 864_000, touchBackendMs: 8_640_000 },
      policy: { maxStaleCount: 10, persistOn: 'create' },
    })
  })

  test.each([
    [{ maxStaleCount: 0 }, 'Expected `maxStaleCount` to be a whole number from 1 to 1000000, got 0 (number)'],
    [
      { maxStaleCount: '10' },
      'Expected `maxStaleCount` to be a whole number from 1 to 1000000, got a string: give it as a number',
    ],
    [
      { idleTtlMs: 1.5 },
      'Expected `idleTtlMs` to be a whole number of milliseconds from 1000 to 315360000000, or a function of the data, got 1.5 (number)',
    ],
    [{ idleTtlMs: Number.NaN }, 'got NaN (number)'],
    [
      { absoluteTtlMs: 1000 },
      'Expected `absoluteTtlMs` to be a whole number of milliseconds from 86400000 (`idleTtlMs`)',
    ],
    [
      { absoluteTtlMs: 3_600_000, idleTtlMs: 3_600_000, anonymousTtlMs: 3_600_001, identify: () => null },
      'Expected `anonymousTtlMs` to be a whole number of milliseconds from 1000 to 3600000 (`absoluteTtlMs`)',
    ],
    [{ anonymousTtlMs: 10_800_000 }, 'Expected `identify` beside `anonymousTtlMs`'],
    [{ persistOn: 'never' }, "Expected `persistOn` to be 'create', 'identify' or 'due', got a string"],
    [
      { conflict: 'mereg' },
      "'merge', 'deep', 'reject' or 'overwrite', rules such as { keys: { cart: 'append' } }, or a function (did you mean `merge`?), got a string",
    ],
    [{ conflict: ['append'] }, 'or a function, got an array of 1'],
    [{ conflict: null }, 'or a function, got null'],
    [{ conflict: new Map([['cart', 'append']]) }, 'or a function, got an object'],
    [{ conflict: { keys: new Map([['cart', 'append']]) } }, 'Expected `conflict.keys` to be an object such as'],
    [
      { conflict: { default: 'reject' } },
      "Expected `conflict.default` to be 'merge', 'sum', 'append', 'union' or 'deep', got a string",
    ],
    [{ conflict: { cart: 'append' } }, 'Expected `conflict.cart` to be left out: rules have only `default` and `keys`'],
    [{ conflict: { keys: 'append' } }, "Expected `conflict.keys` to be an object such as { cart: 'append' }, got"],
    [{ conflict: { keys: null } }, 'Expected `conflict.keys` to be an object such as'],
    [
      { conflict: { keys: { cart: 'apend' } } },
      "Expected `conflict.keys.cart` to be 'merge', 'sum', 'append', 'union' or 'deep', or an object with rules for what stands in it (did you mean `append`?), got a string",
    ],
    [{ conflict: { keys: { cart: undefined } } }, "Expected `conflict.keys.cart` to be 'merge', 'sum'"],
    [
      { conflict: { keys: { cart: { keys: { items: 1 } } } } },
      "Expected `conflict.keys.cart.keys.items` to be 'merge'",
    ],
    [{ conflict: { keys: { cart: { items: 'append' } } } }, 'Expected `conflict.keys.cart.items` to be left out'],
    [{ namespace: 'a:b' }, 'Expected `namespace` to be 1 to 64 letters, digits, _, . and -, got a string'],
    [{ identify: 'userId' }, 'Expected `identify` to be a function, got a string'],
    [
      { maxStaleCout: 3 },
      'Expected `maxStaleCout` to be left out: there is no such option (did you mean `maxStaleCount`?)',
    ],
    [
      { cache: {} },
      'Expected `cache` to be a front cache, such as memcached({ … }) gives, got an object: it lacks `get`, `add`',
    ],
    [{ backend: 'postgres://user:secret@host/db' }, 'Expected `backend` to be a backend'],
    [
      { leaseMs: 3_000 },
      'Expected `leaseMs` to be a whole number of milliseconds from 3001 (more than `backendTimeoutMs`)',
    ],
    [{ allowEmbedded: 'no' }, 'Expected `allowEmbedded` to be true or false, got a string'],
    [null, 'Expected `options` to be an object, got null'],
  ])('%j is refused, naming the option, what was expected and what came', (options, message) => {
    expect(complaintOf(options)).toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining(message) })
  })

  test('a cache without a backend, or the other way round, is refused', () => {
    expect(() => createSessionStore({ cache: memoryCache({}) })).toThrow('Expected `backend` to be given with `cache`')
    expect(() => createSessionStore({ backend: memoryBackend({}) })).toThrow(
      'Expected `cache` to be given with `backend`',
    )
  })

  test('the embedded pair says once that nothing survives a restart', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const store = createSessionStore()
    createSessionStore()
    expect(warn).toHaveBeenCalledTimes(1)
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('none survives a restart'), { code: 'NONSTICK_EMBEDDED' })
    const { id } = await store.create({ hello: 'world' })
    expect((await store.load(id))?.data).toEqual({ hello: 'world' })
    warn.mockRestore()
  })

  test('the embedded pair refuses to start under NODE_ENV=production unless told to', () => {
    vi.stubEnv('NODE_ENV', 'production')
    expect(() => createSessionStore()).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    createSessionStore({ allowEmbedded: true })
    warn.mockRestore()
  })
})

describe('the options of a call', () => {
  test('one that is misspelt is refused: it must not pass for the one that was meant', async () => {
    const store = createSessionStore({ cache: memoryCache({}), backend: memoryBackend({}) })
    const session = await store.create({})
    for (const call of [
      () => store.save(session, { durabel: true } as never),
      () => store.create({}, { idleTTL: 5 } as never),
      () => store.load(session.id, { toch: false } as never),
      () => store.touch(session, { ttl: 5 } as never),
      () => store.update(session.id, () => {}, { durabel: true } as never),
      () => store.list({ limt: 5 } as never),
      () => store.close({ deadline: 5 } as never),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'E_CONFIG' })
    await store.save(session)
  })

  test.each([
    ['a callback, which would never be called', () => {}],
    ['true', true],
    ['a text', 'durable'],
    ['a list', ['durable']],
    ['a map', new Map([['durable', true]])],
    ['null', null],
  ])('%s in place of them is refused, and nothing is stored', async (_what, options) => {
    const store = createSessionStore({ cache: memoryCache({}), backend: memoryBackend({}) })
    const session = await store.create({ n: 1 })
    session.data['n'] = 2
    for (const call of [
      () => store.save(session, options as never),
      () => store.create({}, options as never),
      () => store.load(session.id, options as never),
      () => store.touch(session, options as never),
      () => store.update(session.id, (data) => ({ ...data, n: 3 }), options as never),
      () => store.put('an-id', {}, options as never),
      () => store.destroy(session, options as never),
      () => store.list(options as never),
      () => store.ready(options as never),
      () => store.close(options as never),
    ])
      await expect(call()).rejects.toMatchObject({
        code: 'E_CONFIG',
        message: expect.stringContaining('Expected `options` to be an object, got'),
      })
    expect(await store.count()).toBe(1)
    expect((await store.load(session.id))?.data).toEqual({ n: 1 })
  })

  test('one that would mean nothing to the call is refused: nothing of `update` and `put` is merged', async () => {
    const store = createSessionStore({ cache: memoryCache({}), backend: memoryBackend({}) })
    const { id } = await store.create({})
    for (const option of [{ unmergedKeys: ['a'] }, { isolated: true }]) {
      await expect(store.update(id, () => {}, option as never)).rejects.toMatchObject({ code: 'E_CONFIG' })
      await expect(store.put(id, {}, option as never)).rejects.toMatchObject({ code: 'E_CONFIG' })
    }
  })

  test('a session of another store, or no session at all, is refused as a mistake of the program', async () => {
    const tiers = { cache: memoryCache({}), backend: memoryBackend({}) }
    const [store, other] = [createSessionStore(tiers), createSessionStore(tiers)]
    const session = await store.create({})
    await expect(other.save(session)).rejects.toThrow(TypeError)
    await expect(other.touch({ ...session } as never)).rejects.toThrow(TypeError)
    await expect(store.update(session.id, 3 as never)).rejects.toThrow(TypeError)
  })

  test('a session of nothing is refused', async () => {
    const store = createSessionStore({ cache: memoryCache({}), backend: memoryBackend({}) })
    await expect(store.create(undefined as never)).rejects.toMatchObject({ code: 'E_SESSION_DATA', path: 'data' })
    await expect(store.put('some-id', undefined as never)).rejects.toMatchObject({ code: 'E_SESSION_DATA' })
  })
})
