import { afterAll, beforeAll, test } from 'vitest'
import { couchdb } from '../../backends/couchdb/backend.js'
import { openCouch } from '../../backends/couchdb/server.js'
import { QUIET_DAY, quietRuntime } from '../../support/calendar.js'
import { sharedMemcached, skipUnless } from '../../support/servers.js'
import { expectAllToPass, HANGING_MS } from './published-suite.js'

skipUnless('the published suite of redis-sessions', await sharedMemcached(), ({ address, namespace }) => {
  let couch: Awaited<ReturnType<typeof openCouch>>
  beforeAll(async () => {
    couch = await openCouch()
  })
  afterAll(() => couch.stop())

  test(
    'passes, as it is, with all of its 88 tests on CouchDB behind Memcached',
    async () => {
      const options = { url: couch.url, database: couch.pattern(), absoluteTtlMs: 30 * 86_400_000 }
      const backend = couchdb({ ...options, runtime: quietRuntime })
      await backend.setUp()
      await backend.close()
      await expectAllToPass({ kind: 'couchdb', namespace, startsAt: QUIET_DAY, cacheAddress: address, options })
    },
    HANGING_MS,
  )
})
