import { passingTo } from '../../scripts/servers/couchdb-wire.js'
import { idOf } from '../../src/backends/couchdb/document.js'
import { locate } from '../../src/session/key.js'
import { couchdb } from '../backends/couchdb/backend.js'
import { openCouch } from '../backends/couchdb/server.js'
import { QUIET_DAY, runtimeMovedBy, shiftTo } from '../support/calendar.js'
import { type Cluster, clusterOn, openCache, type Servers } from './cluster.js'
import { documentJournal } from './document-journal.js'

/** As `openCluster`, with the sessions in CouchDB, or in its stand-in. */
export const openCouchdbCluster = async (startMemcached: Servers['startMemcached']): Promise<Cluster> => {
  const [cache, couch] = await Promise.all([openCache(startMemcached), openCouch()])
  const { journal, tell } = documentJournal()
  const wire = await passingTo(couch.url, tell)
  const database = couch.pattern()
  const clockShiftMs = shiftTo(QUIET_DAY)
  const backend = couchdb(couch.options({ database, runtime: runtimeMovedBy(clockShiftMs) }))
  await backend.setUp()
  return await clusterOn({
    cacheAddress: cache.cacheAddress,
    backend: { kind: 'couchdb', url: wire.url, database, clockShiftMs },
    journal,
    emptyCache: cache.emptyCache,
    isTombstone: async (id) => {
      const { key, bornMonth = '' } = locate('nonstick', id)
      const name = database.replace('{yyyy}', `20${bornMonth.slice(0, 2)}`).replace('{mm}', bornMonth.slice(2))
      const { body } = await couch.ask(`${name}/${encodeURIComponent(idOf(key))}`)
      const { kind, data } = body as { readonly kind?: string; readonly data?: string }
      return kind === 'tombstone' && data === undefined
    },
    stop: async () => {
      await backend.close()
      await wire.close()
      await Promise.all([cache.stop(), couch.stop()])
    },
  })
}
