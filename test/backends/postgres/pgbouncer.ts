import { chmodSync, chownSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { findExecutable, unprivilegedUser } from '../../../scripts/servers/find.js'
import { freePort, lastLines, removeFolder, startProcess, waitUntil } from '../../../scripts/servers/process.js'

export interface Pgbouncer {
  readonly url: string
  stop(): Promise<void>
}

export const pgbouncerProgram = (): string | undefined => findExecutable('pgbouncer')

const SETTINGS = {
  auth_type: 'any',
  pool_mode: 'transaction',
  default_pool_size: '2',
  max_client_conn: '200',
}

/**
 * Debian's pgbouncer in transaction mode, with two connections to the server behind it: whatever a client leaves behind
 * on a connection, the next client finds. `settings` stand in for these, or are added.
 */
export const startPgbouncer = async (
  program: string,
  target: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Pgbouncer> => {
  const { hostname, port: targetPort, username, password, pathname } = new URL(target)
  const user = unprivilegedUser()
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-pgbouncer-'))
  const port = await freePort()
  const config = join(folder, 'pgbouncer.ini')
  const secret = decodeURIComponent(password)
  writeFileSync(
    config,
    `[databases]
test = host=${hostname} port=${targetPort || 5432} dbname=${pathname.slice(1)} user=${decodeURIComponent(username)} password=${secret}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
${Object.entries({ ...SETTINGS, ...settings })
  .map(([name, value]) => `${name} = ${value}`)
  .join('\n')}
`,
    { mode: 0o600 },
  )
  if (user !== undefined) for (const path of [folder, config]) chownSync(path, user.uid, user.gid)
  chmodSync(folder, 0o700)
  const logFile = join(folder, 'log')
  const started = await startProcess({
    command: program,
    args: [config],
    user,
    folder,
    logFile,
    endSignal: 'SIGTERM',
  })
  const stop = async (): Promise<void> => {
    await started.end('SIGTERM')
    await removeFolder(folder)
  }
  const url = `postgres://anyone@127.0.0.1:${port}/test`
  try {
    await waitUntil(
      () => !started.isGone() && answers(url),
      10_000,
      () => `pgbouncer did not come up:\n${lastLines(logFile)}`,
    )
  } catch (error) {
    await stop()
    throw error
  }
  return { url, stop }
}

const answers = async (connectionString: string): Promise<boolean> => {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 1_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}
