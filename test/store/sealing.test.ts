import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import type { StoredSession } from '../../src/contract/backend.js'
import type { SessionInfo, SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { isSessionStoreError } from '../../src/errors.js'
import { encodeEnvelope } from '../../src/session/envelope.js'
import type { StoreOptions } from '../../src/store/options.js'
import type { SealingKey, SealingOptions } from '../../src/store/sealing.js'
import { sealedBackend } from '../../src/store/tiers/sealed-backend.js'
import { storedSession } from '../../src/testing/stored-session.js'
import { forged, live } from '../session/envelopes.js'
import { everythingSealed, keyNamed, sealingWith } from '../support/sealing.js'
import { rounds, seed } from '../support/seed.js'
import { change, type Data, expectCode, increment, loaded, settled, world } from './world.js'

const [first, second, third] = ['first', 'second', 'third'].map(keyNamed) as [Uint8Array, Uint8Array, Uint8Array]
const sealing: SealingOptions = { keys: [first] }
const byUser: StoreOptions<Data> = { identify: ({ user }) => user as string | undefined }

const ID = 'an id of thirty-two characters..'
const OTHER = 'another id of thirty-two chars...'

/** An entry with the key check and the checksum of another key, as everybody can make it. */
const movedTo = (key: string, bytes: Uint8Array): Buffer =>
  forged(bytes, (copy) => copy.set(encodeEnvelope(key, live()).subarray(8, 16), 8), key)

/** The row of a session as the backend has it, changed by somebody who can write to the database. */
const tamper = async (
  w: ReturnType<typeof world>,
  id: string,
  by: (session: StoredSession) => Partial<StoredSession>,
): Promise<void> => {
  const key = w.keyOf(id)
  const copy = await w.backend.read({ key })
  if (copy.state !== 'live') throw new Error('there is no row')
  const { lineage, version } = copy.session
  const guard = { lineage: 'ffffffffffffffff', belowVersion: 0, parentLineage: lineage, parentVersion: version }
  const session = { ...copy.session, ...by(copy.session) }
  const [outcome] = await w.backend.update([{ locator: { key }, guard, session, token: copy.token }])
  expect(outcome?.outcome).toBe('applied')
}

describe('a store that seals', () => {
  test('leaves nothing in either tier that says what is in a session, from where it is used, or with what', async () => {
    const w = world()
    const store = w.process({ sealing: everythingSealed, app: 'shop', ...byUser })
    await store.create(
      { user: 'ada lovelace', card: 'no 4711' },
      { id: ID, client: { address: '192.0.2.7', userAgent: 'Browser/1.0' } },
    )
    const row = await w.backend.read({ key: w.keyOf(ID) })
    const words = ['4711', 'lovelace', '192.0.2.7', 'Browser', 'shop', 'card']
    const inRow =
      row.state === 'live' ? `${JSON.stringify(row.session)} ${Buffer.from(row.session.data).toString('latin1')}` : ''
    const inCache = Buffer.from(await w.rawBytes(ID)).toString('latin1')
    for (const word of words) expect(`${inRow} ${inCache}`.includes(word), word).toBe(false)
    expect(inRow.length).toBeGreaterThan(300)

    w.loseCache()
    const again = await loaded(w.process({ sealing: everythingSealed, ...byUser }), ID)
    expect(again.data).toEqual({ user: 'ada lovelace', card: 'no 4711' })
    expect(again).toMatchObject({ app: 'shop', address: '192.0.2.7', userAgent: 'Browser/1.0' })
  })

  test('writes nothing for a save that changes nothing, as it compares what was sealed and not the seals', async () => {
    const w = world()
    const store = w.process({ sealing, maxStaleCount: 1 })
    await store.create({ cart: ['tea'] }, { id: ID })
    const session = await loaded(store, ID)
    const before = [w.cache.calls.length, w.backend.calls.length]
    session.data['cart'] = ['tea']
    await store.save(session)
    expect([w.cache.calls.length, w.backend.calls.length]).toEqual(before)
    session.data['cart'] = ['tea', 'milk']
    await store.save(session)
    expect(w.backend.calls.length).toBeGreaterThan(before[1] ?? 0)
  })

  test('believes no entry that somebody without a key has made, and fills it again from the backend', async () => {
    const w = world()
    const store = w.process({ sealing })
    await store.create({ count: 1 }, { id: ID })
    await w.plantEnvelope(
      ID,
      live({ data: Buffer.from('{"count":99}'), codecId: 2, expiresAt: 2 ** 45, absoluteExpiresAt: 2 ** 45 }),
    )
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    await w.plantEnvelope(ID, { kind: 'lease', nonce: '0123456789abcdef', expiresAt: 2 ** 45 })
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    await w.plantEnvelope(ID, { kind: 'tombstone', destroyedAt: 1, expiresAt: 2 ** 45 })
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    await w.plantEnvelope(ID, { kind: 'large', refusedBytes: 9, expiresAt: 2 ** 45 })
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    // Nobody is logged out by a mark that nothing stands here, unless somebody with a key has put it for this very session.
    const nothing = { kind: 'nothing', trustedAt: 2 ** 45, expiresAt: w.runtime.now() + 2_000 } as const
    await w.plantEnvelope(ID, nothing)
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    await w.plant(ID, encodeEnvelope(w.keyOf(OTHER), nothing, 0, sealingWith(sealing)))
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    expect(store.stats().damaged).toBe(6)
    await change(store, ID, (data) => Object.assign(data, { count: 2 }))
    expect((await loaded(w.process({ sealing }), ID)).data).toEqual({ count: 2 })
  })

  test('tells by the event `damaged` that a seal does not fit, or that there is none', async () => {
    const w = world()
    const store = w.process({ sealing })
    const reasons: string[] = []
    store.on('damaged', ({ reason }) => reasons.push(reason))
    await store.create({ count: 1 }, { id: ID })
    await store.create({ count: 2 }, { id: OTHER })
    await w.plantEnvelope(ID, live())
    await store.load(ID)
    // The entry of another session, with the key check and the checksum of this one.
    await w.plant(ID, movedTo(w.keyOf(ID), await w.rawBytes(OTHER)))
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    expect(reasons).toEqual(['unsealed', 'seal'])
  })

  test('logs out all the same where an entry, or the row, is sealed with a key that it was not given', async () => {
    const w = world()
    const other = w.process({ sealing: { keys: [second] } })
    await other.create({ count: 1 }, { id: ID })
    const store = w.process({ sealing })
    await expectCode(store.load(ID), 'E_SESSION_SEAL')
    expect(await store.destroy(ID)).toEqual({ cache: 'tombstone' })
    expect((await w.stored(ID)).state).toBe('destroyed')
    expect(await w.process({ sealing: { keys: [second, first] } }).load(ID)).toBeUndefined()
  })

  test('takes an entry of a key that it was not given for no miss: the changes that stand there alone are not lost', async () => {
    const w = world()
    const ahead = w.process({ sealing: { keys: [second, first] } })
    await ahead.create({ count: 0 }, { id: ID })
    await increment(ahead, ID)
    await increment(ahead, ID)
    const behind = w.process({ sealing })
    await expectCode(behind.load(ID), 'E_SESSION_SEAL')
    await expectCode(
      behind.update(ID, (data) => Object.assign(data, { count: 77 })),
      'E_SESSION_SEAL',
    )
    expect((await loaded(ahead, ID)).data).toEqual({ count: 2 })
  })

  test('never calls a session absent whose row it cannot open, and says nothing of it in the error', async () => {
    const w = world()
    await w.process({ sealing: { keys: [second] } }).create({ count: 1 }, { id: ID })
    w.loseCache()
    for (const options of [{ sealing }, {}] as const) {
      const error: unknown = await w
        .process(options)
        .load(ID)
        .catch((raised: unknown) => raised)
      expect(error).toMatchObject({ code: 'E_SESSION_SEAL' })
      expect(String((error as Error).stack)).not.toContain(w.keyOf(ID))
    }
  })

  test.each<[string, (session: StoredSession) => Partial<StoredSession>]>([
    ['another user', () => ({ userId: 'somebody else' })],
    ['another application', () => ({ app: 'bank' })],
    ['a later end', ({ absoluteExpiresAt }) => ({ absoluteExpiresAt: absoluteExpiresAt + 1 })],
    ['a longer idle time-out', ({ idleTtlMs }) => ({ idleTtlMs: idleTtlMs * 2 })],
    ['a higher version', ({ version }) => ({ version: version + 1 })],
    ['another lineage', () => ({ lineage: 'eeeeeeeeeeeeeeee' })],
    ['another epoch of its user', ({ userEpoch }) => ({ userEpoch: userEpoch + 1 })],
    ['another write id', () => ({ writeIds: ['eeeeeeeeeeeeeeee'] })],
    ['data of another’s making', () => ({ data: Buffer.from('{"count":99}'), codecId: 2 })],
    ['no seal', () => ({ address: undefined, data: Buffer.from('{"count":99}'), codecId: 2 })],
    ['a seal that is cut off', ({ data }) => ({ data: data.subarray(0, 20) })],
    ['facts that are cut off', ({ address }) => ({ address: address?.slice(0, 12) })],
  ])('opens no row that somebody without a key has given %s', async (_what, by) => {
    const w = world()
    const store = w.process({ sealing, ...byUser })
    await store.create({ count: 1, user: 'ada' }, { id: ID })
    await store.create({ count: 2, user: 'ada' }, { id: OTHER })
    await tamper(w, ID, by)
    w.loseCache()
    await expectCode(store.load(ID), 'E_SESSION_SEAL')
    // One such row does not keep anybody from seeing the others.
    const page = await store.list()
    expect(page.map(({ error, data }) => error?.code ?? data).sort()).toEqual(
      ['E_SESSION_SEAL', { count: 2, user: 'ada' }].sort(),
    )
  })

  test('opens no row that was moved to another session', async () => {
    const w = world()
    const store = w.process({ sealing })
    await store.create({ count: 1 }, { id: ID })
    await store.create({ count: 2 }, { id: OTHER })
    const copy = await w.backend.read({ key: w.keyOf(OTHER) })
    if (copy.state !== 'live') throw new Error('there is no row')
    await tamper(w, ID, () => copy.session)
    w.loseCache()
    await expectCode(store.load(ID), 'E_SESSION_SEAL')
  })

  test('lets whoever writes the database lengthen the life of a session, up to its absolute end, and no further', async () => {
    const w = world()
    const store = w.process({ sealing, absoluteTtlMs: 10_000, idleTtlMs: 2_000 })
    await store.create({ count: 1 }, { id: ID })
    await tamper(w, ID, () => ({ expiresAt: 2 ** 45, seenAt: w.runtime.now() + 9_000 }))
    w.loseCache()
    w.runtime.advance(9_000)
    expect(await store.load(ID)).toBeDefined()
    w.runtime.advance(2_000)
    w.loseCache()
    expect(await store.load(ID)).toBeUndefined()
  })
})

describe('somebody who writes to the cache what he likes, without a key', () => {
  test('changes nothing of what is read, and brings nothing back: at worst a session is unavailable', async () => {
    const random = fc.sample(fc.nat({ max: 2 ** 30 }), { numRuns: rounds(1_500, 60_000), seed })
    let drawn = 0
    const below = (most: number): number => {
      drawn += 1
      return (random[drawn % random.length] ?? 0) % most
    }
    const w = world()
    const stores = [0, 1].map(() => w.process({ sealing, maxStaleCount: 1 }))
    const ids = [ID, OTHER]
    const saved = new Map(ids.map((id) => [id, 0]))
    for (const id of ids) await stores[0]?.create({ count: 0 }, { id })
    /** With a checksum that fits, as everybody can make it. */
    const plant = (id: string, bytes: Buffer): Promise<void> => w.plant(id, movedTo(w.keyOf(id), bytes))
    const hostile: readonly ((id: string, other: string) => Promise<void>)[] = [
      (id) =>
        w.plantEnvelope(id, live({ data: Buffer.from('{"count":-1}'), codecId: 2, version: 99, expiresAt: 2 ** 45 })),
      (id) => w.plantEnvelope(id, { kind: 'lease', nonce: '0123456789abcdef', expiresAt: 2 ** 45 }),
      (id) => w.plantEnvelope(id, { kind: 'tombstone', destroyedAt: 1, expiresAt: 2 ** 45 }),
      async (id, other) => {
        await stores[0]?.load(other).catch(() => {})
        await plant(id, Buffer.from(await w.rawBytes(other).catch(() => Buffer.alloc(200))))
      },
      async (id) => {
        const bytes = Buffer.from(await w.rawBytes(id).catch(() => Buffer.alloc(200)))
        const at = 16 + below(bytes.length - 16)
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << below(8)), at)
        await plant(id, bytes)
      },
    ]
    let unavailable = 0
    for (let round = 0; round < rounds(300, 10_000); round += 1) {
      const [id, other] = below(2) === 0 ? [ID, OTHER] : [OTHER, ID]
      const store = stores[below(2)] as SessionStore<Data>
      await hostile[below(hostile.length)]?.(id, other)
      try {
        const session = await loaded(store, id)
        expect(session.data, `round ${round}, seed ${seed}`).toEqual({ count: saved.get(id) })
        session.data['count'] = round + 1
        await store.save(session)
        saved.set(id, round + 1)
      } catch (error) {
        // A flag, a kind, or the id of a key that nobody knows; nothing of it is served.
        if (!isSessionStoreError(error, 'E_SESSION_SEAL')) await expectCode(Promise.reject(error), 'E_SESSION_FORMAT')
        unavailable += 1
        w.loseCache()
      }
    }
    expect(unavailable).toBeLessThan(rounds(300, 10_000) / 4)
    for (const id of ids) {
      await stores[0]?.destroy(id)
      for (const attack of hostile) {
        await attack(id, id)
        expect(await stores[1]?.load(id).catch(() => undefined)).toBeUndefined()
      }
    }
  })
})

describe('an older genuine entry that somebody puts back', () => {
  test('lasts no longer than to the next change that goes to the backend, where the cache was filled anew since', async () => {
    const w = world()
    const store = w.process({ sealing, maxStaleCount: 1 })
    await store.create({ count: 0 }, { id: ID })
    const old = await w.rawBytes(ID)
    w.loseCache()
    await increment(store, ID)
    await w.plant(ID, old)
    expect((await loaded(store, ID)).data, 'nobody can tell').toEqual({ count: 0 })
    await change(store, ID, (data) => Object.assign(data, { seen: true }))
    expect((await loaded(store, ID)).data).toEqual({ count: 1, seen: true })
  })

  test('sets the session back to what it was, where the cache was not filled since', async () => {
    const w = world()
    const store = w.process({ sealing, maxStaleCount: 1 })
    await store.create({ count: 0 }, { id: ID })
    const old = await w.rawBytes(ID)
    await increment(store, ID)
    await w.plant(ID, old)
    await change(store, ID, (data) => Object.assign(data, { seen: true }))
    expect((await loaded(store, ID)).data, 'the limit that the guarantees name').toEqual({ count: 0, seen: true })
  })

  test('brings a session that was destroyed back to readers until the backend is next told of a use, and to no writer', async () => {
    const w = world()
    const store = w.process({ sealing, maxStaleCount: 1, idleTtlMs: 100_000, touchBackendMs: 10_000 })
    await store.create({ count: 0 }, { id: ID })
    const old = await w.rawBytes(ID)
    await store.destroy(ID)
    await w.plant(ID, old)
    const back = await loaded(store, ID)
    back.data['count'] = 1
    await expectCode(store.save(back), 'E_SESSION_DESTROYED')
    await w.plant(ID, old)
    expect(await store.load(ID)).toBeDefined()
    w.runtime.advance(20_000)
    await store.load(ID)
    await settled()
    expect(await store.load(ID)).toBeUndefined()
  })
})

describe('where users are hashed', () => {
  const options: StoreOptions<Data> = { sealing: everythingSealed, app: 'shop', ...byUser }

  test('every call by user and application works, and shows the names as they are', async () => {
    const w = world()
    const store = w.process(options)
    await store.create({ user: 'ada', n: 1 }, { id: ID })
    await store.create({ user: 'ada', n: 2 }, { id: OTHER })
    await store.create({ user: 'bob', n: 3 })
    w.loseCache()
    const listed = async (of: SessionStore<Data>, user: string): Promise<SessionInfo<Data>[]> => {
      const found: SessionInfo<Data>[] = []
      for await (const info of of.listByUser(user, { data: true })) found.push(info)
      return found
    }
    expect((await listed(store, 'ada')).map(({ userId, app, data }) => [userId, app, data?.['n']]).sort()).toEqual([
      ['ada', 'shop', 1],
      ['ada', 'shop', 2],
    ])
    expect(await store.countByUser('ada')).toBe(2)
    expect((await store.exportByUser('bob')).sessions.map(({ userId }) => userId)).toEqual(['bob'])
    expect(await store.count({ app: 'shop' })).toBe(3)
    expect(await store.count({ app: 'bank' })).toBe(0)
    expect(await store.activity({ withinMs: 60_000, app: 'shop' })).toMatchObject({ sessions: 3, users: 2 })
    // A store that cannot tell users, such as an operator's, shows whom the seal names; also without the data.
    const operator = w.process({ sealing: everythingSealed })
    const page = await operator.list({ app: 'shop', data: false })
    expect(page.map(({ userId, app }) => `${userId} of ${app}`).sort()).toEqual([
      'ada of shop',
      'ada of shop',
      'bob of shop',
    ])
    expect(await store.destroyByUser('ada')).toMatchObject({ destroyed: 2 })
    expect(await store.load(ID)).toBeUndefined()
    expect(await store.countByUser('bob')).toBe(1)
    expect(await store.destroyAll({ app: 'shop' })).toMatchObject({ destroyed: 1 })
  })

  test('a user has no more sessions than he may have', async () => {
    const w = world()
    const store = w.process({ ...options, maxSessionsPerUser: 2 })
    for (const n of [1, 2, 3, 4]) await store.create({ user: 'ada', n })
    expect(await store.countByUser('ada')).toBe(2)
  })
})

describe('how sealing is switched on, and keys are changed', () => {
  test('in three steps, in any two of which that follow each other every process reads what the others write', async () => {
    const w = world()
    const steps: readonly StoreOptions<Data>[] = [
      {},
      { sealing: { keys: [first], acceptUnsealed: true, writeUnsealed: true } },
      { sealing: { keys: [first], acceptUnsealed: true } },
      { sealing: { keys: [first] } },
    ]
    await w.process().create({ count: 0 }, { id: ID })
    let count = 0
    for (const [at, options] of steps.slice(1).entries()) {
      const [before, after] = [w.process(steps[at]), w.process(options)]
      for (const store of [before, after, before, after]) {
        await increment(store, ID)
        count += 1
        expect((await loaded(before, ID)).data).toEqual({ count })
        expect((await loaded(after, ID)).data).toEqual({ count })
      }
      // Before the last step, every session was written once: here by a save that is made durable.
      if (at === 1) {
        const session = await loaded(after, ID)
        session.data['sealed'] = true
        await after.save(session, { durable: true })
        await change(after, ID, (data) => void delete data['sealed'])
      }
    }
    w.loseCache()
    expect((await w.process(steps[3]).load(ID))?.data['count']).toBeGreaterThan(0)
  })

  test('keys change at run time: what the function returns next is what counts', async () => {
    const w = world()
    let keys: readonly SealingKey[] = [first]
    const store = w.process({ sealing: { keys: () => keys } })
    await store.create({ count: 0 }, { id: ID })
    keys = [second, first]
    await increment(store, ID)
    keys = [second]
    expect((await loaded(store, ID)).data).toEqual({ count: 1 })
    w.loseCache()
    // The row was not written since.
    await expectCode(store.load(ID), 'E_SESSION_SEAL')
    keys = [second, first]
    expect(await store.load(ID)).toBeDefined()
  })

  test.each<[string, unknown, RegExp]>([
    ['an empty list', [], /1 to 16 keys.*an array of 0/],
    ['a promise', Promise.resolve([first]), /a promise: the function must not be async/],
    ['nothing', undefined, /got nothing/],
    ['a short key', [new Uint8Array(16)], /`sealing\.keys\(\)\[0\]`.*32 bytes.*it has 16 bytes/],
  ])('a function that returns %s at run time is told so', async (_what, returned, complaint) => {
    const w = world()
    let keys: unknown = [first]
    const store = w.process({ sealing: { keys: () => keys as readonly SealingKey[] } })
    await store.create({ count: 0 }, { id: ID })
    keys = returned
    const error: unknown = await store.load(ID).catch((raised: unknown) => raised)
    expect(error).toMatchObject({ code: 'E_CONFIG', message: expect.stringMatching(complaint) })
    keys = [first]
    expect(await store.load(ID)).toBeDefined()
  })
})

describe('the option', () => {
  const refusal = (given: unknown): string => {
    try {
      createSessionStore({ sealing: given as SealingOptions, allowEmbedded: true })
    } catch (error) {
      expect(error).toMatchObject({ code: 'E_CONFIG' })
      return (error as Error).message
    }
    return 'nothing was refused'
  }
  const hex = Buffer.from(first).toString('hex')

  test('a key may be given as bytes, or as a text of them in three spellings, and is the same', () => {
    const spellings = [
      first,
      hex,
      hex.toUpperCase(),
      ...(['base64', 'base64url'] as const).map((as) => Buffer.from(first).toString(as)),
    ]
    const ids = spellings.map((key) => sealingWith({ keys: [key] }).current()?.id)
    expect(new Set(ids).size).toBe(1)
    expect(sealingWith({ keys: [second] }).current()?.id).not.toBe(ids[0])
  })

  test.each<[string, unknown, RegExp]>([
    ['no object', 'secret', /`sealing` to be an object such as/],
    ['no keys', {}, /`sealing\.keys` to be 1 to 16 keys.*got nothing/],
    ['no key in the list', { keys: [] }, /an array of 0/],
    ['one key without a list', { keys: hex }, /got a string/],
    ['a text that is no key', { keys: ['correct horse'] }, /`sealing\.keys\[0\]`.*`openssl rand -base64 32` makes one/],
    ['a key that is too long', { keys: [first, new Uint8Array(33)] }, /`sealing\.keys\[1\]`.*it has 33 bytes/],
    ['a key of zeros', { keys: [new Uint8Array(32)] }, /all bytes of it are the same/],
    [
      'the same key twice',
      { keys: [first, second, hex] },
      /`sealing\.keys\[2\]` to be another key than `sealing\.keys\[0\]`/,
    ],
    ['the key of users among them', { keys: [first], hashUserIds: hex }, /`sealing\.hashUserIds` to be another key/],
    [
      'a misspelt name',
      { keys: [first], acceptUnsealled: true },
      /`sealing\.acceptUnsealled`.*did you mean `acceptUnsealed`/,
    ],
    ['writing what is not believed', { keys: [first], writeUnsealed: true }, /`sealing\.acceptUnsealed` to be true/],
    ['hashed users among others', { keys: [first], hashUserIds: third, acceptUnsealed: true }, /take a new namespace/],
    ['a yes that is a text', { keys: [first], acceptUnsealed: 'yes' }, /`sealing\.acceptUnsealed` to be true or false/],
  ])('refuses %s, and shows nothing of a key', (_what, given, complaint) => {
    const message = refusal(given)
    expect(message).toMatch(complaint)
    for (const part of [hex.slice(0, 8), 'secret', 'horse']) expect(message).not.toContain(part)
  })

  test('a list of keys that is changed afterwards changes nothing', async () => {
    const mine = Uint8Array.from(first)
    const by = sealingWith({ keys: [mine] })
    const id = by.current()?.id
    mine.fill(7)
    expect(by.current()?.id).toBe(id)
  })
})

test('a backend that a program has wrapped can do below sealing what it could do before', () => {
  const sealed = sealedBackend(memoryBackend(), sealingWith(sealing))
  for (const name of ['list', 'listKeys', 'count', 'countUsers', 'readUser', 'writeUser'])
    expect(typeof Reflect.get(sealed, name), name).toBe('function')
  const bare = { ...sealedBackend(memoryBackend(), undefined), list: undefined } as never
  expect(Reflect.has(sealedBackend(bare, sealingWith(sealing)), 'list')).toBe(false)
})

test('a session that a store without sealing has written is no sealed one, whatever its client calls his address', async () => {
  const backend = sealedBackend(memoryBackend(), undefined)
  const w = world()
  const store = w.process()
  await store.create({ count: 1 }, { id: ID, client: { address: '\u0002sealed:AAAA' } })
  w.loseCache()
  expect((await loaded(store, ID)).data).toEqual({ count: 1 })
  await backend.insert({ key: w.keyOf(ID) }, storedSession({ address: 'sealed:AAAA' }))
  expect((await backend.read({ key: w.keyOf(ID) })).state).toBe('live')
})
