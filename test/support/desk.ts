import { createServer } from 'node:http'
import { join } from 'node:path'
import {
  ensureMemcached,
  type MemcachedServer,
  memcachedServers,
  type PostgresServer,
  startMemcached,
  startPostgres,
} from '../../scripts/servers/index.js'

/** What a test process learns about a server that all test files share. */
export interface SharedServer {
  readonly kind: 'memcached' | 'postgres'
  /** memcached: `127.0.0.1:port`. PostgreSQL: a URL that connects as the owner of everything. */
  readonly address: string
  readonly version: string
  readonly hasStatStatements: boolean
}

/** The other answer: there is no such server here, and why. */
export interface Absence {
  readonly kind: 'absent'
  readonly reason: string
}

/**
 * The one place of a test run that owns the shared servers. Test files run in processes of their own and ask it
 * over loopback; a server starts when it is first asked for, so a run of pure tests starts none.
 */
export interface ServerDesk {
  /** Test processes find it in the environment variable NONSTICK_SERVER_DESK. */
  readonly url: string
  get(kind: SharedServer['kind']): Promise<SharedServer | Absence>
  /** Ends what it started. */
  close(): Promise<void>
}

/** @param logFolder where the servers' logs are kept; by default they vanish with the servers */
export const openServerDesk = async ({ logFolder }: { readonly logFolder?: string } = {}): Promise<ServerDesk> => {
  const logFile = (name: string) => (logFolder === undefined ? {} : { logFile: join(logFolder, `${name}.log`) })
  const started: (MemcachedServer | PostgresServer)[] = []

  const openMemcached = async (): Promise<SharedServer | Absence> => {
    const given = memcachedServers()?.[0]
    if (given !== undefined)
      return { kind: 'memcached', address: given, version: 'as MEMCACHED_SERVERS names it', hasStatStatements: false }
    const sentences: string[] = []
    if (ensureMemcached((sentence) => sentences.push(sentence)) === undefined)
      return { kind: 'absent', reason: sentences.join(' ') }
    const server = await startMemcached(logFile('memcached'))
    started.push(server)
    return { kind: 'memcached', address: server.address, version: 'started here', hasStatStatements: false }
  }

  const openPostgres = async (): Promise<SharedServer | Absence> => {
    // The data lives as long as the run: syncing it to disk would only cost time.
    const server = await startPostgres({ fsync: false, ...logFile('postgres') })
    started.push(server)
    const { adminUrl, version, hasStatStatements } = server
    return { kind: 'postgres', address: adminUrl, version, hasStatStatements }
  }

  const opened = new Map<string, Promise<SharedServer | Absence>>()
  const get = (kind: SharedServer['kind']): Promise<SharedServer | Absence> => {
    const known = opened.get(kind)
    if (known !== undefined) return known
    const opening = (kind === 'memcached' ? openMemcached() : openPostgres()).catch(
      (error: unknown): Absence => ({
        kind: 'absent',
        reason: error instanceof Error ? error.message : String(error),
      }),
    )
    opened.set(kind, opening)
    return opening
  }

  const http = createServer((request, response) => {
    const kind = request.url === '/memcached' ? 'memcached' : 'postgres'
    void get(kind).then((answer) => response.end(JSON.stringify(answer)))
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const address = http.address()
  if (typeof address !== 'object' || address === null) throw new Error('the server desk has no port')

  return {
    url: `http://127.0.0.1:${address.port}`,
    get,
    close: async () => {
      http.close()
      http.closeAllConnections()
      await Promise.all(opened.values())
      await Promise.all(started.map((server) => server.stop()))
    },
  }
}

/** Asks the desk of this run, from a test process. */
export const askServerDesk = async (kind: SharedServer['kind']): Promise<SharedServer | Absence> => {
  const url = process.env['NONSTICK_SERVER_DESK']
  if (url === undefined) throw new Error('NONSTICK_SERVER_DESK is not set: run vitest with scripts/vitest.config.ts')
  const answer = await fetch(`${url}/${kind}`, { headers: { connection: 'close' } })
  return (await answer.json()) as SharedServer | Absence
}
