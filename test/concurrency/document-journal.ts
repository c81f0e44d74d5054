import { createHash } from 'node:crypto'
import type { Passed } from '../../scripts/servers/couchdb-wire.js'
import { keyOf } from '../../src/backends/couchdb/document.js'
import type { RowJournal, RowState } from './row-journal.js'

type Content = Readonly<Record<string, unknown>>
type Row = { readonly id?: string; readonly rev?: string }

/**
 * Every state that the documents of sessions went through, read off the wire: what was sent, and was taken. The same
 * as a row's, for the same judge.
 */
export const documentJournal = (): { readonly journal: RowJournal; tell(passed: Passed): void } => {
  let written: { readonly generation: number; readonly state: RowState }[] = []
  const note = (document: Content, { id = '', rev = '' }: Row): void => {
    // A place that was taken at the change of months is no session; that is in another month.
    if (rev === '' || document['kind'] === 'moved') return
    written.push({ generation: Number.parseInt(rev, 10), state: stateOf(id, document) })
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

/** A key ends with the hash of its id. */
const hashIn = (key: string): string => Buffer.from(key.slice(key.indexOf(':') + 1), 'base64url').toString('hex')

const stateOf = (id: string, { kind, lineage, version, writeIds, data }: Content): RowState => ({
  idHash: hashIn(keyOf(id)),
  lineage: String(lineage),
  version: Number(version),
  content: createHash('sha256')
    .update(JSON.stringify([writeIds, data]))
    .digest('hex'),
  isTombstone: kind === 'tombstone',
})
