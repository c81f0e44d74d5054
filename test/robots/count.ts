import { createConnection } from 'node:net'
import pg from 'pg'
import { startMemcached, startPostgres } from '../../scripts/servers/index.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore } from '../../src/index.js'
import { PATIENT, type VisitorData, type VisitsReport, visit } from './visitors.js'

const NAMESPACE = 'visitors'

export interface Counted {
  readonly visitors: number
  readonly seed: number
  readonly report: VisitsReport
  /** Sessions and tombstones in PostgreSQL. */
  readonly rows: number
  readonly tombstones: number
  /** What stands in Memcached, and how much of that would stand there for ever. */
  readonly entries: number
  readonly entriesWithoutEnd: number
  readonly seconds: number
}

export interface CountOptions {
  /** No more visitors come after so many seconds. */
  readonly seconds?: number
  readonly onProgress?: (done: number) => void
}

/** Lets so many visitors come to servers of their own, and counts what they leave. */
export const countVisitors = async (
  visitors: number,
  seed: number,
  { seconds = Number.POSITIVE_INFINITY, onProgress = () => {} }: CountOptions = {},
): Promise<Counted> => {
  const startedMs = performance.now()
  const cache = await startMemcached({ memoryMb: 256 })
  try {
    const server = await startPostgres({ useEnvironment: false })
    try {
      await postgres({ connectionString: server.adminUrl, migrate: true }).setUp()
      const stores = [1, 2, 3].map(() =>
        createSessionStore<VisitorData>({
          ...{ namespace: NAMESPACE, persistOn: 'identify', purgeEveryMs: 0, ...PATIENT.store },
          cache: memcached({ servers: [[cache.address, 1]], ...PATIENT.cache }),
          backend: postgres({ connectionString: server.adminUrl, ...PATIENT.postgres }),
          identify: (data) => data['user'] as string | undefined,
        }),
      )
      const openedMs = performance.now()
      const isOpen = (): boolean => performance.now() - openedMs < seconds * 1_000
      const report = await visit({ stores, visitors, seed, onProgress, isOpen })
      for (const store of stores) await store.close()
      const entries = await entriesIn(cache.address)
      return {
        ...{ visitors: report.came, seed, report },
        ...(await rowsIn(server.adminUrl)),
        entries: entries.length,
        entriesWithoutEnd: entries.filter((line) => / exp=(?:-1|0) /.test(line)).length,
        seconds: Math.round((performance.now() - startedMs) / 1_000),
      }
    } finally {
      await server.stop()
    }
  } finally {
    await cache.stop()
  }
}

const rowsIn = async (url: string): Promise<Pick<Counted, 'rows' | 'tombstones'>> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query(
      'select count(*)::int as n, count(destroyed_at)::int as tombstones from nonstick.session where namespace = $1',
      [NAMESPACE],
    )
    return { rows: Number(rows[0]?.n) - Number(rows[0]?.tombstones), tombstones: Number(rows[0]?.tombstones) }
  } finally {
    await client.end()
  }
}

/** What Memcached says of each entry of ours: a line with its key and the moment of its end. */
const entriesIn = async (address: string): Promise<readonly string[]> => {
  const [host = '', port = ''] = address.split(':')
  const socket = createConnection({ host, port: Number(port) })
  socket.write('lru_crawler metadump all\r\n')
  let text = ''
  for await (const part of socket) {
    text += String(part)
    if (text.endsWith('END\r\n')) break
  }
  socket.destroy()
  return text.split(/\r?\n/).filter((line) => line.startsWith(`key=${NAMESPACE}%3A`))
}
