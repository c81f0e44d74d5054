import { spawnSync } from 'node:child_process'
import { findExecutable, findMemcached } from './find.js'

/**
 * The path of a memcached, installed by the system's package manager where this program may use it (root with
 * apt-get, or Homebrew). The system's own memcached service is not started by it.
 *
 * @param say receives one sentence per step; standard error by default
 * @returns `undefined`, having said why, where there is none and none could be installed
 */
export const ensureMemcached = (
  say: (line: string) => void = (line) => process.stderr.write(`${line}\n`),
): string | undefined => {
  const found = findMemcached()
  if (found !== undefined) return found
  if (process.env['NONSTICK_TEST_MEMCACHED'] === 'none') {
    say('memcached: none, as NONSTICK_TEST_MEMCACHED=none asks.')
    return undefined
  }
  if (process.getuid?.() === 0 && findExecutable('apt-get') !== undefined) {
    say('memcached is missing: installing it with apt-get.')
    return installWith(say, [
      ['apt-get', 'update', '-q'],
      ['apt-get', 'install', '-y', '-q', '--no-install-recommends', 'memcached'],
    ])
  }
  if (process.getuid?.() !== 0 && findExecutable('brew') !== undefined) {
    say('memcached is missing: installing it with Homebrew.')
    return installWith(say, [['brew', 'install', 'memcached']])
  }
  say('memcached is missing and cannot be installed from here. Debian: apt-get install memcached')
  return undefined
}

const installWith = (
  say: (line: string) => void,
  commands: readonly (readonly [string, ...string[]])[],
): string | undefined => {
  for (const [command, ...args] of commands) {
    const result = spawnSync(command, args, {
      // RUNLEVEL=1 is what invoke-rc.d understands as "do not start services": we want the program, not a daemon.
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      timeout: 180_000,
    })
    if (result.status !== 0) {
      const words = `${result.stdout ?? ''}${result.stderr ?? ''}`.trimEnd().split('\n').slice(-5).join('\n')
      say(`memcached could not be installed: "${[command, ...args].join(' ')}" failed.\n${words}`)
      // An outdated index may still know the package.
      if (args[0] !== 'update') return undefined
    }
  }
  return findMemcached()
}
