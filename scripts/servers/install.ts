import { spawnSync } from 'node:child_process'
import { findExecutable, findMemcached, findPsql, findRedis } from './find.js'

/** A program that the system's package manager can bring. */
interface Wanted {
  readonly name: string
  readonly find: () => string | undefined
  /** Debian's packages; the first one is what a person would install. */
  readonly debian: readonly [string, ...string[]]
}

type Say = (line: string) => void

const MEMCACHED: Wanted = { name: 'memcached', find: findMemcached, debian: ['memcached'] }

const REDIS: Wanted = { name: 'redis-server', find: findRedis, debian: ['redis-server'] }

/** What some tests need and no user of the library. */
const FOR_TESTS: readonly Wanted[] = [
  REDIS,
  { name: 'pgbouncer', find: () => findExecutable('pgbouncer'), debian: ['pgbouncer'] },
  { name: 'saslpasswd2', find: () => findExecutable('saslpasswd2'), debian: ['sasl2-bin', 'libsasl2-modules'] },
  { name: 'openssl', find: () => findExecutable('openssl'), debian: ['openssl'] },
  { name: 'psql', find: findPsql, debian: ['postgresql-client'] },
]

const toStandardError: Say = (line) => process.stderr.write(`${line}\n`)

/**
 * The path of a memcached, installed by the system's package manager where this program may use it (root with
 * apt-get, or Homebrew). The system's own memcached service is not started by it.
 *
 * @param say receives one sentence per step; standard error by default
 * @returns `undefined`, having said why, where there is none and none could be installed
 */
export const ensureMemcached = (say: Say = toStandardError): string | undefined => {
  const found = findMemcached()
  if (found !== undefined) return found
  if (process.env['NONSTICK_TEST_MEMCACHED'] === 'none') {
    say('memcached: none, as NONSTICK_TEST_MEMCACHED=none asks.')
    return undefined
  }
  if (mayUseApt()) return installWithApt(MEMCACHED, say)
  if (process.getuid?.() !== 0 && findExecutable('brew') !== undefined) {
    say('memcached is missing: installing it with Homebrew.')
    succeeds('memcached', ['brew', 'install', 'memcached'], say)
    return findMemcached()
  }
  say('memcached is missing and cannot be installed from here. Debian: apt-get install memcached')
  return undefined
}

/**
 * The path of a redis-server, installed by apt-get where this program may use it; no service of it is started.
 *
 * @param say receives one sentence per step; standard error by default
 * @returns `undefined`, having said why, where there is none and none could be installed
 */
export const ensureRedis = (say: Say = toStandardError): string | undefined => {
  const found = findRedis()
  if (found !== undefined) return found
  if (process.env['NONSTICK_TEST_REDIS'] !== 'none' && mayUseApt()) return installWithApt(REDIS, say)
  say('redis-server is missing and cannot be installed from here. Debian: apt-get install redis-server')
  return undefined
}

/**
 * Installs redis-server, pgbouncer, saslpasswd2, openssl and psql where they are missing and this program is root on Debian; starts none
 * of their services. Elsewhere it does nothing: the tests that lack a program say so when they are skipped.
 *
 * @param say receives one sentence per step; standard error by default
 */
export const ensureTestPrograms = (say: Say = toStandardError): void => {
  if (!mayUseApt()) return
  for (const wanted of FOR_TESTS) if (wanted.find() === undefined) installWithApt(wanted, say)
}

const mayUseApt = (): boolean => process.getuid?.() === 0 && findExecutable('apt-get') !== undefined

let indexIsFresh = false

const installWithApt = ({ name, find, debian }: Wanted, say: Say): string | undefined => {
  say(`${name} is missing: installing it with apt-get.`)
  // An outdated index may still know the package, so a failure of this step is no reason to give up.
  if (!indexIsFresh) succeeds('the list of packages', ['apt-get', ...APT_PATIENCE, 'update', '-q'], say)
  indexIsFresh = true
  if (!succeeds(name, ['apt-get', ...APT_PATIENCE, 'install', '-y', '-q', '--no-install-recommends', ...debian], say))
    return undefined
  return find()
}

/** Waits a little for another apt-get, and not for ever for a network that is not there. */
const APT_PATIENCE = [
  ...['-o', 'DPkg::Lock::Timeout=60', '-o', 'Acquire::Retries=1'],
  ...['-o', 'Acquire::http::Timeout=20', '-o', 'Acquire::https::Timeout=20'],
] as const

/**
 * We want the programs, not daemons: RUNLEVEL=1 is what invoke-rc.d understands as "do not start services", and
 * SYSTEMD_OFFLINE=1 makes systemctl overlook the `start` of a package's script where systemd runs the machine.
 */
const WITHOUT_SERVICES = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1', SYSTEMD_OFFLINE: '1' } as const

const succeeds = (what: string, [command, ...args]: readonly [string, ...string[]], say: Say): boolean => {
  const result = spawnSync(command, args, {
    env: { ...process.env, ...WITHOUT_SERVICES },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    timeout: 180_000,
  })
  if (result.status === 0) return true
  const words = `${result.stdout ?? ''}${result.stderr ?? ''}`.trimEnd().split('\n').slice(-5).join('\n')
  say(`${what} could not be installed: "${[command, ...args].join(' ')}" failed.\n${words}`)
  return false
}
