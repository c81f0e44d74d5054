import { createHash } from 'node:crypto'
import { type Passed, passingTo } from '../../scripts/servers/couchdb-wire.js'
import { idOf, keyOf } from '../../src/backends/couchdb/document.js'
import { couchdb } from '../../src/backends/couchdb/index.js'
import { locate } from '../../src/session/key.js'
import { openCouch } from '../backends/couchdb/server.js'
import { type Cluster, clusterOn, openCache, type Servers } from './cluster.js'
import type { RowJournal, RowState } from './row-journal.js'

/** As `openCluster`, with the sessions in CouchDB, or in its stand-in. */
export const openCouchdbCluster = async (startMemcached: Servers['startMemcached']): Promise<Cluster> => {
  const [cache, couch] = await Promise.all([openCache(startMemcached), openCouch()])
  const { journal, tell } = documentJournal()
  const wire = await passingTo(couch.url, tell)
  const database = couch.pattern()
  const backend = couchdb(couch.options({ database }))
  await backend.setUp()
  return await clusterOn({
    cacheAddress: cache.cacheAddress,
    backend: { kind: 'couchdb', url: wire.url, database },
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

type Content = Readonly<Record<string, unknown>>
type Row = { readonly id?: string; readonly rev?: string; readonly error?: string }

/** Every state that the documents went through, read off the wire: what was sent, and was taken. */
const documentJournal = (): { readonly journal: RowJournal; tell(passed: Passed): void } => {
  let written: { readonly generation: number; readonly state: RowState }[] = []
  const note = (document: Content, { id = '', rev = '' }: Row): void => {
    if (rev !== '') written.push({ generation: Number.parseInt(rev, 10), state: stateOf(id, document) })
  }
  return {
    journal: {
      take: async () => {
        const taken = written
        written = []
        // Answers overtake each other; generations do not.
        return taken.sort((one, other) => one.generation - other.generation).map(({ state }) => state)
      },
    },
    tell: ({ method, path, body, status, answer }) => {
      if (status >= 300 || path.includes('_design')) return
      if (method === 'PUT' && path.includes('s%3A')) note(parsed(body) as Content, parsed(answer) as Row)
      if (!path.endsWith('/_bulk_docs')) return
      const { docs } = parsed(body) as { readonly docs: readonly Content[] }
      const rows = new Map((parsed(answer) as Row[]).map((row) => [row.id, row]))
      for (const document of docs) note(document, rows.get(String(document['_id'])) ?? {})
    },
  }
}

const parsed = (bytes: Buffer): unknown => JSON.parse(bytes.toString('utf8'))

const stateOf = (id: string, { kind, lineage, version, writeIds, data }: Content): RowState => ({
  idHash: keyOf(id),
  lineage: String(lineage),
  version: Number(version),
  content: createHash('sha256')
    .update(JSON.stringify([writeIds, data]))
    .digest('hex'),
  isTombstone: kind === 'tombstone',
})
