import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ownMemcached, ownPostgres, skipUnless } from './servers.js'

const program = fileURLToPath(new URL('abandoned-servers.ts', import.meta.url))
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Dead, or dead and not yet buried, as in a container without an init. */
const isGone = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return true
  }
}

const abandoned = async (which: string, signal: NodeJS.Signals): Promise<{ pid: number; logFile: string }> => {
  const starter = spawn(process.execPath, ['--import', 'tsx', program, which], { cwd: root })
  const line = await new Promise<string>((resolve, reject) => {
    starter.stdout.setEncoding('utf8').once('data', resolve)
    starter.once('exit', () => reject(new Error('ended before it started a server')))
  })
  const gone = new Promise((resolve) => starter.once('exit', resolve))
  starter.kill(signal)
  await gone
  return JSON.parse(line) as { pid: number; logFile: string }
}

const leavesNothing = (which: string): void => {
  test.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)(
    'ends and takes its folder along when its starter gets a %s',
    async (signal) => {
      const { pid, logFile } = await abandoned(which, signal)
      await expect.poll(() => isGone(pid), { timeout: 8_000 }).toBe(true)
      await expect.poll(() => existsSync(dirname(logFile)), { timeout: 8_000 }).toBe(false)
    },
  )
}

skipUnless('an abandoned memcached', await ownMemcached(), () => leavesNothing('memcached'))
skipUnless('an abandoned PostgreSQL', ownPostgres(), () => leavesNothing('postgres'))
