import assert from 'node:assert/strict'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { at, type Bench, insertNew, plain, type Rule, times } from './rule.js'

const asked = ({ enumerable }: Bench): NonNullable<Bench['enumerable']> => {
  if (enumerable === undefined) assert.fail('the subject cannot list')
  return enumerable
}

/** `Enumerable`, for backends that can tell what they hold. */
export const LISTING: readonly Rule[] = [
  {
    title: 'a listing shows the live sessions of one namespace that have not expired, with all their fields',
    check: async (bench) => {
      const backend = asked(bench)
      const now = bench.now()
      const namespace = `list${sampleLineage()}`
      assert.deepEqual(await backend.list({ namespace, now, limit: 10 }), [])
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

      const listed = await backend.list({ namespace, now, limit: 10 })
      assert.deepEqual(
        listed.map(({ key }) => key),
        [live.key],
      )
      assert.deepEqual(plain(at(listed, 0).session), plain(session))
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

      const seen: string[] = []
      for (let after: string | undefined; ; ) {
        const page = await backend.list({ namespace, now, limit: 5, ...(after === undefined ? {} : { after }) })
        seen.push(...page.map(({ key }) => key))
        after = page.at(-1)?.key
        if (page.length < 5 || after === undefined) break
        await backend.destroy({ key: after }, { writeId: sampleWriteId(), at: now, keepUntil: now + 60_000 })
      }
      assert.deepEqual([...seen].sort(), locators.map(({ key }) => key).sort())
    },
  },
]
