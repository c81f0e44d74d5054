import assert from 'node:assert/strict'
import type { KeyListOptions, ListedSession, Page, StoredSession } from '../../contract/backend.js'
import type { CacheKey, Locator } from '../../contract/locator.js'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { at, type Bench, insertNew, nextOf, plain, type Rule, times } from './rule.js'

const asked = ({ enumerable }: Bench): NonNullable<Bench['enumerable']> => {
  if (enumerable === undefined) assert.fail('the subject cannot list')
  return enumerable
}

const MIB = 1_048_576

/** More pages than any rule here can need: a listing that does not come forward is a failure and no endless loop. */
const MOST_PAGES = 100

const keyOf = ({ locator }: ListedSession): CacheKey => locator.key

const keysOf = (locators: readonly Locator[]): readonly CacheKey[] => locators.map(({ key }) => key)

const sessionIn = (listed: ListedSession): StoredSession =>
  'session' in listed ? listed.session : assert.fail('the session should be readable')

/** All pages of a listing. `between` is called with each before the next is asked for. */
const pagesOf = async <Entry>(
  ask: (from: Pick<KeyListOptions, 'after'>) => Promise<Page<Entry>>,
  between: (page: Page<Entry>) => Promise<void> = async () => {},
): Promise<readonly (readonly Entry[])[]> => {
  const pages: (readonly Entry[])[] = []
  for (let after: CacheKey | undefined; ; ) {
    const page = await ask(after === undefined ? {} : { after })
    pages.push(page.entries)
    await between(page)
    if (page.next === undefined) return pages
    if (pages.length === MOST_PAGES) assert.fail('the listing does not end')
    after = page.next
  }
}

const sorted = (keys: readonly CacheKey[]): readonly CacheKey[] => [...keys].sort()

/** `Enumerable`, for backends that can tell what they hold. */
export const LISTING: readonly Rule[] = [
  {
    title: 'a listing shows the live sessions of one namespace that have not expired, with all their fields',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `list${sampleLineage()}`
      const page = { namespace, now, limit: 10 }
      assert.deepEqual(await backend.list({ ...page, withData: true, maxBytes: MIB }), { entries: [], next: undefined })
      assert.deepEqual(await backend.listKeys(page), { entries: [], next: undefined })
      assert.equal(await backend.count({ namespace, now }), 0)

      const [live, expired, destroyed, foreign] = [
        sampleLocator({ namespace }),
        sampleLocator({ namespace }),
        sampleLocator({ namespace }),
        sampleLocator({ namespace: `${namespace}x` }),
      ]
      const session = storedSession({ createdAt: now, expiresAt: now + 1, userId: 'somebody' })
      await insertNew(backend, live, session)
      await insertNew(backend, expired, storedSession({ createdAt: now - 9, expiresAt: now }))
      await insertNew(backend, destroyed, storedSession({ createdAt: now }))
      await insertNew(backend, foreign, storedSession({ createdAt: now }))
      await backend.destroy(destroyed, { writeId: sampleWriteId(), at: now, keepUntil: now + 60_000 })

      const listed = (await pagesOf((from) => backend.list({ ...page, withData: true, maxBytes: MIB, ...from }))).flat()
      assert.deepEqual(listed.map(keyOf), [live.key])
      assert.deepEqual(plain(sessionIn(at(listed, 0))), plain(session))
      assert.deepEqual(keysOf((await pagesOf((from) => backend.listKeys({ ...page, ...from }))).flat()), [live.key])
      assert.equal(await backend.count({ namespace, now }), 1)
    },
  },
  {
    title: 'pages are stable: each session is on one page, also while others come and go',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `page${sampleLineage()}`
      const locators = times(23, () => sampleLocator({ namespace }))
      for (const locator of locators) await insertNew(backend, locator, storedSession({ createdAt: now }))
      assert.equal(await backend.count({ namespace, now }), 23)

      const keys = keysOf((await pagesOf((from) => backend.listKeys({ namespace, now, limit: 5, ...from }))).flat())
      assert.deepEqual(sorted(keys), sorted(locators.map(({ key }) => key)))

      const pages = await pagesOf(
        (from) => backend.list({ namespace, now, limit: 5, withData: true, maxBytes: MIB, ...from }),
        async ({ next }) => {
          if (next !== undefined)
            await backend.destroy({ key: next }, { writeId: sampleWriteId(), at: now, keepUntil: now + 60_000 })
        },
      )
      assert.ok(pages.every(({ length }) => length <= 5))
      assert.deepEqual(pages.flat().map(keyOf), keys)
    },
  },
  {
    title: 'a listing finds what was there before it began, also what is written to meanwhile',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `meanwhile${sampleLineage()}`
      const expected: CacheKey[] = []
      for (let round = 0; round < 8; round += 1) {
        const sessions = times(8, () => ({
          locator: sampleLocator({ namespace }),
          session: storedSession({ createdAt: now, userId: 'somebody' }),
        }))
        await Promise.all(sessions.map(({ locator, session }) => insertNew(backend, locator, session)))
        expected.push(...sessions.map(({ locator }) => locator.key))
        let isListed = false
        const goOn = async (locator: Locator, first: StoredSession): Promise<void> => {
          for (let session = first, written = 0; !isListed && written < 50; written += 1) {
            const next = nextOf(locator, session)
            assert.equal((await backend.update([next]))[0]?.outcome, 'applied')
            session = next.session
          }
        }
        const [{ entries }] = await Promise.all([
          backend.listKeys({ namespace, userId: 'somebody', now, limit: 100 }).finally(() => {
            isListed = true
          }),
          ...sessions.map(({ locator, session }) => goOn(locator, session)),
        ])
        assert.deepEqual(sorted(keysOf(entries)), sorted(expected))
      }
    },
  },
  {
    title: 'a page ends before its data comes to more bytes than were asked for, and holds one session at least',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `size${sampleLineage()}`
      const locators = times(7, () => sampleLocator({ namespace }))
      const data = Buffer.alloc(10_000, 7)
      for (const locator of locators) await insertNew(backend, locator, storedSession({ createdAt: now, data }))

      for (const [maxBytes, most] of [
        [35_000, 3],
        [1, 1],
      ] as const) {
        const pages = await pagesOf((from) =>
          backend.list({ namespace, now, limit: 5, withData: true, maxBytes, ...from }),
        )
        assert.ok(
          pages.every(({ length }) => length <= most),
          `at most ${most} of 10000 bytes each fit into ${maxBytes}, got ${pages.map(({ length }) => length).join()}`,
        )
        assert.deepEqual(sorted(pages.flat().map(keyOf)), sorted(locators.map(({ key }) => key)))
      }
    },
  },
  {
    title: 'a listing goes on where it ended, however much has ended there, and may begin at any key of the namespace',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `past${sampleLineage()}`
      const locators = times(12, () => sampleLocator({ namespace }))
      for (const locator of locators) await insertNew(backend, locator, storedSession({ createdAt: now }))
      const keys = keysOf((await pagesOf((from) => backend.listKeys({ namespace, now, limit: 12, ...from }))).flat())
      for (const key of keys.slice(0, 8))
        await backend.destroy({ key }, { writeId: sampleWriteId(), at: now, keepUntil: now + 60_000 })

      const after = at(keys, 5)
      const rest = await pagesOf((from) => backend.listKeys({ namespace, now, limit: 3, after, ...from }))
      assert.deepEqual(keysOf(rest.flat()), keys.slice(8))
      const { key: never } = sampleLocator({ namespace })
      const behind = await pagesOf((from) =>
        backend.list({ namespace, now, limit: 12, withData: true, maxBytes: MIB, after: never, ...from }),
      )
      const listed = behind.flat().map(keyOf)
      assert.deepEqual(listed, keys.slice(keys.length - listed.length))
    },
  },
  {
    title:
      'a listing, and a count, is of the sessions of one user, of one application, or seen since a moment, if asked',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `which${sampleLineage()}`
      const make = async (session: Partial<StoredSession>): Promise<CacheKey> => {
        const locator = sampleLocator({ namespace })
        await insertNew(backend, locator, storedSession({ createdAt: now - 9_000_000, ...session }))
        return locator.key
      }
      const ada = await make({ userId: 'ada', app: 'shop', seenAt: now })
      const adaToo = await make({ userId: 'ada', app: 'blog', seenAt: now - 8_000_000 })
      const eve = await make({ userId: 'eve', app: 'shop', seenAt: now - 8_000_000 })
      const nobody = await make({ app: 'shop', seenAt: now })
      const plainOne = await make({ userId: 'fay', seenAt: now - 8_000_000 })
      await make({ userId: 'ada', app: 'shop', expiresAt: now })
      const killed = await make({ userId: 'ada', app: 'shop' })
      await backend.destroy({ key: killed }, { writeId: sampleWriteId(), at: now, keepUntil: now + 60_000 })

      for (const [which, keys, users] of [
        [{}, [ada, adaToo, eve, nobody, plainOne], 3],
        [{ userId: 'ada' }, [ada, adaToo], 1],
        [{ userId: 'ad' }, [], 0],
        [{ app: 'shop' }, [ada, eve, nobody], 2],
        [{ app: '' }, [plainOne], 1],
        [{ seenSince: now - 7_000_000 }, [ada, nobody], 1],
        [{ seenSince: now }, [ada, nobody], 1],
        [{ seenSince: now + 1 }, [], 0],
        [{ app: 'shop', seenSince: now - 7_000_000 }, [ada, nobody], 1],
        [{ userId: 'ada', app: 'shop' }, [ada], 1],
        [{ userId: 'ada', seenSince: now - 7_000_000 }, [ada], 1],
      ] as const) {
        const meant = { namespace, now, ...which }
        const name = JSON.stringify(which)
        const keysListed = await pagesOf((from) => backend.listKeys({ ...meant, limit: 2, ...from }))
        assert.deepEqual(sorted(keysOf(keysListed.flat())), sorted(keys), `keys of ${name}`)
        const listed = await pagesOf((from) =>
          backend.list({ ...meant, limit: 2, withData: true, maxBytes: MIB, ...from }),
        )
        assert.deepEqual(sorted(listed.flat().map(keyOf)), sorted(keys), `sessions of ${name}`)
        assert.equal(await backend.count(meant), keys.length, `count of ${name}`)
        assert.equal(await backend.countUsers(meant), users, `users of ${name}`)
      }
    },
  },
  {
    title: 'a listing without data has everything else, and is not ended by the size of the data',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `bare${sampleLineage()}`
      const session = storedSession({ createdAt: now, userId: 'ada', app: 'shop', data: Buffer.alloc(10_000, 7) })
      const locators = times(3, () => sampleLocator({ namespace }))
      for (const locator of locators) await insertNew(backend, locator, session)
      const { entries } = await backend.list({ namespace, now, limit: 5, withData: false, maxBytes: 1 })
      assert.equal(entries.length, 3)
      for (const entry of entries)
        assert.deepEqual(plain(sessionIn(entry)), plain({ ...session, data: new Uint8Array(0) }))
    },
  },
  {
    title: 'a cursor that is no key of the namespace is refused with E_CONFIG, and is not shown',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `from${sampleLineage()}`
      await insertNew(backend, sampleLocator({ namespace }), storedSession({ createdAt: now }))
      const foreign = sampleLocator({ namespace: `${namespace}x` })
      await insertNew(backend, foreign, storedSession({ createdAt: now }))
      const own = sampleLocator({ namespace }).key
      const cursors: readonly unknown[] = [
        ...[
          '',
          'garbage',
          namespace,
          `${namespace}:`,
          `${namespace}:AAAA`,
          `${own}A`,
          `${own.slice(0, -1)}=`,
          own.slice(1),
        ],
        ...[foreign.key, 5, null, { key: own }],
      ]
      for (const cursor of cursors) {
        const page = { namespace, now, limit: 5, after: cursor as CacheKey }
        for (const call of [
          () => backend.list({ ...page, withData: true, maxBytes: MIB }),
          () => backend.listKeys(page),
        ])
          await assert.rejects(call, (error: Error & { readonly code?: unknown }) => {
            assert.equal(error.code, 'E_CONFIG', `${String(cursor)}: ${error.message}`)
            assert.ok(
              cursor === '' || !error.message.includes(String(cursor)) || typeof cursor !== 'string',
              error.message,
            )
            return true
          })
      }
    },
  },
]
