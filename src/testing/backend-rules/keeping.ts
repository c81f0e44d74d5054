import assert from 'node:assert/strict'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, assertState, insertNew, NO_TOKEN, nextOf, type Rule, times } from './rule.js'

/** What is put in comes out, exactly. */
export const KEEPING: readonly Rule[] = [
  {
    title: 'what was never stored is absent',
    check: async ({ backend }) => {
      assert.deepEqual(await backend.read(sampleLocator()), { state: 'absent' })
    },
  },
  {
    title: 'a session comes back as it was inserted, every field',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const session = storedSession({
        version: 7,
        writeIds: times(8, sampleWriteId),
        codecId: 200,
        app: 'shop',
        userId: 'user 1',
        userEpoch: 3,
        identifiedAt: 1_790_000_000_001,
        address: '2001:db8::1',
        userAgent: 'Browser/1.0 (größer; "0")',
        reads: 4_294_967_295,
        writes: 4_294_967_295,
        seenAt: 1_790_000_000_123,
        idleTtlMs: 1_234,
        hasOwnIdleTtl: true,
        origin: 281_474_976_710_655,
      })
      await insertNew(backend, locator, session)
      await assertStands(backend, locator, session)
    },
  },
  {
    title: 'an update replaces every field',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const first = storedSession({
        ...{ app: 'before', userId: 'before', userEpoch: 1, identifiedAt: 1, address: '10.0.0.1', userAgent: 'before' },
        hasOwnIdleTtl: true,
        origin: 7,
      })
      await insertNew(backend, locator, first)
      const second = storedSession({
        version: 2,
        writeIds: times(3, sampleWriteId),
        codecId: 2,
        data: Buffer.from('after'),
        app: '',
        userId: undefined,
        userEpoch: 0,
        identifiedAt: 0,
        address: undefined,
        userAgent: undefined,
        reads: 5,
        writes: 6,
        createdAt: first.createdAt + 1,
        seenAt: first.seenAt + 5,
        expiresAt: first.expiresAt - 5,
        absoluteExpiresAt: first.absoluteExpiresAt + 9,
        hasOwnIdleTtl: false,
        origin: 8,
        idleTtlMs: 77,
      })
      const [outcome] = await backend.update([nextOf(locator, first, second)])
      assert.equal(outcome?.outcome, 'applied')
      await assertStands(backend, locator, second)
    },
  },
  {
    title: 'data may hold every byte, be empty, and be large',
    check: async ({ backend }) => {
      const samples = [
        Uint8Array.from({ length: 256 }, (_, byte) => byte),
        new Uint8Array(0),
        Uint8Array.from({ length: 1_000_000 }, (_, index) => (index * 31) % 251),
        Buffer.from("\\x00' -- \0 $1"),
      ]
      for (const data of samples) {
        const locator = sampleLocator()
        const first = storedSession({ data })
        await insertNew(backend, locator, first)
        await assertStands(backend, locator, first)
        const second = nextOf(locator, first, { data: Uint8Array.from(data).reverse() })
        assert.equal((await backend.update([second]))[0]?.outcome, 'applied')
        await assertStands(backend, locator, second.session)
      }
    },
  },
  {
    title: 'the bytes given and the bytes returned are copies',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const data = Uint8Array.of(1, 2, 3)
      await insertNew(backend, locator, storedSession({ data }))
      data[0] = 9
      const read = await backend.read(locator)
      if (read.state !== 'live') assert.fail('it should be live')
      assert.equal(read.session.data[0], 1)
      read.session.data[0] = 9
      const again = await backend.read(locator)
      assert.equal(again.state === 'live' && again.session.data[0], 1)
    },
  },
  {
    title: 'a user id may be any text',
    check: async ({ backend }) => {
      for (const userId of ['', ' ', '0', 'Žofia 日本 👩‍👩‍👧', "o'brien\\n", 'x'.repeat(1_000)]) {
        const locator = sampleLocator()
        const session = storedSession({ userId })
        await insertNew(backend, locator, session)
        await assertStands(backend, locator, session)
      }
    },
  },
  {
    title: 'moments are kept to the millisecond, however far ahead',
    check: async ({ backend }) => {
      const moments = [1, 999, 1_789_999_999_999, 4_102_444_800_001, 253_402_300_799_999, 253_402_300_800_001]
      for (const moment of [...moments, 8_640_000_000_000_000]) {
        const locator = sampleLocator()
        const session = storedSession({
          createdAt: moment,
          seenAt: moment,
          expiresAt: moment,
          absoluteExpiresAt: moment,
          idleTtlMs: Number.MAX_SAFE_INTEGER,
        })
        await insertNew(backend, locator, session)
        await assertStands(backend, locator, session)
      }
    },
  },
  {
    title: 'a version may be any positive safe integer',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const first = storedSession({ version: 2 ** 52 })
      await insertNew(backend, locator, first)
      const second = nextOf(locator, first)
      assert.equal((await backend.update([second]))[0]?.outcome, 'applied')
      const last = nextOf(locator, second.session, { version: Number.MAX_SAFE_INTEGER })
      assert.equal((await backend.update([last]))[0]?.outcome, 'applied')
      await assertStands(backend, locator, last.session)
    },
  },
  {
    title: 'an expired session is still read: the store judges expiry',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const session = storedSession({ createdAt: now() - 2_000, expiresAt: now() - 1_000 })
      await insertNew(backend, locator, session)
      await assertStands(backend, locator, session)
    },
  },
  {
    title: 'namespaces are apart, and so are keys that share a beginning',
    check: async ({ backend }) => {
      const hash = sampleLocator().key.slice('contract:'.length)
      const one = { key: `one:${hash}` }
      const other = { key: `other:${hash}` }
      const session = storedSession()
      await insertNew(backend, one, session)
      await assertState(backend, other, 'absent')
      await backend.destroy(other, { writeId: sampleWriteId(), at: session.createdAt, keepUntil: session.expiresAt })
      await assertStands(backend, one, session)
      const short = { key: `one:${Buffer.from(hash, 'base64url').subarray(0, 16).toString('base64url')}` }
      await assertState(backend, short, 'absent')
    },
  },
  {
    title: 'a session is found with its birth month, and one without a month without',
    check: async ({ backend, now }) => {
      const thisMonth = new Date(now()).toISOString().slice(2, 7).replace('-', '')
      for (const bornMonth of [thisMonth, undefined]) {
        const locator = sampleLocator(bornMonth === undefined ? {} : { bornMonth })
        const first = storedSession()
        await insertNew(backend, locator, first)
        await assertStands(backend, locator, first)
        const second = nextOf(locator, first, { lineage: sampleLineage() })
        assert.equal((await backend.update([second]))[0]?.outcome, 'applied')
        await assertStands(backend, locator, second.session)
        await backend.destroy(locator, { writeId: sampleWriteId(), at: first.seenAt, keepUntil: first.expiresAt })
        await assertState(backend, locator, 'destroyed')
      }
    },
  },
  {
    title: 'a token is given with each copy, at most 64 bytes, and the newest one fits',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const first = storedSession()
      const inserted = await backend.insert(locator, first)
      if (inserted.outcome !== 'inserted') assert.fail(inserted.outcome)
      const [updated] = await backend.update([{ ...nextOf(locator, first), token: inserted.token }])
      if (updated?.outcome !== 'applied') assert.fail(updated?.outcome)
      const read = await backend.read(locator)
      if (read.state !== 'live') assert.fail(read.state)
      for (const token of [inserted.token, updated.token, read.token]) {
        assert.ok(token instanceof Uint8Array)
        assert.ok(token.length <= 64)
      }
      const third = nextOf(locator, read.session)
      assert.equal((await backend.update([{ ...third, token: updated.token }]))[0]?.outcome, 'applied')
      const fourth = { ...nextOf(locator, third.session), token: NO_TOKEN }
      assert.equal((await backend.update([fourth]))[0]?.outcome, 'applied', 'the empty token is "not known"')
    },
  },
]
